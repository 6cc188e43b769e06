"""What most verbs begin with: the project around the working directory, its recipes, its store, the goals' graph."""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.build.known import StoreKnown
    from orchestrator.build.outputs import Recorded
    from orchestrator.build.plan import Plan
    from orchestrator.build.substitute import Offers
    from orchestrator.cli.graph_memory import GraphMemory
    from orchestrator.digest import Digest
    from orchestrator.digest.kept import Moment
    from orchestrator.events import Monitor
    from orchestrator.graph.derivation import Graph, Node, Source
    from orchestrator.recipe import Project, Recipes
    from orchestrator.store import Layout


DEFAULT_JOBS = 2


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """`--store` and `--json`, which every verb has."""
    parser.add_argument(
        "--store", type=_directory, metavar="DIR", help="the store (else $ORCH_STORE, else the project's)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def add_goal_arguments(parser: argparse.ArgumentParser) -> None:
    """GOAL... and `--set`."""
    parser.add_argument("goals", nargs="+", metavar="GOAL", help="a recipe's name")
    add_set_argument(parser)
    add_source_argument(parser)


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """`--set`, as often as there are options."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", dest="settings",
        help="cuda=13 for all that reads it, ucx.version=1.13.1 or libfabric.verbs=on for one recipe, origin=source to "
        "prefer building; may be given more than once",
    )  # fmt: skip


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """`--source`, as often as there are recipes."""
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=DIR", dest="own_sources",
        help="build NAME from your own directory, all of it but .git; what is made of it is marked dirty",
    )  # fmt: skip


def this_platform() -> str:
    """Such as `x86_64-linux`."""
    machine = os.uname()
    return f"{machine.machine}-{machine.sysname.lower()}"


@frozen
class Opened:
    """A project, its recipes and where its store lies."""

    project: Project
    recipes: Recipes
    store_root: Path
    moment: Moment | None = None  # None: nothing that was remembered can be believed
    own_sources: Mapping[str, Path] = field(default_factory=dict)  # by recipe: directories in place of its source
    _known: dict[Path, StoreKnown] = field(default_factory=dict)  # by store

    def store(self, *, create: bool = True) -> Layout:
        """The store, made if it is not there; without `create` it is only read, and may be absent."""
        from orchestrator.store import open_store

        return open_store(self.store_root, create=create)

    def graph(self, goals: Sequence[str], settings: Sequence[str], *, showing: bool = False) -> Graph:
        """The goals' graph under the settings given; for `showing`, versions that are not locked are in it too."""
        from orchestrator.graph.options import parse_settings

        for goal in goals:
            self.refuse_unknown(goal)
        parsed = parse_settings(settings, self.recipes, self.project.options)
        gc.disable()  # thousands of values come to stay: looking for garbage among them takes a tenth of the time
        try:
            graph = self._memory.graph(self.recipes, tuple(goals), parsed) if self._memory is not None else None
            if graph is None:
                from orchestrator.graph.resolve import resolve

                graph = resolve(
                    self.recipes, self.project.options, tuple(goals), parsed, this_platform(),
                    allow_unlocked=showing, replaced=frozenset(self.own_sources),
                )  # fmt: skip
            gc.freeze()
        finally:
            gc.enable()
        return self._with_own_sources(graph) if self.own_sources else graph

    def _with_own_sources(self, graph: Graph) -> Graph:
        from orchestrator.fetch.developer import developer_tree
        from orchestrator.graph.dirty import DeveloperTree, with_trees

        trees = {
            name: DeveloperTree(path=str(path), tree=developer_tree(path)) for name, path in self.own_sources.items()
        }
        return with_trees(graph, trees)

    def known(self, layout: Layout) -> StoreKnown:
        """The store as the planner sees it, with what is remembered of its records."""
        if layout.root not in self._known:
            from orchestrator.build.known import StoreKnown, remembered_outputs

            self._known[layout.root] = StoreKnown(layout=layout, outputs=remembered_outputs(layout, self.moment))
        return self._known[layout.root]

    def finished(self, graph: Graph, layout: Layout) -> dict[str, Digest]:
        """The goals of `graph` for which nothing is to do, and their outputs."""
        from orchestrator.build.plan import finished

        return finished(graph, self.known(layout))

    def plan(
        self,
        graph: Graph,
        layout: Layout,
        offers: Offers | None = None,
        *,
        done: Mapping[str, Digest] | None = None,
        remember: bool = True,
    ) -> Plan:
        """What is left to do for the goals of `graph`, copying what `offers` has. `done`: as `make_plan` has it."""
        from orchestrator.build.plan import make_plan

        known = self.known(layout)
        plan = make_plan(graph, known, offers=offers, done=done)
        known.save()
        self.recipes.save_index()
        if remember:
            self.remember(graph, plan.recorded)
        return plan

    def remember(self, graph: Graph, recorded: Recorded) -> None:
        """Let the graph, with the keys by which records were found, be known the next time."""
        if self._memory is not None:
            self._memory.keep(graph, self.recipes, recorded)

    @property
    def _memory(self) -> GraphMemory | None:
        """Where graphs are remembered; None where nothing can be believed, or sources are the developer's own."""
        if self.moment is None or self.own_sources:
            return None
        from orchestrator.cli.graph_memory import GraphMemory

        return GraphMemory(self.store_root / "index", self.project, self.moment, this_platform())

    def graph_of_one(self, goal: str, settings: Sequence[str], *, showing: bool = False) -> Graph:
        """The graph of one of several goals that are looked at one by one: each reads those settings that it reads."""
        from orchestrator.graph.refuse import Unread

        while True:
            try:
                return self.graph([goal], settings, showing=showing)
            except Unread as unread:
                settings = [text for text in settings if text.partition("=")[0] != unread.name]

    def refuse_settings(self, settings: Sequence[str]) -> None:
        """Raise for a setting that no goal could have: an unknown option or value, another form than NAME=VALUE."""
        from orchestrator.graph.options import parse_settings

        parse_settings(settings, self.recipes, self.project.options)

    def refuse_unknown(self, name: str, *, or_image: bool = False) -> None:
        """Raise UsageError unless there is a recipe of this name, or, where they are meant too, an image."""
        from orchestrator.recipe.parse import suggestion

        if name not in self.recipes:
            from orchestrator.recipe import load_images

            if or_image:
                images = load_images(self.project).names
                if name in images:
                    return
                hint = suggestion(name, (*self.recipes, *images), label="recipes and images")
                raise UsageError(f"there is no recipe or image {name!r}", hint=hint)
            hint = suggestion(name, self.recipes, label="recipes")
            if name in load_images(self.project).names:
                hint = (
                    f"{name} is an image: orch image {name} makes it, orch image {name} --dry-run says what that takes"
                )
            raise UsageError(f"there is no recipe {name!r}", hint=hint)

    def looked_at(self) -> Iterator[str]:
        """Every file and directory of the project that was looked at so far, and where an orch.toml would hide this
        one."""
        from orchestrator.recipe.project import FILE

        here = Path.cwd().resolve()
        for directory in (here, *here.parents):
            yield f"{directory / FILE}"
            if directory == self.project.root:
                break
        yield from self.recipes.looked_at()

    def fetcher(
        self, layout: Layout, monitor: Monitor, *, indexes: Sequence[str] = ()
    ) -> Callable[[Node, Source, Callable[[], bool]], Path]:
        """A function that turns a node's source into a verified file. `indexes` are those that an image names."""

        def one(node: Node, source: Source, stopped: Callable[[], bool]) -> Path:
            from orchestrator.events import Fetched
            from orchestrator.fetch import Mirrors, fetch  # 70 ms to import: only who fetches pays

            mirrors = Mirrors(**self.project.mirrors, indexes=tuple(indexes))
            base = self.project.root / "recipes" / node.name
            file = fetch(layout, source, mirrors=mirrors, base=base, monitor=monitor, stopped=stopped)
            monitor(Fetched(source=source.name))
            return file

        return one


def open_project(arguments: argparse.Namespace) -> Opened:
    """The project around the working directory. `--store` beats ORCH_STORE beats the project's own."""
    from orchestrator.digest import blake3_bytes
    from orchestrator.recipe import find_project, load_recipes

    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working directory was removed", hint="change to a project's directory") from error
    project = find_project(here)
    store = Path(arguments.store or os.environ.get("ORCH_STORE") or project.store or project.root / "store").absolute()
    moment = _moment()
    index = None
    if moment is not None:
        from orchestrator.recipe.index import RecipeIndex

        name = f"recipes-{blake3_bytes(os.fsencode(project.root)).hex[:16]}"
        index = RecipeIndex(store / "index" / name, project, moment)
    recipes, own = load_recipes(project, index), _own_sources(getattr(arguments, "own_sources", ()))
    return Opened(project=project, recipes=recipes, store_root=store, moment=moment, own_sources=own)


_stay: list[object] = []


def stay(*values: object) -> None:
    """Let these live until the process ends: to take a thousand nodes apart takes longer than to end."""
    _stay[:] = values


def _own_sources(texts: Sequence[str]) -> dict[str, Path]:
    """What `--source` says, by recipe."""
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, directory = text.partition("=")
        if not equals or not name or not directory:
            raise UsageError(f"not a source: {text!r}", where="--source", hint="write --source NAME=DIR")
        if name in found:
            raise UsageError(f"{name} has two sources", where="--source", hint="name one directory for each recipe")
        found[name] = Path(directory).expanduser().resolve()
    return found


def _moment() -> Moment | None:
    """This process, for what is remembered; None if orch itself was changed just now."""
    from orchestrator.cli import answers
    from orchestrator.digest.kept import Moment
    from orchestrator.digest.looks import YOUNG

    try:
        code, newest = answers.code()
    except OSError:
        return None
    return Moment(began=answers.BEGAN, code=code) if newest < answers.BEGAN - YOUNG else None


def _directory(text: str) -> Path:
    """An argparse type: a path, which "" is not: that would be the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def positive(text: str) -> int:
    """An argparse type: a whole number from 1 to a million."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    if value > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1000000")
    return value
