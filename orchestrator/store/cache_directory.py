"""Writes a cache that a team shares: a plain directory of signed entries and archives (entries.py, packed.py).

Every file comes whole or not at all, an archive before the entries that lead to it, so that whoever reads meanwhile
finds what is there. What is there stays: the first to push a key decides what it leads to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.frozen import NamedTuple
from orchestrator.store.durable import fsync_path
from orchestrator.store.entries import (
    MARK,
    MARKER,
    BadEntry,
    CacheEntry,
    CheckEntry,
    archive_name,
    check_bytes,
    check_name,
    entry_bytes,
    entry_name,
    read_check_entry,
    read_entry,
)
from orchestrator.store.layout import Layout
from orchestrator.store.lineage import build_record
from orchestrator.store.objects import has_object, read_manifest
from orchestrator.store.packed import packed
from orchestrator.store.realisations import Realisation
from orchestrator.store.signature import SecretKey
from orchestrator.tree import disk

Outcome = Literal["pushed", "there", "other", "absent", "unknown", "dirty"]


class Pushed(NamedTuple):
    """What came of one output, and the bytes that were written."""

    name: str
    outcome: Outcome  # `other`: its key leads to other bytes there; `unknown`: what it was built with is not recorded
    size: int = 0


def open_cache(directory: Path) -> Path:
    """The cache at `directory`, made if that is empty or not there. Raise UsageError for a directory that is something
    else, MachineError."""
    with disk("make the cache", directory):
        directory.mkdir(parents=True, exist_ok=True)
        marker = directory / MARKER
        if not marker.exists():
            others = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
            if others:
                raise UsageError(
                    f"{directory} is not a cache",
                    where=str(directory / others[0]),
                    why="it is a directory with other things in it",
                    hint="choose an empty directory",
                )
            (directory / "keys").mkdir(exist_ok=True)
            (directory / "archives").mkdir(exist_ok=True)
            _write(marker, [MARK])
        elif marker.read_bytes() != MARK:
            raise UsageError(
                f"{directory} is a cache of another orch", where=str(marker), hint="push to another directory"
            )
    return directory


def push(layout: Layout, directory: Path, made: Realisation, key: SecretKey, *, threads: int = 1) -> Pushed:
    """Put what the record `made` of a derivation key leads to into the cache, signed. Raise MachineError."""
    if made.origin == "dirty":
        return Pushed(made.name, "dirty")
    if made.output is None or not has_object(layout, made.output):
        return Pushed(made.name, "absent")
    built = build_record(layout, made)
    if built is None:
        return Pushed(made.name, "unknown")
    if built.origin == "dirty":
        return Pushed(made.name, "dirty")
    before = [_entry(directory, one, key) for one in (made.key, built.key)]
    if any(entry is not None and entry.output != made.output for entry in before):
        return Pushed(made.name, "other")
    known = next((entry for entry in before if entry is not None), None)
    archive = directory / archive_name(made.output)
    if known is not None and archive.is_file() and archive.stat().st_size == known.size:
        sha256, size, written = known.sha256, known.size, 0
    else:
        with disk("write", archive):
            sha256, size = _write(archive, packed(layout, made.output, threads=threads))
        written = size
    entry = CacheEntry(
        derivation=made.key,
        build=built.key,
        output=made.output,
        inputs={name: str(digest) for name, digest in built.document["inputs"].items()},
        sha256=sha256,
        size=size,
        unpacked=read_manifest(layout, made.output).size,
        name=made.name,
        version=made.version,
        origin=made.origin,
        seconds=built.seconds,
        finished=built.finished,
        sandbox=int(made.document["sandbox"]),
    )
    fresh = written > 0
    for one, there in zip((made.key, built.key), before, strict=True):
        if there is None or (there.sha256, there.size) != (sha256, size):
            with disk("write", directory / entry_name(one)):
                _write(directory / entry_name(one), [entry_bytes(entry, key)])
            fresh = True
    return Pushed(made.name, "pushed" if fresh else "there", written)


def push_check(directory: Path, check: Realisation, key: SecretKey) -> bool:
    """Put a check that passed into the cache, signed; whether it was not there yet. Raise MachineError."""
    target = directory / check_name(check.key)
    try:
        read_check_entry(target.read_bytes(), check.key, [key.public])
    except (OSError, BadEntry):
        entry = CheckEntry(
            key=check.key, name=check.name, version=check.version, seconds=check.seconds, finished=check.finished
        )
        with disk("write", target):
            _write(target, [check_bytes(entry, key)])
        return True
    return False


def _entry(directory: Path, of: Digest, key: SecretKey) -> CacheEntry | None:
    """An entry that is there and signed by `key`; one of anybody else is replaced."""
    try:
        return read_entry((directory / entry_name(of)).read_bytes(), of, [key.public])
    except (OSError, BadEntry):
        return None


def _write(target: Path, pieces: Iterable[bytes]) -> tuple[str, int]:
    """Write a file at once, durably; its SHA-256 hex and bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    hasher, size = hashlib.sha256(), 0
    try:
        with new.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                hasher.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        fsync_path(target.parent)
    finally:
        new.unlink(missing_ok=True)
    return hasher.hexdigest(), size
