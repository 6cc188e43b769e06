"""What may go: everything that no root keeps, by kind, with its size and when it was used last. Reads only.

| kind | goes when |
|---|---|
| object | no root keeps it |
| source | nothing that is kept was made of it, and it came a week ago; or it is a wheel whose tree is kept. |
|        | One supplied by hand stays a year: nothing else may have it |
| blob | no image that is kept has it |
| log | it is older than 30 days and not among the last 10 of its step |
| failed | a week old: directories of failed builds, trees that came out different |
| download | a week old: broken off and never gone on with |
| corrupt | 30 days old |
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from orchestrator.frozen import frozen
from orchestrator.store.held import Thing
from orchestrator.store.index import Index
from orchestrator.store.keep import Root
from orchestrator.store.layout import Layout
from orchestrator.store.sources import read_source_note, tree_source
from orchestrator.tree import disk

Kind = Literal["object", "source", "blob", "log", "failed", "download", "corrupt"]
_DAY = 86400.0
_LOGS = 10


@frozen
class Candidate:
    """Something that no root keeps."""

    kind: Kind
    path: Path
    label: str  # what a person calls it
    bytes: int
    used: float  # seconds since 1970


@frozen
class Survey:
    """What is kept, and by what; what may go; how much there is, in bytes."""

    roots: tuple[Root, ...]
    kept: Mapping[str, str]  # hex of an object, blob or source -> `image sglang-cu12 -> nixl`
    candidates: tuple[Candidate, ...]
    total: int
    sizes: Mapping[str, int]  # hex of an object or blob -> bytes


def survey(layout: Layout, index: Index, roots: Sequence[Root], held: Mapping[Thing, set[str]]) -> Survey:
    """Look at all of a store. Raise MachineError if it may not be read."""
    now = time.time()
    with disk("read", layout.root):
        kept = _kept(roots, held)
        sizes = {name: size.bytes for name, size in index.sizes().items()}
        blobs = _files(layout.oci / "blobs" / "sha256")
        sources = {name: one for name, one in _files(layout.sources).items() if len(name) == 64}
        needed, spent = _needed_sources(layout, index, kept)
        candidates = [
            *_objects(layout, index, kept, sizes),
            *(
                Candidate(kind="blob", path=path, label="layer", bytes=size, used=used)
                for name, (path, size, used) in blobs.items()
                if name not in kept
            ),
            *_sources(layout, sources, needed.keys() | held["source"], spent, now),
            *_logs(layout, now),
            *_aged("failed", layout.failed, now - 7 * _DAY),
            *_aged("download", layout.partial, now - 7 * _DAY),
            *_aged("corrupt", layout.corrupt, now - 30 * _DAY),
        ]
    files = {name: size for name, (_, size, _) in (blobs | sources).items()}
    others = sum(one.bytes for one in candidates if one.kind not in ("object", "blob", "source"))
    return Survey(
        roots=tuple(roots),
        kept=kept | {name: why for name, why in needed.items() if name in sources},
        candidates=tuple(candidates),
        total=sum(sizes.values()) + sum(files.values()) + others,
        sizes=sizes | files,
    )


def _kept(roots: Sequence[Root], held: Mapping[Thing, set[str]]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for root in roots:
        for names in (root.objects, root.blobs):
            for name, label in names.items():
                if name not in kept:
                    kept[name] = root.label if root.label.endswith(f" {label}") else f"{root.label} -> {label}"
    for kind in ("object", "blob"):
        kept.update(dict.fromkeys(held[kind] - kept.keys(), "a running command"))
    return kept


def _objects(layout: Layout, index: Index, kept: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[Candidate]:
    with os.scandir(layout.objects) as entries:
        dead = [entry for entry in entries if entry.name not in kept]
    labels = index.labels(entry.name for entry in dead)
    for entry in dead:
        label = labels.get(entry.name, "unknown")
        used = entry.stat(follow_symlinks=False).st_mtime
        yield Candidate(kind="object", path=Path(entry.path), label=label, bytes=sizes.get(entry.name, 0), used=used)


def _files(directory: Path) -> dict[str, tuple[Path, int, float]]:
    """The files in a directory: path, bytes, time."""
    found = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                found[entry.name] = (Path(entry.path), facts.st_size, facts.st_mtime)
    except FileNotFoundError:
        pass
    return found


def _needed_sources(layout: Layout, index: Index, kept: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """The sources of what is kept, by hash, with what needs them; and those that nobody needs any more: the archives of
    wheels whose trees, which say all of them, are kept."""
    needed: dict[str, str] = {}
    spent: set[str] = set()
    for output, name, hashes in index.sources():
        if output not in kept:
            continue
        for one in hashes:
            if one.startswith("wheel:"):
                spent.add(one.removeprefix("wheel:"))
                continue
            if one.startswith("tree:"):  # whatever was supplied for it
                file = tree_source(layout, one.removeprefix("tree:"))
                one = file.name if file is not None else one
            needed.setdefault(one, f"source of {name}")
    return needed, spent


def _sources(
    layout: Layout,
    sources: Mapping[str, tuple[Path, int, float]],
    needed: Collection[str],
    spent: set[str],
    now: float,
) -> Iterator[Candidate]:
    for name, (path, size, came) in sources.items():
        if name in needed or not (name in spent or came < now - 7 * _DAY):
            continue
        note = read_source_note(layout, name)
        if note is None or not note.by_hand or came < now - 365 * _DAY:
            yield Candidate(kind="source", path=path, label=name[:12], bytes=size, used=came)


def _logs(layout: Layout, now: float) -> Iterator[Candidate]:
    for home in sorted(layout.logs.glob("*")):
        files = sorted(_files(home).items(), reverse=True)
        for name, (path, size, used) in files[_LOGS:]:
            if used < now - 30 * _DAY:
                yield Candidate(kind="log", path=path, label=f"{home.name}/{name}", bytes=size, used=used)


def _aged(kind: Kind, directory: Path, limit: float) -> Iterator[Candidate]:
    for name, (path, size, used) in _files(directory).items():
        if used < limit:
            size = sum(file.lstat().st_size for file in path.rglob("*")) if path.is_dir() else size
            yield Candidate(kind=kind, path=path, label=name, bytes=size, used=used)


def exclusive(roots: Sequence[Root], sizes: Mapping[str, int]) -> list[tuple[Root, int]]:
    """What dropping each root alone would free, in bytes, the most first."""
    owners: dict[str, int] = defaultdict(int)
    for root in roots:
        for name in {*root.objects, *root.blobs}:
            owners[name] += 1
    freed = [
        (root, sum(sizes.get(name, 0) for name in {*root.objects, *root.blobs} if owners[name] == 1)) for root in roots
    ]
    return sorted(freed, key=lambda pair: -pair[1])
