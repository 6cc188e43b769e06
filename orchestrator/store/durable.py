"""Bytes that are on the disk before anyone can see them. Every error of a write, a sync or a close is raised.

A full disk may be told at the sync only, and a rename may reach the disk before the data that it names; so: write,
sync, rename, sync the directory.
"""

from __future__ import annotations

import os
from pathlib import Path

_SYNC_EACH = 64  # files; from here on one sync of the whole file system is cheaper


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Create `path` with `data` and sync it; raise OSError. What was written so far is left to the caller."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
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


def sync_tree(root: Path, files: int) -> None:
    """Sync all that is below `root`, which holds about `files` entries; raise OSError."""
    if files >= _SYNC_EACH:
        _sync_file_system(root)
        return
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                fsync_path(path)
        fsync_path(Path(directory))


def _sync_file_system(root: Path) -> None:
    import ctypes  # slow to import, and not needed to ask a question

    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(root))
    finally:
        os.close(descriptor)
