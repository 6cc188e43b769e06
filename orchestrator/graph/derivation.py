"""A derivation is a recipe with every choice made: nothing is left to look up. Its key is a hash of what it says."""

from __future__ import annotations

from typing import Literal

from orchestrator.digest import Digest
from orchestrator.frozen import field, frozen
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


@frozen
class Graph:
    """Every node that the goals need to be built, run or checked, dependencies before dependents."""

    goals: tuple[str, ...]
    nodes: tuple[Node, ...]
    options: tuple[tuple[str, str], ...]  # what the user set
    known_keys: dict[str, Digest] = field(init=False, repr=False, compare=False)  # keys.derivation_keys fills it, once
    _by_name: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known_keys", {})
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name
