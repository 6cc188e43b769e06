"""Source files by their SHA-256: verified on the way in, never replaced, fetched once.

Two processes that fetch the same source hold its lock (see locks) while they write to its partial file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, blake3_file, sha256_file
from orchestrator.errors import SourceError
from orchestrator.frozen import frozen
from orchestrator.store.aside import put_aside
from orchestrator.store.durable import fsync_path
from orchestrator.store.held import hold
from orchestrator.store.layout import Layout
from orchestrator.store.records import number, read_record, text, write_record
from orchestrator.store.stage import staging
from orchestrator.tree import disk

_HEX = re.compile(r"[0-9a-f]{64}")


@frozen
class StoredSource:
    """What is known of a stored source beside its bytes."""

    sha256: str  # hex
    blake3: str  # hex
    size: int  # bytes
    names: tuple[str, ...]  # every `pypi:...` text it was fetched for; sorted
    fetched: float  # seconds since 1970, UTC
    by_hand: bool = False  # somebody supplied it: nothing else may have it


def source_file(layout: Layout, sha256: str) -> Path | None:
    """The stored file with this SHA-256 hex, or None. It was verified when it came; see verify_source.
    Raise MachineError if the store may not be read."""
    hold(layout, "source", sha256)
    path = layout.sources / sha256
    with disk("read", path):
        return path if path.is_file() else None


def read_source_note(layout: Layout, sha256: str) -> StoredSource | None:
    """The note about a stored source, or None if there is none or it is damaged. Raise MachineError."""
    return read_record(layout, _note(layout, sha256), _parse)


def list_sources(layout: Layout) -> Iterator[StoredSource]:
    """Every stored source by SHA-256; one whose note was lost has its hash taken again. Raise MachineError."""
    with disk("list", layout.sources):
        names = sorted(os.listdir(layout.sources)) if layout.sources.is_dir() else []  # noqa: PTH208
    for name in names:
        path = layout.sources / name
        if _HEX.fullmatch(name) and path.is_file():
            yield read_source_note(layout, name) or _describe(layout, path, name, ())


def add_source(layout: Layout, file: Path, *, sha256: str, names: tuple[str, ...], by_hand: bool = False) -> Path:
    """Copy `file` into the store and return the copy, on the disk and read-only. Raise SourceError, with nothing kept,
    if its SHA-256 is another; MachineError."""
    if verify_source(layout, sha256):
        return _remember(layout, sha256, names, by_hand=by_hand)
    with staging(layout, "source") as room:
        copy = room / "file"
        with disk(f"copy {file.name} to the store", layout.root):
            import shutil  # with it come three compressors: not for a step without files

            shutil.copyfile(file, copy)
        _keep(layout, copy, sha256, file.name)
    return _remember(layout, sha256, names, by_hand=by_hand)


def tree_source(layout: Layout, tree: str) -> Path | None:
    """A stored source that unpacks to the tree with this BLAKE3 hex, or None. Raise MachineError."""
    sha256 = read_record(layout, _tree_note(layout, tree), lambda document: text(document, "sha256"))
    return source_file(layout, sha256) if sha256 is not None else None


def note_tree(layout: Layout, tree: str, sha256: str) -> None:
    """Remember that a stored source unpacks to a tree; the last one that is said to counts. Raise MachineError."""
    write_record(layout, _tree_note(layout, tree), {"tree": tree, "sha256": sha256})


def partial_path(layout: Layout, sha256: str) -> Path:
    """Where the bytes of a download lie until it is whole; they outlive the process, so that the next one goes on from
    there. Raise MachineError."""
    with disk("make a directory at", layout.partial):
        layout.partial.mkdir(parents=True, exist_ok=True)
    return layout.partial / sha256


def adopt_partial(layout: Layout, sha256: str, *, names: tuple[str, ...]) -> Path:
    """Make the finished download at partial_path a stored source, and return it. Raise SourceError, with the download
    removed, if its SHA-256 is another; MachineError."""
    partial = partial_path(layout, sha256)
    try:
        _keep(layout, partial, sha256, names[0] if names else sha256)
    except SourceError:
        partial.unlink(missing_ok=True)
        raise
    return _remember(layout, sha256, names)


def verify_source(layout: Layout, sha256: str) -> bool:
    """Whether the source is there and all of it, read again, still has its hash. Raise MachineError."""
    hold(layout, "source", sha256)
    path = layout.sources / sha256
    with disk("read", path):
        return path.is_file() and sha256_file(path).hex == sha256


def quarantine_source(layout: Layout, sha256: str, why: str) -> Path | None:
    """Move the source into corrupt/, so that it is fetched again; None if it was not there. Raise MachineError."""
    return put_aside(layout, layout.sources / sha256, why)


def _keep(layout: Layout, file: Path, sha256: str, name: str) -> None:
    hold(layout, "source", sha256)
    with disk("store", file):
        found = sha256_file(file)
        if found.hex != sha256:
            raise SourceError(
                f"{name} is not the source that was asked for",
                where=name,
                why=f"expected {Digest('sha256', sha256)}, got {found}",
                hint="if the new content is right, lock it anew; otherwise ask where the file came from",
            )
        file.chmod(0o444)
        fsync_path(file)
        layout.sources.mkdir(parents=True, exist_ok=True)
        file.replace(layout.sources / sha256)
        fsync_path(layout.sources)


def _tree_note(layout: Layout, tree: str) -> Path:
    return layout.sources.with_name("tree") / f"{tree}.json"


def _note(layout: Layout, sha256: str) -> Path:
    return layout.sources / f"{sha256}.json"


def _remember(layout: Layout, sha256: str, names: tuple[str, ...], *, by_hand: bool = False) -> Path:
    """Write the note, with `names` beside those that are known, and return the source's path."""
    path = layout.sources / sha256
    known = read_source_note(layout, sha256)
    every = tuple(sorted({*names, *(known.names if known else ())}))
    by_hand = by_hand or (known is not None and known.by_hand)
    if known is None or (known.names, known.by_hand) != (every, by_hand):
        found = known or _describe(layout, path, sha256, every)
        write_record(
            layout,
            _note(layout, sha256),
            {
                "sha256": sha256,
                "blake3": found.blake3,
                "size": found.size,
                "names": every,
                "fetched": found.fetched,
                "by_hand": by_hand,
            },
        )
    return path


def _describe(layout: Layout, path: Path, sha256: str, names: tuple[str, ...]) -> StoredSource:
    with disk("read", path):
        size = path.stat().st_size
        blake3 = blake3_file(path, size).hex
    return StoredSource(sha256=sha256, blake3=blake3, size=size, names=names, fetched=time.time())


def _parse(document: dict[str, Any]) -> StoredSource:
    return StoredSource(
        sha256=text(document, "sha256"),
        blake3=text(document, "blake3"),
        size=int(number(document, "size")),
        names=tuple(str(name) for name in document["names"]),
        fetched=number(document, "fetched"),
        by_hand=document.get("by_hand") is True,
    )
