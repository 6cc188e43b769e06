"""Bytes that are on the disk before anyone can see them. Every error of a write, a sync or a close is raised.

A full disk may be told at the sync only, and a rename may reach the disk before the data that it names; so: write,
sync, rename, sync the directory. Where many small things are made at once, threads share one sync of the file system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path


def write_file(path: Path, data: bytes, *, mode: int = 0o644, sync: bool = True) -> None:
    """Create `path` with `data` and sync it; raise OSError. What was written so far is left to the caller."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_path(path: Path) -> None:
    """Sync a file, or a directory, so that what was renamed in it stays renamed; raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Syncs:
    """Syncs of one file system. Whoever asks while one runs waits for the next, which serves all who wait."""

    def __init__(self) -> None:
        import threading  # only who writes pays

        self._turn = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._failed: dict[int, OSError] = {}

    def sync(self, root: Path) -> None:
        with self._turn:
            mine = self._begun + 1  # what has begun already may have passed by what was written last
            while self._begun != self._ended and self._ended < mine:
                self._turn.wait()
            if self._ended >= mine:
                if mine in self._failed:
                    raise self._failed[mine]
                return
            self._begun = mine
        failed: OSError | None = OSError(errno.EINTR, os.strerror(errno.EINTR), str(root))  # Ctrl-C may come meanwhile
        try:
            _sync_file_system(root)
            failed = None
        except OSError as error:
            failed = error
            raise
        finally:
            with self._turn:
                if failed is not None:
                    self._failed[mine] = failed
                self._ended = mine
                self._turn.notify_all()


_syncs: dict[int, _Syncs] = {}  # by device


def sync_all(root: Path) -> None:
    """Return when all that was written to the file system of `root` before this call is on the disk; raise OSError.

    Threads share one sync, so that many small things at once cost as much as one. It costs less than a sync of each of
    three files, but waits for what others have written too.
    """
    _syncs.setdefault(root.stat().st_dev, _Syncs()).sync(root)


def prepare_sync() -> None:
    """Load what the first sync would load, while there is time."""
    _syncfs()


def _sync_file_system(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syncfs = _syncfs()
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            code = _errno()
            raise OSError(code, os.strerror(code), str(root))
    finally:
        os.close(descriptor)


@cache
def _syncfs() -> Callable[[int], int] | None:
    import _ctypes  # the module ctypes has much more, and takes four times as long to import

    class Number(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Number

    try:
        return Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "syncfs"))  # type: ignore[arg-type]
    except OSError:  # a C library without it
        return None


def _errno() -> int:
    """The error of the last call through ctypes in this thread."""
    import _ctypes

    return _ctypes.get_errno()
