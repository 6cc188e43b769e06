"""Lays the trees of OCI layers over each other, as a container runtime does, with whiteouts and replaced entries.

Each layer lies unpacked in a directory of its own; its files are moved into the root. Links on the way to an entry are
resolved by hand inside the root. Nobody else writes in either directory meanwhile. Knows no archive and no store.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import SourceError
from orchestrator.frozen import frozen
from orchestrator.tree import disk, remove_tree

_MAX_HOPS = 40  # links followed for one name: the kernel's limit
_ABSENT = 0  # no file type is 0


@frozen(kw_only=False)
class Facts:
    """What a layer's header says of an entry and the tree on disk does not keep."""

    mode: int
    uid: int
    gid: int


@dataclass(slots=True)
class UnpackedLayer:
    """One layer: its tree, what its headers say by path, and what it takes away from the layers below."""

    name: str  # for messages
    tree: Path
    facts: dict[str, Facts] = field(default_factory=dict)  # a directory that only lies on the way has none
    removed: list[str] = field(default_factory=list)  # whiteouts
    emptied: list[str] = field(default_factory=list)  # opaque directories
    size: int = 0  # bytes of its files


@dataclass(slots=True)
class LayerStack:
    """The root file system at `root`, an empty directory at first, and what is known of its entries."""

    root: Path
    facts: dict[str, Facts] = field(default_factory=dict)

    def add(self, layer: UnpackedLayer) -> None:
        """Lay `layer` over what is there; its tree is used up. Raise SourceError if a directory that it writes to is
        a link to nothing; MachineError."""
        with disk(f"apply layer {layer.name} in", self.root):
            for path in layer.removed:  # of the layers below only: before anything of this one is there
                self._remove(path)
            for path in layer.emptied:
                self._empty(path)
            self._merge(layer, "", "")

    def _remove(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        real = real_directory(self.root, parent)
        if real is not None:
            remove_tree(self.root / real / name)

    def _empty(self, path: str) -> None:
        real = real_directory(self.root, path)
        if real is not None:
            for child in list((self.root / real).iterdir()):
                remove_tree(child)

    def _merge(self, layer: UnpackedLayer, source: str, target: str, *, empty: bool = False) -> None:
        """Move what is in the directory `source` of the layer into the directory `target` of the root, which may be
        known to be `empty`."""
        # Strings, not Paths: this is the loop over every file of an image.
        here, there = str(layer.tree / source), str(self.root / target)
        before, above = f"{source}/" if source else "", f"{target}/" if target else ""
        with os.scandir(here) as found:
            children = sorted((child.name, child.is_dir(follow_symlinks=False)) for child in found)
        for name, is_directory in children:
            kind = _ABSENT if empty else _type(f"{there}/{name}")
            if is_directory:
                real = self._directory(layer, before + name, above + name, kind)
                self._merge(layer, before + name, real, empty=kind == _ABSENT)
                continue
            if kind != _ABSENT:
                remove_tree(Path(there, name))
            os.rename(f"{here}/{name}", f"{there}/{name}")  # noqa: PTH104
            self.facts[above + name] = layer.facts[before + name]

    def _directory(self, layer: UnpackedLayer, path: str, at: str, kind: int) -> str:
        """The directory of the root that the layer's directory `path` becomes, or is one with; `at` is its name there
        unless that is a link. `kind` is the type of what is there."""
        said = layer.facts.get(path)
        if kind == stat.S_IFLNK and said is None:  # only on the way: the link may stay
            real = real_directory(self.root, at)
            if real is None:
                raise SourceError(
                    f"layer {layer.name} writes below {path!r}, which is a link to no directory",
                    why=f"the layers below make it a link to {str((self.root / at).readlink())!r}",
                    hint="look at the image: no runtime could unpack it as it is meant",
                )
            return real
        if kind != stat.S_IFDIR:
            if kind != _ABSENT:
                remove_tree(self.root / at)
            (self.root / at).mkdir(mode=0o755)
            self.facts[at] = said or Facts(0o755, 0, 0)
        elif said is not None:
            self.facts[at] = said
        return at


def real_directory(root: Path, path: str) -> str | None:
    """The real path of the directory `path` of the root file system at `root`, as a process inside sees it: "" for the
    root itself, None if it is no directory."""
    todo, real, hops = path.split("/")[::-1], list[str](), 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del real[-1:]
            continue
        here = "/".join((str(root), *real, part))
        kind = _type(here)
        if kind == stat.S_IFLNK:
            text = os.readlink(here)  # noqa: PTH115
            hops += 1
            if hops > _MAX_HOPS:
                return None
            if text.startswith("/"):
                real.clear()
            todo += text.split("/")[::-1]
        elif kind == stat.S_IFDIR:
            real.append(part)
        else:
            return None
    return "/".join(real)


def _type(path: str) -> int:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return _ABSENT
