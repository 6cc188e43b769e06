"""What most verbs begin with: the project around the working directory, its recipes, its store, the goals' graph."""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """`--set`, as often as there are options."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", dest="settings",
        help="cuda=13 for all that reads it, ucx.version=1.13.1 or libfabric.verbs=on for one recipe, origin=source to "
        "prefer building; may be given more than once",
    )  # fmt: skip


def this_platform() -> str:
    """Such as `x86_64-linux`."""
    return f"{platform.machine()}-{platform.system().lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A project, its recipes and where its store lies."""

    project: Project
    recipes: Recipes
    store_root: Path

    def store(self, *, create: bool = True) -> Layout:
        """The store, made if it is not there; without `create` it is only read, and may be absent."""
        from orchestrator.store import open_store

        return open_store(self.store_root, create=create)

    def graph(self, goals: Sequence[str], settings: Sequence[str], *, showing: bool = False) -> Graph:
        """The goals' graph under the settings given; for `showing`, versions that are not locked are in it too."""
        from orchestrator.graph.options import parse_settings
        from orchestrator.graph.resolve import resolve

        for goal in goals:
            self.refuse_unknown(goal)
        parsed = parse_settings(settings, self.recipes, self.project.options)
        options = self.project.options
        return resolve(self.recipes, options, tuple(goals), parsed, this_platform(), allow_unlocked=showing)

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

    def refuse_unknown(self, name: str) -> None:
        """Raise UsageError unless there is a recipe of this name."""
        from orchestrator.recipe.parse import suggestion

        if name not in self.recipes:
            from orchestrator.recipe import load_images

            hint = suggestion(name, self.recipes, label="recipes")
            if name in load_images(self.project).names:
                hint = (
                    f"{name} is an image: orch image {name} makes it, orch image {name} --dry-run says what that takes"
                )
            raise UsageError(f"there is no recipe {name!r}", hint=hint)

    def looked_at(self) -> Iterator[Path]:
        """Every file and directory of the project that was looked at so far, and where an orch.toml would hide this
        one."""
        from orchestrator.recipe.project import FILE

        here = Path.cwd().resolve()
        for directory in (here, *here.parents):
            yield directory / FILE
            if directory == self.project.root:
                break
        yield from self.recipes.looked_at()

    def fetcher(
        self, layout: Layout, monitor: Monitor, *, indexes: Sequence[str] = ()
    ) -> Callable[[Node, Source, Callable[[], bool]], Path]:
        """A function that turns a node's source into a verified file. `indexes` are those that an image names."""
        from orchestrator.events import Fetched
        from orchestrator.fetch import Mirrors, fetch

        mirrors = Mirrors(**self.project.mirrors, indexes=tuple(indexes))

        def one(node: Node, source: Source, stopped: Callable[[], bool]) -> Path:
            base = self.project.root / "recipes" / node.name
            file = fetch(layout, source, mirrors=mirrors, base=base, monitor=monitor, stopped=stopped)
            monitor(Fetched(source=source.name))
            return file

        return one


def open_project(arguments: argparse.Namespace) -> Opened:
    """The project around the working directory. `--store` beats ORCH_STORE beats the project's own."""
    from orchestrator.recipe import find_project, load_recipes

    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working directory was removed", hint="change to a project's directory") from error
    project = find_project(here)
    store = arguments.store or os.environ.get("ORCH_STORE") or project.store or project.root / "store"
    return Opened(project=project, recipes=load_recipes(project), store_root=Path(store).absolute())


def _directory(text: str) -> Path:
    """An argparse type: a path, which "" is not: that would be the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def positive(text: str) -> int:
    """An argparse type: a whole number of at least one."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return value
