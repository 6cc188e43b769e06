"""Puts the trees of a bytecode step in the order in which the image has them: bytecode has to be of the file that is
there. Which file that is is known only when the trees are, so it is not in the graph. What is run: graph/bytecode.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.graph.derivation import Node
from orchestrator.tree import Manifest


@dataclass(slots=True)
class _Choices:
    """The node's flags (graph/environment.py): who wins a path, which paths of a component are left out."""

    winners: dict[str, str] = field(default_factory=dict)
    drops: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Node) -> _Choices:
        choices = cls()
        for flag in node.flags:
            kind, component, path = flag.split(" ", 2)
            if kind == "winner":
                choices.winners[path] = component
            else:
                choices.drops.setdefault(component, []).append(path)
        return choices


def arranged(
    node: Node, inputs: Sequence[tuple[str, Digest]], manifests: Mapping[str, Manifest]
) -> tuple[tuple[tuple[str, Digest], ...], tuple[str, ...]]:
    """`inputs` (top first, the base last) so that each Python file seen is the one that the image has, and the paths,
    relative, that are to get no bytecode since the image has none of these files there.

    Where two differ and nobody is named the winner, the order given stays: the image will be refused for it. Raise
    RecipeError if no order does it.
    """
    *wheels, base = inputs
    choices = _Choices.of(node)
    holders: dict[str, list[tuple[str, str, bool]]] = {}  # path -> wheel, content, whether it is dropped
    for name, _ in wheels:
        for path, content, dropped in _sources(manifests[name], choices.drops.get(name, ())):
            holders.setdefault(path, []).append((name, content, dropped))
    left_out: list[str] = []
    above: dict[str, dict[str, str]] = {}  # wheel -> wheels that have to be above it, and for which path
    for path, found in holders.items():
        live = [(name, content) for name, content, dropped in found if not dropped]
        winner = choices.winners.get(path)
        if not live or (winner is not None and winner not in {name for name, _ in live}):
            left_out.append(path)
            continue
        owner, content = next((one for one in live if one[0] == winner), live[0])
        for name, other, _ in found:
            if name != owner and other != content:
                above.setdefault(name, {})[owner] = path
    return (*_ordered(node, wheels, above), base), tuple(sorted(left_out))


def _sources(manifest: Manifest, drops: Sequence[str]) -> list[tuple[str, str, bool]]:
    found = []
    gone: set[str] = set()
    for entry in manifest.entries:
        if drops and (entry.path.rpartition("/")[0] in gone or any(fnmatchcase(entry.path, drop) for drop in drops)):
            gone.add(entry.path)
        if entry.kind != "dir" and entry.path.endswith(".py"):
            found.append((entry.path, entry.digest or entry.target, entry.path in gone))
    return found


def _ordered(
    node: Node, wheels: Sequence[tuple[str, Digest]], above: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, Digest]]:
    waiting = list(wheels)
    ordered: list[tuple[str, Digest]] = []
    placed: set[str] = set()
    while waiting:
        ready = next((one for one in waiting if placed.issuperset(above.get(one[0], ()))), None)
        if ready is None:
            raise _circle(node, [name for name, _ in waiting], above)
        waiting.remove(ready)
        ordered.append(ready)
        placed.add(ready[0])
    return ordered


def _circle(node: Node, waiting: Sequence[str], above: Mapping[str, Mapping[str, str]]) -> RecipeError:
    lines = [
        f"/{path}: {owner} wins over {name}"
        for name in waiting
        for owner, path in above.get(name, {}).items()
        if owner in waiting
    ]
    return RecipeError(
        "no order of the wheels gives each file the content that wins",
        where=f"{node.where}: winners",
        why="\n".join(lines[:8]),
        hint="let one component win all that two have in common, or drop the other's files",
    )
