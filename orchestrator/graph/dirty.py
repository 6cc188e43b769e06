"""A developer's own directory as the source of a recipe: the graph with it, and what is dirty because of it. Pure.

Dirty is what is made of such a directory, and what is built with something dirty. It has keys of its own, so that no
record of it is ever taken for one of what anybody else could make.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import RecipeError, UsageError
from orchestrator.frozen import frozen, replace
from orchestrator.graph.derivation import Graph, Node, Source

SCHEME = "dir:"


@frozen
class DeveloperTree:
    """A directory as it was when the command began."""

    path: str  # absolute
    tree: str  # BLAKE3 hex


def with_trees(graph: Graph, trees: Mapping[str, DeveloperTree]) -> Graph:
    """The graph with these directories in place of the main sources of the nodes that `trees` names.

    Raise UsageError for a name that the graph has not, RecipeError for a node that is not built from a source.
    """
    for name in trees:
        if name not in graph:
            goals = ", ".join(graph.goals)
            raise UsageError(
                f"{goals} is not made of {name}", where=f"--source {name}", hint=f"orch plan {goals} says of what"
            )
    dirty: set[str] = set()
    nodes = []
    for node in graph.nodes:  # dependencies come first
        found = _with_tree(node, trees[node.name]) if node.name in trees else node
        if node.name in trees or not dirty.isdisjoint(node.build):
            dirty.add(node.name)
            found = replace(found, origin="dirty")
        nodes.append(found)
    return Graph(goals=graph.goals, nodes=tuple(nodes), options=graph.options)


def dirty_names(graph: Graph) -> tuple[str, ...]:
    """The nodes that are dirty, dependencies first."""
    return tuple(node.name for node in graph.nodes if node.origin == "dirty")


def _with_tree(node: Node, tree: DeveloperTree) -> Node:
    """The node with a directory in place of the source that its script starts in: its first one that is unpacked."""
    main = next((index for index, source in enumerate(node.sources) if source.unpack is not None), None)
    if node.origin != "source" or main is None:
        raise RecipeError(
            f"{node.label} is not built from a source tree",
            where=f"--source {node.name}={tree.path}",
            why=f"its origin is {node.origin}" if node.origin != "source" else "none of its sources is unpacked",
            hint=f"choose a version that is: --set {node.name}.version=...; orch show {node.name} lists them",
        )
    own = Source(
        name=f"{SCHEME}{tree.path}",
        file_name=f"{node.name}-dirty.tar",  # the key tells it from the same tree out of a locked source
        tree=tree.tree,
        unpack=node.sources[main].unpack,
        where=f"--source {node.name}={tree.path}",
    )
    others = (*node.sources[:main], *node.sources[main + 1 :])
    if unknown := [source for source in others if source.sha256 is None and source.tree is None]:
        raise RecipeError(
            f"{node.label} is not locked: the hash of another of its sources is not known",
            where=unknown[0].where,
            why=f"{unknown[0].name} is used too",
            hint=f"orch source lock {node.name}@{node.version} completes it where its host answers",
        )
    return replace(node, sources=(*node.sources[:main], own, *node.sources[main + 1 :]), locked=True)
