"""One maker at a time for each key, across threads and processes. The lock is the kernel's (flock): it is gone when its
holder is, and no file has to be cleaned up after a crash."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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

    The wait ends with KeyboardInterrupt as soon as `stopped()` is true: a thread other than the main one sees no
    Ctrl-C. Raise MachineError if the file system cannot lock.
    """
    path = layout.locks / f"{key.algorithm}-{key.hex}"
    held = _wait(path, on_wait, stopped)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # still held: whoever waits on this file will see that it lost its name, and start over
        os.close(held)


def _wait(path: Path, on_wait: Callable[[], None], stopped: Callable[[], bool]) -> int:
    told = False
    while True:
        with disk("lock", path):
            held = _try(path)
        if held is not None:
            return held
        if not told:
            on_wait()
            told = True
        if stopped():
            raise KeyboardInterrupt
        time.sleep(_POLL)


def _try(path: Path) -> int | None:
    """A descriptor that holds the lock, or None if someone else does."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder before us removed its name
