"""One maker at a time for each key, across threads and processes. The lock is the kernel's (flock): it is gone when its
holder is, and no file has to be cleaned up after a crash.

A lock that is free is taken here, in two system calls; only who has to wait imports filelock, whose locks are the same
ones and which knows how to wait.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.store.layout import Layout
from orchestrator.tree import disk

_POLL = 0.05  # seconds between two tries


def _never() -> bool:
    return False


@contextmanager
def locked(
    layout: Layout, key: Digest, on_wait: Callable[[], None], stopped: Callable[[], bool] = _never
) -> Iterator[None]:
    """Hold the lock of `key`. `on_wait` is called once if someone else holds it; not reentrant.

    The wait ends with KeyboardInterrupt as soon as `stopped()` is true: only the main thread sees Ctrl-C by itself.
    Raise MachineError if the file system cannot lock.
    """
    path = layout.locks / f"{key.algorithm}-{key.hex}"
    with ExitStack() as held:
        with disk("lock", path):
            if not _taken_at_once(path, held):
                on_wait()
                _wait(path, held, stopped)
        held.callback(_unlink, path)  # while it is still held: who waits on this file sees that it lost its name
        yield


def _taken_at_once(path: Path, held: ExitStack) -> bool:
    """Take the lock of the file `path` until `held` closes, unless somebody has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            file = os.open(path, flags, 0o644)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, flags, 0o644)
        with ExitStack() as opened:
            opened.callback(os.close, file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if os.fstat(file).st_nlink:  # else its last holder removed it just now
                held.push(opened.pop_all())
                return True


def _wait(path: Path, held: ExitStack, stopped: Callable[[], bool]) -> None:
    from filelock import FileLock, Timeout  # 20 ms to import

    lock = FileLock(path, mode=0o644, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(poll_interval=_POLL, cancel_check=stopped)
    except Timeout as error:
        raise KeyboardInterrupt from error
    held.callback(lock.release)


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
