"""A graph as it was resolved before, brought up to date where only recipes' own content changed. Pure.

What is remembered follows from the recipes and the question alone, so it is right wherever they are the same. A recipe
that differs only in what its own output is made of (sources, script, files) leaves the graph's form as it is: its node
is made anew, and the keys of what is above it. Any other change, and the graph is resolved as if nothing were known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.frozen import NamedTuple
from orchestrator.graph.choose import Chooser
from orchestrator.graph.derivation import Graph, Node, Nodes, Past
from orchestrator.graph.keys import key_form
from orchestrator.graph.node import Mounts, make_node
from orchestrator.recipe.index import Prints, outline
from orchestrator.recipe.model import Recipe

_FEW = 64  # nodes that are sooner made anew than written down


class Printed(Protocol):
    """Recipes that can be told apart without being read (recipe.Recipes)."""

    def prints(self, name: str) -> Prints: ...
    def unlike(self, names: Sequence[str], were: Sequence[Prints]) -> list[int]: ...
    def __getitem__(self, name: str) -> Recipe: ...
    def __contains__(self, name: object) -> bool: ...


class Kept(NamedTuple):
    """What is kept of a graph, all of it by the places of its nodes."""

    names: tuple[str, ...]
    prints: tuple[Prints, ...]  # of the recipes
    required: tuple[str, ...]  # recipes that must be there, in the graph or not
    builds: tuple[tuple[int, ...], ...]  # Node.build
    nodes: tuple[bytes, ...]  # packed
    briefs: tuple[tuple[Any, ...], ...]  # Nodes.brief
    keys: tuple[str, ...]  # derivation keys, hex
    recorded: tuple[tuple[str, str] | None, ...]  # Past.recorded


def keep(graph: Graph, recipes: Printed, recorded: Mapping[str, tuple[str, Digest]]) -> Kept:
    """What to keep of `graph`, whose keys are known. `recorded` maps names to the key that a record was looked up by,
    hex, and the output that it told."""
    assert isinstance(graph.nodes, Nodes) or graph.past is None
    nodes = graph.nodes if isinstance(graph.nodes, Nodes) else Nodes(graph.names, list(graph.nodes))
    builds = graph.past.builds if graph.past is not None else None
    return Kept(
        names=graph.names,
        prints=tuple(recipes.prints(name) for name in graph.names),
        required=graph.past.required if graph.past is not None else tuple(_required(graph, recipes)),
        builds=builds or tuple(tuple(map(graph.place, node.build)) for node in graph.nodes),
        nodes=tuple(nodes.packed()),
        briefs=tuple(tuple(nodes.brief(place)) for place in range(len(nodes))),
        keys=tuple(graph.known_keys[name].hex for name in graph.names),
        recorded=tuple(
            (found[0], found[1].hex) if (found := recorded.get(name)) is not None else None for name in graph.names
        ),
    )


def after_run(
    graph: Graph, planned: Mapping[str, tuple[str, Digest]], made: Mapping[str, tuple[str, Digest]]
) -> dict[str, tuple[str, Digest]]:
    """What records tell after a run, of what the plan had found and what was made or cut off since. Left out is what
    was looked up with other outputs of its inputs than there are now: something may have come out different."""
    recorded = {**planned, **made}
    texts = {name: str(output) for name, (_, output) in recorded.items()}
    moved = {graph.place(name) for name in made if name in graph}
    builds = graph.past.builds if graph.past is not None else [tuple(map(graph.place, n.build)) for n in graph.nodes]
    for place, name in enumerate(graph.names):
        if name not in recorded or (place not in moved and moved.isdisjoint(builds[place])):
            continue
        whole = all(i in texts for i in graph[name].build)
        if not whole or key_form(graph, name).key(texts).hex != recorded[name][0]:
            del recorded[name]
    return recorded


def _required(graph: Graph, recipes: Printed) -> Iterator[str]:
    found = {need.recipe for node in graph.nodes for need in recipes[node.name].versions[node.version].requires}
    yield from sorted(found - set(graph.names))


def worth_keeping(graph: Graph, recorded: Mapping[str, tuple[str, Digest]]) -> bool:
    """Whether what is kept of `graph` so far, if anything is, has become old."""
    if graph.past is None:
        return True
    few = min(_FEW, len(graph.names) // 16)
    if len(graph.past.fresh) > few:
        return True
    pairs = zip(graph.names, graph.past.recorded, strict=True)
    return sum(1 for name, was in pairs if name in recorded and (was is None or was[0] != recorded[name][0])) > few


def recall(
    kept: Sequence[Any], recipes: Printed, chooser: Chooser, goals: tuple[str, ...], platform: str
) -> Graph | None:
    """The graph that was kept, as it is with the recipes of now; None if it has to be resolved."""
    was = Kept(*kept)
    nodes: list[Node | bytes] = list(was.nodes)
    fresh: set[int] = set()
    try:
        for place in recipes.unlike(was.names, was.prints):
            if outline(recipes.prints(was.names[place])) != outline(was.prints[place]):
                return None
            fresh.add(place)
        if not all(name in recipes for name in was.required):
            return None
        old = Nodes(was.names, list(was.nodes))
        for place in fresh:
            nodes[place] = _again(recipes[was.names[place]], old[place], chooser, platform)
    except (KeyError, RecipeError):  # one is gone or wrong: whoever resolves says so
        return None
    past = Past(builds=was.builds, recorded=was.recorded, required=was.required, fresh=frozenset(fresh))
    graph = Graph(goals=goals, nodes=Nodes(was.names, nodes, was.briefs), options=chooser.settings.values, past=past)
    graph.known_keys.update(_keys(graph, was, fresh))
    return graph


def _again(recipe: Recipe, old: Node, chooser: Chooser, platform: str) -> Node:
    """The node of a recipe whose outline is as it was."""
    mounts = Mounts(build=old.build, runtime=old.runtime, check=old.check.inputs if old.check is not None else ())
    return make_node(chooser.at(recipe, old.version, ""), mounts, platform, checked=old.check is not None)


def _keys(graph: Graph, was: Kept, fresh: set[int]) -> dict[str, Digest]:
    """The derivation keys: those of before, but for what is fresh and what is built with it."""
    keys = [Digest("blake3", key) for key in was.keys]
    moved = set(fresh)
    if moved:
        for place, inputs in enumerate(was.builds):  # dependencies come first
            if place in fresh or not moved.isdisjoint(inputs):
                texts = {was.names[i]: str(keys[i]) for i in inputs}
                keys[place] = key_form(graph, was.names[place]).key(texts)
                moved.add(place)
    return dict(zip(was.names, keys, strict=True))
