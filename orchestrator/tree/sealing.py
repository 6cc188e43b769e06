"""Make a tree on disk what an object looks like: read-only, with one fixed time. Its manifest keeps the real modes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from orchestrator.tree.failure import disk
from orchestrator.tree.manifest import Entry, Manifest
from orchestrator.tree.walk import opened

# SOURCE_DATE_EPOCH of the sandbox, 1980-01-01: the first date that a zip archive can hold, so that a wheel made from an
# object needs no clamping, and no tool takes it for "no time", as some do with 0 or 1. Seconds since 1970.
SEALED_MTIME = 315532800

_TIMES = (SEALED_MTIME * 10**9, SEALED_MTIME * 10**9)
_FORMATS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK}


def seal(root: Path, manifest: Manifest) -> None:
    """Files become 0444, or 0555 if anyone may execute them, directories 0555; times become SEALED_MTIME.

    Raise MachineError if an entry of `manifest` is missing, is of another kind or has another size, or cannot be
    changed.
    """
    with disk("seal", root), opened(root) as descriptor:
        for entry in manifest.entries:
            _seal_entry(descriptor, entry)
        os.fchmod(descriptor, 0o555)
        os.utime(descriptor, ns=_TIMES)


def sealed_mode(entry: Entry) -> int:
    """The permission bits of a file or directory on disk."""
    return 0o555 if entry.kind == "dir" or entry.mode & 0o111 else 0o444


def _seal_entry(root: int, entry: Entry) -> None:
    facts = os.stat(entry.path, dir_fd=root, follow_symlinks=False)
    if stat.S_IFMT(facts.st_mode) != _FORMATS[entry.kind] or (entry.kind == "file" and facts.st_size != entry.size):
        raise OSError(errno.ESTALE, "it is not what was scanned", entry.path)
    if entry.kind != "link" and stat.S_IMODE(facts.st_mode) != sealed_mode(entry):
        os.chmod(entry.path, sealed_mode(entry), dir_fd=root)
    if facts.st_mtime_ns != _TIMES[1]:
        os.utime(entry.path, ns=_TIMES, dir_fd=root, follow_symlinks=False)
