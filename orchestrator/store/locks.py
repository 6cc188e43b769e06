"""One maker at a time for each key, across threads and processes. The lock is the kernel's (flock, through filelock):
it is gone when its holder is, and no file has to be cleaned up after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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
    from filelock import FileLock, Timeout  # 30 ms to import: only who makes something pays

    path = layout.locks / f"{key.algorithm}-{key.hex}"
    lock = FileLock(path, mode=0o644, thread_local=False, fallback_to_soft=False)
    with disk("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            on_wait()
            try:
                lock.acquire(poll_interval=_POLL, cancel_check=stopped)
            except Timeout as error:
                raise KeyboardInterrupt from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # still held: whoever waits on this file will see that it lost its name, and start over
        lock.release()
