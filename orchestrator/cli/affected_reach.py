"""From edited recipes and files to all that stands on them, in the graphs of the recipes and of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.affected_edits import Edits
from orchestrator.errors import OrchError, RecipeError
from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from orchestrator.cli.opening import Opened
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph, Node
    from orchestrator.recipe import Image, Recipe
    from orchestrator.store import Layout


@frozen
class Reach:
    """What edits touch under the default options. `builds` maps derivation keys to the seconds they took."""

    edited: tuple[str, ...]
    above: tuple[str, ...]
    checks: tuple[str, ...]
    unread: tuple[str, ...]  # sentences about what touches nothing
    failed: tuple[tuple[str, str], ...]  # recipes that have no graph, and why
    builds: Mapping[str, float | None]
    took: Callable[[str, Digest], float | None]


@frozen
class TouchedImage:
    """What edits touch of an image. `layers` None: it was not made here."""

    name: str
    own: bool = False  # its own files are edited
    components: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    layers: tuple[str, ...] | None = None
    layer_count: int = 0
    builds: Mapping[str, float | None]
    problem: str = ""

    @property
    def touched(self) -> bool:
        return self.own or bool(self.components or self.checks)

    @property
    def text(self) -> str:
        """`nixl, ucx may move: 2 of 12 layers (nixl, ucx)`."""
        if not self.components:
            what = "its own files are edited" if self.own else f"checks of {', '.join(self.checks)}"
            return f"assembled again: {what}; layers whose files stay the same are kept"
        own = "its own files are edited; " if self.own else ""
        from orchestrator.cli.why_text import some_names

        moved = f"{own}{some_names(self.components)} may move"
        if self.layers is None:
            return f"{moved}; its layers are not known, it was not made here"
        return f"{moved}: {len(self.layers)} of {self.layer_count} layers ({some_names(self.layers)})"


def _dependents(recipes: Mapping[str, Recipe], edited: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Every recipe that names one of `edited` as an input in some version or option, or one that does; and those that
    cannot be read."""
    users: dict[str, set[str]] = {}
    failed: list[tuple[str, str]] = []
    for name in recipes:
        try:
            for one in _named(recipes[name]):
                users.setdefault(one, set()).add(name)
        except RecipeError as error:
            failed.append((name, error.what))
    found: set[str] = set()
    todo = list(edited)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += users.get(name, ())
    return sorted(found - {name for name, _ in failed}), failed


def _named(recipe: Recipe) -> Iterator[str]:
    for parts in recipe.parts.values():
        yield from (*parts.inputs.build, *parts.inputs.runtime, *parts.inputs.check)
    for option in recipe.options.values():
        for value in option.values.values():
            yield from (*value.build, *value.runtime)


def _graphs(opened: Opened, names: Sequence[str], settings: Sequence[str]) -> tuple[list[Graph], list[tuple[str, str]]]:
    """The graphs of all these recipes: one if they go together, else one each."""
    if not names:
        return [], []
    try:
        return [opened.graph(names, settings)], []
    except RecipeError:
        graphs, failed = [], []
        for name in names:
            try:
                graphs.append(opened.graph_of_one(name, settings))
            except RecipeError as error:
                failed.append((name, error.what))
        return graphs, failed


@frozen
class _Touched:
    """What edits touch in one graph."""

    edited: tuple[str, ...]  # themselves built again
    above: tuple[str, ...]
    checks: tuple[str, ...]


def _touched(graph: Graph, edits: Edits, extra: Iterable[str] = ()) -> _Touched:
    from orchestrator.graph.closure import check_mounts

    start = {node.name for node in graph.nodes if node.name in edits.recipes or _reads(node, edits)} | set(extra)
    built = set(start)
    for node in graph.nodes:  # dependencies first
        if not built.isdisjoint(node.build):
            built.add(node.name)
    checks = [
        node.name
        for node in graph.nodes
        if node.check is not None
        and (
            not built.isdisjoint(check_mounts(graph, node))
            # The environment and the loader's directories of a recipe are seen by whoever runs with it.
            or not edits.recipes.isdisjoint((node.name, *node.runtime))
            or any(file.name in edits.files.get(node.name, ()) for file in node.check.files)
        )
    ]
    order = list(graph.names)
    return _Touched(
        edited=tuple(name for name in order if name in start),
        above=tuple(name for name in order if name in built - start),
        checks=tuple(checks),
    )


