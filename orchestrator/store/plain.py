"""Writes objects as plain files, for people who want just the tree. What it writes shares no file with the store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.digest import Blake3, Digest
from orchestrator.errors import AnswerIsNo, MachineError, UsageError
from orchestrator.store.layout import Layout
from orchestrator.store.objects import object_tree, quarantine_object, read_manifest
from orchestrator.tree import SEALED_MTIME, Entry, disk, remove_tree

_PIECE = 1 << 20  # bytes
_TIMES = (SEALED_MTIME * 10**9, SEALED_MTIME * 10**9)
_SET_ID = 0o6000


def refuse_target(target: Path) -> None:
    """Raise UsageError unless `target` is an empty directory, or nothing yet."""
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir()):
        raise UsageError(f"{target} is no directory", hint="name one that is empty, or not there yet")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(
            f"{target} is not empty",
            why="what is there would be mixed with what comes",
            hint="choose another directory",
        )


def write_plain(layout: Layout, objects: Mapping[str, Digest], target: Path) -> tuple[int, int]:
    """Write the trees of `objects` (name -> digest), merged, as the directory `target`: whole or not at all, every file
    hashed on the way. Return how many files, and their bytes.

    Modes are those of the manifests, but set-user-id and set-group-id bits are cleared: the files are the caller's.
    Raise UsageError for a target with something in it, AnswerIsNo if two trees differ at one path, MachineError.
    """
    refuse_target(target)
    entries = _merged(layout, objects)
    new = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.mkdir(mode=0o755)
            for entry, digest in entries.values():
                _write(layout, digest, entry, new / entry.path)
            for entry, _ in reversed(entries.values()):  # a directory after what is in it
                if entry.kind == "dir":
                    (new / entry.path).chmod(entry.mode & ~_SET_ID)
                    os.utime(new / entry.path, ns=_TIMES)
            new.chmod(0o755)
            new.rename(target)  # over an empty directory, if that is there
        finally:
            if new.exists():
                remove_tree(new)
    files = [entry for entry, _ in entries.values() if entry.kind == "file"]
    return len(files), sum(entry.size for entry in files)


def _merged(layout: Layout, objects: Mapping[str, Digest]) -> dict[str, tuple[Entry, Digest]]:
    found: dict[str, tuple[Entry, Digest]] = {}
    owners: dict[str, str] = {}
    for name, digest in objects.items():
        for entry in read_manifest(layout, digest).entries:
            before = found.get(entry.path)
            if before is not None and not _agree(before[0], entry):
                raise AnswerIsNo(
                    f"{owners[entry.path]} and {name} have different things at {entry.path}",
                    why="one directory cannot hold both",
                    hint="export them one by one, without --closure",
                )
            found[entry.path] = (entry, digest)
            owners[entry.path] = name
    return dict(sorted(found.items()))


def _agree(one: Entry, other: Entry) -> bool:
    return (one.kind, one.digest, one.target) == (other.kind, other.digest, other.target)


def _write(layout: Layout, digest: Digest, entry: Entry, target: Path) -> None:
    if entry.kind == "dir":
        target.mkdir(mode=0o755)
        return
    if entry.kind == "link":
        target.symlink_to(entry.target)
        os.utime(target, ns=_TIMES, follow_symlinks=False)
        return
    hasher = Blake3()
    source = object_tree(layout, digest) / entry.path
    with source.open("rb") as file, target.open("xb") as copy:
        while piece := file.read(_PIECE):
            hasher.update(piece)
            copy.write(piece)
        os.fchmod(copy.fileno(), entry.mode & ~_SET_ID)
    os.utime(target, ns=_TIMES)
    if hasher.digest().hex != entry.digest:
        why = f"{entry.path}: its content is not what the manifest says"
        quarantine_object(layout, digest, why)
        raise MachineError(
            f"object {digest} is damaged",
            where=str(source),
            why=why,
            hint="it was put aside: build it again, then run the same command again",
        )
