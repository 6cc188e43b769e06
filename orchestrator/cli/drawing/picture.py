"""What a picture of a graph shows, as values: boxes and the edges between them. Pure.

An edge leads from what needs to what is needed. Of the edges of a graph those are left out that others imply: what is
mounted beside an input because it runs with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.frozen import frozen, replace

if TYPE_CHECKING:
    from orchestrator.graph.derivation import Graph

Kind = Literal["runtime", "build", "check"]
KINDS: Mapping[Kind, str] = {  # how an edge reads, in the order in which one hides another between the same two
    "runtime": "runs with",
    "build": "is only built with",
    "check": "is only checked with",
}

State = Literal["in store", "to check", "to build", "perhaps", "to fetch", "failed", "not locked", "absent"]
STATES: Mapping[State, str] = {  # what each means, in the order of the legend
    "in store": "it is there",
    "to check": "built, its check has not passed",
    "to build": "its sources are there",
    "to fetch": "its sources are fetched, then it is built",
    "perhaps": "built only if an input comes out different",
    "failed": "failed last time; would be tried again",
    "not locked": "its hashes are not known",
    "absent": "not in the store, and not needed now",
}


@frozen
class Box:
    """One component. `bytes` is what it takes in the store, `seconds` what it took to build; None where not known."""

    name: str
    version: str = ""
    origin: str = ""
    state: State = "absent"
    bytes: int | None = None
    seconds: float | None = None
    reason: str = ""  # why it is to be built, or how it failed
    kind: str = ""  # such as `image`
    holds: tuple[str, ...] = ()  # of a group: the names of what is in it
    ran: str = ""  # in a picture of a run: what it did with it, such as `this run: built`

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}".rstrip()

    def facts(self) -> list[str]:
        """Whether it is of a developer's own tree, or ran; its size and time, as far as they are known."""
        found = ["dirty"] if self.origin == "dirty" else []
        if self.ran:
            found.append(self.ran)
        if self.bytes is not None:
            found.append(bytes_text(self.bytes))
        if self.seconds is not None and self.seconds >= 0.05:
            found.append(seconds_text(self.seconds))
        return found


@frozen
class Edge:
    """`source` needs `target`."""

    source: str
    target: str
    kind: Kind


@frozen
class Picture:
    """What is drawn. `roots` are the goals."""

    title: str
    roots: tuple[str, ...]
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]

    def count(self, state: State) -> int:
        """How many components are in a state; those in a group count one by one."""
        return sum(max(1, len(box.holds)) for box in self.boxes if box.state == state)

    def summary(self) -> str:
        """`12 in store, 3 to build`."""
        return ", ".join(f"{self.count(state)} {state}" for state in STATES if self.count(state))


def edges_of(graph: Graph, *, everything: bool = False) -> tuple[Edge, ...]:
    """The edges of a graph: of what is mounted, only what no other mounted component brings; or `everything`.

    They say as much as all edges: what runs with a component is what its runtime edges lead to; what it is built with
    is where its build edges lead, and what runs with that.
    """
    edges: list[Edge] = []
    for node in graph.nodes:
        check = node.check.inputs if node.check is not None else ()
        mounted: tuple[tuple[Kind, Sequence[str]], ...] = (
            ("runtime", node.runtime),
            ("build", node.build),
            ("check", check),
        )
        for kind, names in mounted:
            chosen = names if everything else _direct(graph, names)
            edges += [Edge(source=node.name, target=name, kind=kind) for name in chosen]
    return tuple(edges)


def _direct(graph: Graph, names: Sequence[str]) -> list[str]:
    """Those of `names` that run with no other of them."""
    implied: set[str] = set()
    for name in names:
        if name not in implied:  # what it runs with is implied by what implies it
            implied.update(graph[name].runtime)
    return [name for name in names if name not in implied]


def grouped(picture: Picture, members: Collection[str], group: Box) -> Picture:
    """The picture with one box in place of `members`."""
    names = set(members)
    boxes = [box for box in picture.boxes if box.name not in names]

    def place(name: str) -> str:
        return group.name if name in names else name

    edges = (replace(edge, source=place(edge.source), target=place(edge.target)) for edge in picture.edges)
    kept = dict.fromkeys(edge for edge in edges if edge.source != edge.target)
    return replace(picture, boxes=(*boxes, group), edges=tuple(kept))


def to_depth(picture: Picture, depth: int) -> Picture:
    """The part of the picture that is at most `depth` edges below a root."""
    reached = set(picture.roots)
    level: Iterable[str] = picture.roots
    below = needs_of(picture)
    for _ in range(depth):
        level = [edge.target for name in level for edge in below.get(name, ()) if edge.target not in reached]
        reached.update(level)
    return replace(
        picture,
        boxes=tuple(box for box in picture.boxes if box.name in reached),
        edges=tuple(edge for edge in picture.edges if edge.source in reached and edge.target in reached),
    )


def strongest(edges: Sequence[Edge]) -> tuple[Edge, ...]:
    """One edge between the same two: that which says most."""
    order = list(KINDS)
    chosen: dict[tuple[str, str], Edge] = {}
    for edge in edges:
        pair = edge.source, edge.target
        if pair not in chosen or order.index(edge.kind) < order.index(chosen[pair].kind):
            chosen[pair] = edge
    return tuple(chosen.values())


def needs_of(picture: Picture) -> dict[str, list[Edge]]:
    """The edges that leave each box, one between the same two."""
    found: dict[str, list[Edge]] = {}
    for edge in strongest(picture.edges):
        found.setdefault(edge.source, []).append(edge)
    return found
