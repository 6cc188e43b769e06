"""A derivation is a recipe with every choice made: nothing is left to look up. Its key is a hash of what it says."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

from orchestrator.digest import Digest
from orchestrator.digest.packed import Packer
from orchestrator.frozen import NamedTuple, field, frozen
from orchestrator.recipe.model import LocalFile, Setuid

__all__ = ["Check", "Graph", "LocalFile", "Node", "Origin", "Setuid", "Source"]

Origin = Literal["source", "vendor", "dirty"]  # dirty: of a developer's own tree, or built with something that is


@frozen
class Source:
    """A fixed-output source. `name` is the full `pypi:...` text; `where` (file and field) is for messages only."""

    name: str
    file_name: str
    sha256: str | None = None  # hex of the file
    tree: str | None = None  # blake3 hex of what it unpacks to, for archives that hosts generate anew
    size: int | None = None  # bytes; not in the key
    unpack: str | None = None  # directory below /build; None: the file stays as it is
    where: str = ""  # not in the key

    @property
    def at_hand(self) -> bool:
        """Whether it is a file or directory of this machine, so that nothing has to come over a network."""
        return self.name.startswith(("file:", "dir:", "git:file:"))


@frozen
class Check:
    """The step that decides whether an output works. `inputs` are node names mounted besides the runtime closure."""

    script: str
    files: tuple[LocalFile, ...] = ()
    inputs: tuple[str, ...] = ()  # with their runtime closures; top first; holds a base if it replaces the runtime base


@frozen
class Node:
    """One recipe in one goal's graph, or what an image adds to it (graph/environment.py)."""

    name: str
    version: str
    origin: Origin
    platform: str
    summary: str
    builder: Literal["script", "debian-base", "wheel", "bytecode"]
    is_base: bool
    options: tuple[tuple[str, str], ...]  # the options it reads, by name
    flags: tuple[str, ...]
    sources: tuple[Source, ...]
    patches: tuple[LocalFile, ...]
    files: tuple[LocalFile, ...]
    script: str
    setuid: tuple[Setuid, ...] = ()
    build: tuple[str, ...]  # every node mounted while it is built, top first, the base last
    runtime: tuple[str, ...]  # every node of its runtime closure, itself not, top first, the base last
    check: Check | None = None  # None too where no goal runs with it
    environment: tuple[tuple[str, str], ...] = ()  # [runtime] env
    ldconf: tuple[str, ...] = ()
    locked: bool = True
    where: str = ""  # the recipe's file, for messages

    @property
    def label(self) -> str:
        """`name version`, as plans and progress show it."""
        return f"{self.name} {self.version}"


class Brief(NamedTuple):
    """What is asked of every node of a large graph, so that most of them need not be looked into."""

    version: str
    origin: Origin
    bare: bool  # it has no check, and no environment or loader directories for what runs with it


def brief(node: Node) -> Brief:
    """The brief of `node`."""
    return Brief(node.version, node.origin, not (node.check or node.environment or node.ldconf))


PACKER = Packer(Node, Source, Check, LocalFile, Setuid)


class Nodes(Sequence[Node]):
    """Nodes in an order. Some are kept in the bytes in which they were remembered until they are asked for."""

    def __init__(self, names: tuple[str, ...], nodes: Sequence[Node | bytes], briefs: Sequence[Any] = ()) -> None:
        """`briefs`: of each node, needed where one is bytes; of the others they are made anew."""
        self.names = names
        self._briefs = briefs
        self._kept = [node if isinstance(node, bytes) else None for node in nodes]
        self._nodes = [None if isinstance(node, bytes) else node for node in nodes]

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, place: int) -> Node: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Node]: ...
    def __getitem__(self, place: int | slice) -> Node | Sequence[Node]:
        if isinstance(place, slice):
            return tuple(self[index] for index in range(*place.indices(len(self))))
        node = self._nodes[place]
        if node is None:
            node = self._nodes[place] = PACKER.unpack(marshal.loads(self._kept[place] or b""))
        assert node is not None
        return node

    def brief(self, place: int) -> Brief:
        """The brief of the node at `place`."""
        node = self._nodes[place]
        return brief(node) if node is not None else Brief(*self._briefs[place])

    def bare(self, place: int) -> bool:
        """Whether the node at `place` is bare."""
        node = self._nodes[place]
        return brief(node).bare if node is not None else self._briefs[place][2]

    def packed(self) -> list[bytes]:
        """All of them, as they are remembered."""
        return [kept or marshal.dumps(PACKER.pack(self[place])) for place, kept in enumerate(self._kept)]


@frozen
class Past:
    """What a graph is remembered with, by the places of its nodes; hints that save work, each true in itself."""

    builds: tuple[tuple[int, ...], ...]  # Node.build
    recorded: tuple[tuple[str, str] | None, ...]  # the build key of the node as it was, and the output it led to (hex)
    required: tuple[str, ...]  # recipes that are not in the graph and have to be there
    fresh: frozenset[int]  # nodes that are not as they were then


@frozen
class Graph:
    """Every node that the goals need to be built, run or checked, dependencies before dependents."""

    goals: tuple[str, ...]
    nodes: Sequence[Node]
    options: tuple[tuple[str, str], ...]  # what the user set
    past: Past | None = field(default=None, repr=False, compare=False)
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)  # of the nodes, in their order
    known_keys: dict[str, Digest] = field(init=False, repr=False, compare=False)  # keys.derivation_keys fills it, once
    known_forms: dict[str, Any] = field(init=False, repr=False, compare=False)  # keys.key_form fills it, when asked
    _places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = self.nodes.names if isinstance(self.nodes, Nodes) else tuple(node.name for node in self.nodes)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "known_keys", {})
        object.__setattr__(self, "known_forms", {})
        object.__setattr__(self, "_places", {name: place for place, name in enumerate(names)})

    def __getitem__(self, name: str) -> Node:
        return self.nodes[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def brief(self, name: str) -> Brief:
        """The brief of the node `name`."""
        place = self._places[name]
        return self.nodes.brief(place) if isinstance(self.nodes, Nodes) else brief(self.nodes[place])

    def not_bare(self, names: Iterable[str]) -> dict[str, Node]:
        """Those of the nodes `names` that are not bare."""
        nodes, places = self.nodes, self._places
        if isinstance(nodes, Nodes):
            return {name: nodes[place] for name in names if not nodes.bare(place := places[name])}
        return {name: node for name in names if not brief(node := nodes[places[name]]).bare}

    def place(self, name: str) -> int:
        """Where in the order the node `name` is."""
        return self._places[name]
