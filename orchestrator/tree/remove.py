"""Remove a tree, read-only directories and all, without following a link out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from orchestrator.tree.failure import disk

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEP = 100  # levels; what lies deeper is moved up first, so that neither descriptors nor the stack run out
_ROUNDS = 10  # tries, if something still writes into the tree


def remove_tree(path: Path) -> None:
    """Remove the file, link or directory tree at `path`; nothing there is fine. Raise MachineError."""
    with disk("remove", path):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(facts.st_mode):
            path.unlink(missing_ok=True)
            return
        for left in reversed(range(_ROUNDS)):
            try:
                _empty(path)
                path.rmdir()
                return
            except FileNotFoundError:
                return  # someone else removes it too
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                    raise


def _empty(path: Path) -> None:
    top = _open(str(path), None)
    names = (f".deep-{number}" for number in count())
    try:
        while os.listdir(top):  # noqa: PTH208
            _empty_directory(top, top, 0, names)
    finally:
        os.close(top)


def _open(name: str, parent: int | None) -> int:
    """Open a directory and make it one that entries can be removed from."""
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101
        finally:
            os.close(handle)
        descriptor = os.open(name, _FLAGS, dir_fd=parent)
    try:
        if os.fstat(descriptor).st_mode & 0o700 != 0o700:
            os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _empty_directory(descriptor: int, top: int, depth: int, names: Iterator[str]) -> None:
    with os.scandir(descriptor) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            _remove_directory(name, descriptor, top, depth, names)
        else:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)


def _remove_directory(name: str, parent: int, top: int, depth: int, names: Iterator[str]) -> None:
    try:
        child = _open(name, parent)
    except FileNotFoundError:
        return
    try:
        if depth == _DEEP:
            os.rename(name, next(names), src_dir_fd=parent, dst_dir_fd=top)
            return
        _empty_directory(child, top, depth + 1, names)
    finally:
        os.close(child)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)
