"""A derivation is a recipe with every choice made: nothing is left to look up. Its key is a hash of what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A fixed-output source. `name` is the full `pypi:...` text; `where` (file and field) is for messages only."""

    name: str
    file_name: str
    sha256: str | None = None  # hex of the file
    tree: str | None = None  # blake3 hex of what it unpacks to, for archives that hosts generate anew
    size: int | None = None  # bytes; not in the key
    unpack: str | None = None  # directory below /build; None: the file stays as it is
    where: str = ""  # not in the key


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A patch or helper file beside the recipe. Its content is in the key by hash, its place on the host is not."""

    name: str
    sha256: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Setuid:
    """A path of a base that keeps its setuid or setgid bit, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The step that decides whether an output works. `inputs` are node names mounted besides the runtime closure."""

    script: str
    files: tuple[LocalFile, ...] = ()
    inputs: tuple[str, ...] = ()  # with their runtime closures; top first; holds a base if it replaces the runtime base


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One recipe in one goal's graph."""

    name: str
    version: str
    origin: Literal["source", "vendor"]
    platform: str
    summary: str
    builder: Literal["script", "debian-base"]
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
    check: Check | None = None
    environment: tuple[tuple[str, str], ...] = ()  # [runtime] env
    ldconf: tuple[str, ...] = ()
    locked: bool = True
    where: str = ""  # the recipe's file, for messages

    @property
    def label(self) -> str:
        """`name version`, as plans and progress show it."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Every node that the goals need to be built, run or checked, dependencies before dependents."""

    goals: tuple[str, ...]
    nodes: tuple[Node, ...]
    options: tuple[tuple[str, str], ...]  # what the user set

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)
