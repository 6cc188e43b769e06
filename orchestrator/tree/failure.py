"""What the operating system says no to, as a MachineError with the path, the free space and the next thing to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import MachineError

_HINTS = {
    errno.ENOSPC: "free some space or inodes there, then run the same command again: nothing finished was lost",
    errno.EDQUOT: "raise the quota or free some space, then run the same command again",
    errno.EIO: "the disk or its driver reports an error: look at the kernel's log",
    errno.EACCES: "make it readable and writable for you, or choose another store",
    errno.EPERM: "make it yours, or choose another store",
    errno.EROFS: "the file system is mounted read-only: mount it writable, or choose another store",
    errno.EXDEV: "the store has to lie on one file system, with nothing mounted below it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOTDIR: "something in this path is no directory: move it away, or choose another store",
    errno.ENOLCK: "the file system cannot lock files: choose a store on a local disk",
    errno.EOPNOTSUPP: "the file system cannot do this: choose a store on a local disk",
}


def _free(path: Path) -> str:
    for place in (path, *path.parents):
        try:
            there = os.statvfs(place)
        except OSError:
            continue
        return f"{there.f_bavail * there.f_frsize} bytes and {there.f_favail} inodes are free on its file system"
    return ""


def machine_error(error: OSError, doing: str, path: Path) -> MachineError:
    """`error`, met while `doing` (`publish`, `read`) something at `path`, as a MachineError."""
    reason = error.strerror or str(error)
    free = _free(path) if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    at = path / error.filename if isinstance(error.filename, str) else path  # an absolute name stays as it is
    return MachineError(
        f"cannot {doing} {path}: {reason}",
        where=str(at),
        why=f"{reason}; {free}" if free else reason,
        hint=_HINTS.get(error.errno or 0, ""),
    )


@contextmanager
def disk(doing: str, path: Path) -> Iterator[None]:
    """Turn any OSError in the block into a MachineError about `path`."""
    try:
        yield
    except OSError as error:
        raise machine_error(error, doing, path) from error
