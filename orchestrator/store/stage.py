"""Private directories for work in progress. Whoever made one holds a lock on it; the system drops that lock when the
process ends, however it ends, and then `sweep` may remove the directory."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.store.layout import Layout, safe_name
from orchestrator.tree import disk, machine_error, remove_tree

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def staging(layout: Layout, label: str) -> Iterator[Path]:
    """A new directory on the store's file system, removed at exit with all that is in it. Raise MachineError."""
    with disk("make a directory in", layout.stage):
        path, held = _create(layout, label)
    try:
        yield path
    finally:
        try:
            with suppress(MachineError):  # what cannot be removed now, sweep tries again
                remove_tree(path)
        finally:
            os.close(held)


def sweep(layout: Layout) -> tuple[Path, ...]:
    """Remove the directories whose owner is dead, and return them; what cannot be removed stays. Raise MachineError if
    the stage cannot be listed."""
    # With the gate held, nobody is between making a directory and locking it: what is listed is locked or dead.
    with disk("sweep", layout.stage), _gate(layout):
        found = sorted(layout.stage.iterdir())
    return tuple(path for path in found if _remove_if_dead(path))


@contextmanager
def _gate(layout: Layout) -> Iterator[None]:
    layout.stage.mkdir(parents=True, exist_ok=True)
    layout.locks.mkdir(parents=True, exist_ok=True)
    gate = os.open(layout.locks / "stage", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _create(layout: Layout, label: str) -> tuple[Path, int]:
    path = layout.stage / f"{safe_name(label)}-{os.urandom(6).hex()}"
    with _gate(layout):
        path.mkdir(mode=0o700)
        held = os.open(path, _OPEN | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            layout.objects.mkdir(exist_ok=True)
            if os.fstat(held).st_dev != layout.objects.stat().st_dev:
                raise machine_error(OSError(errno.EXDEV, os.strerror(errno.EXDEV)), "rename out of", path)
        except BaseException:
            path.rmdir()
            os.close(held)
            raise
    return path, held


def _remove_if_dead(path: Path) -> bool:
    try:
        held = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.lexists(path):
            return False  # its owner was just removing it
        remove_tree(path)
    except (OSError, MachineError):
        return False
    finally:
        os.close(held)
    return True