def _reads(node: Node, edits: Edits) -> bool:
    """Whether the build of a node reads one of the edited files: a patch, a helper, a source beside it, its lock."""
    files = edits.files.get(node.name, frozenset())
    beside = {file.name for file in (*node.patches, *node.files)}
    beside |= {source.name.partition(":")[2] for source in node.sources if source.name.startswith("file:")}
    locks = {source.where.partition(":")[0].rpartition("/")[2] for source in node.sources if node.is_base}
    return not files.isdisjoint(beside | locks)


def default_reach(opened: Opened, edits: Edits, settings: Sequence[str], layout: Layout) -> Reach:
    """What is touched among the recipes, images apart."""
    from orchestrator.cli.why_past import took
    from orchestrator.graph.keys import derivation_keys

    def seconds(name: str, key: Digest) -> float | None:
        return took(layout, name, key)

    names, failed = _dependents(opened.recipes, edits.named)
    graphs, refused = _graphs(opened, names, settings)
    edited: dict[str, None] = {}
    above: dict[str, None] = {}
    checks: dict[str, None] = {}
    builds: dict[str, float | None] = {}
    for graph in graphs:
        found, keys = _touched(graph, edits), derivation_keys(graph)
        edited |= dict.fromkeys(found.edited)
        above |= dict.fromkeys(found.above)
        checks |= dict.fromkeys(found.checks)
        builds |= {str(keys[name]): seconds(name, keys[name]) for name in (*found.edited, *found.above)}
    return Reach(
        edited=tuple(edited),
        above=tuple(name for name in above if name not in edited),
        checks=tuple(checks),
        unread=tuple(_unread(edits, graphs)),
        failed=(*failed, *refused),
        builds=builds,
        took=seconds,
    )


def _unread(edits: Edits, graphs: Sequence[Graph]) -> Iterator[str]:
    """What is said of files that nothing reads under these options."""
    nodes = [node for graph in graphs for node in graph.nodes]
    for recipe, files in edits.files.items():
        for file in sorted(files):
            one = Edits(recipes=frozenset(), files={recipe: frozenset({file})}, images=frozenset(), all_images=())
            mine = [node for node in nodes if node.name == recipe]
            checked = any(node.check and any(f.name == file for f in node.check.files) for node in mine)
            if not checked and not any(_reads(node, one) for node in mine):
                versions = ", ".join(sorted({node.version for node in mine})) or "with these options"
                yield f"recipes/{recipe}/{file} is not read by {recipe} {versions}"


def image_reach(
    opened: Opened,
    name: str,
    edits: Edits,
    settings: Sequence[str],
    layout: Layout,
    seconds: Callable[[str, Digest], float | None],
) -> TouchedImage:
    """What is touched of an image, under its own options."""
    from orchestrator.cli.image_goal import image_graph
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.image.components import component_names
    from orchestrator.recipe import load_images
    from orchestrator.store import latest_image

    own = name in edits.images
    try:
        image: Image = load_images(opened.project)[name]
        graph = image_graph(opened, image, _read_by(opened, image, settings))
    except OrchError as error:
        return TouchedImage(name=name, own=own, builds={}, problem=error.what)
    found, keys = _touched(graph, edits), derivation_keys(graph)
    built = {*found.edited, *found.above}
    components = tuple(one for one in component_names(graph, image) if one in built)
    record = latest_image(layout, name)
    layers = None if record is None else [one.name for one in record.layers if built & set(one.components)]
    return TouchedImage(
        name=name,
        own=own,
        components=components,
        checks=found.checks,
        layers=None if layers is None else tuple(layers),
        layer_count=len(record.layers) if record is not None else 0,
        builds={str(keys[one]): seconds(one, keys[one]) for one in built},
    )


def _read_by(opened: Opened, image: Image, settings: Sequence[str]) -> list[str]:
    """Those of the settings that something of the image reads."""
    from orchestrator.cli.image_goal import image_graph
    from orchestrator.graph.refuse import Unread

    left = list(settings)
    while left:
        try:
            image_graph(opened, image, left)
            return left
        except Unread as unread:
            kept = [text for text in left if text.partition("=")[0] != unread.name]
            if kept == left:
                raise
            left = kept
    return left
