"""What running commands need: gc leaves it alone. Any number of processes hold, one collects.

A process that makes something has a file in `roots/`, on which it holds a lock, and writes into it what it is about to
look for or to publish, before it looks. It does so under the shared gate; gc decides what goes, and moves it away,
under the exclusive one. So what was found after it was written down stays. The lock ends with its process, however that
ends; then the file means nothing and gc removes it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from orchestrator.store.layout import Layout
from orchestrator.tree import disk

Thing = Literal["object", "source", "blob"]
_PREFIX = "run-"
_LATELY = 60.0  # seconds; a use so soon after another is not noted


class _Holder:
    """The file of this process for one store."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.path = layout.roots / f"{_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
        self._lock = threading.Lock()
        self._known: set[tuple[Thing, str]] = set()
        self._gate = os.open(layout.locks / "gc", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._gate, fcntl.LOCK_SH)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def add(self, kind: Thing, names: Iterable[str]) -> None:
        with self._lock:
            fresh = [name for name in dict.fromkeys(names) if (kind, name) not in self._known]
            if not fresh:
                return
            fcntl.flock(self._gate, fcntl.LOCK_SH)
            try:
                data = "".join(f"{kind} {name}\n" for name in fresh).encode()
                while data:
                    data = data[os.write(self._file, data) :]
            finally:
                fcntl.flock(self._gate, fcntl.LOCK_UN)
            self._known.update((kind, name) for name in fresh)
        if kind == "object":
            now = time.time()
            for name in fresh:
                _note_use(f"{self.layout.objects}/{name}", now)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._file)
        os.close(self._gate)


def _note_use(place: str, now: float) -> None:
    """An object's own directory tells when it was used last; its tree keeps its times."""
    with suppress(OSError):  # it may not be there yet
        if now - os.stat(place).st_mtime > _LATELY:  # noqa: PTH116 - there may be thousands
            os.utime(place)


_holders: dict[Path, _Holder] = {}  # by store: a process has one run on a store at a time


@contextmanager
def holding(layout: Layout) -> Iterator[None]:
    """While the block runs, what this process finds in the store or puts there is safe from gc. Raise MachineError."""
    if layout.root in _holders:
        yield
        return
    with disk("note a running command in", layout.roots):
        _holders[layout.root] = _Holder(layout)
    try:
        yield
    finally:
        _holders.pop(layout.root).close()


def hold(layout: Layout, kind: Thing, *names: str) -> None:
    """Write down that these (hex) are needed, before looking whether they are there. Does nothing outside of `holding`:
    a command that only asks takes what it finds. Raise MachineError."""
    holder = _holders.get(layout.root)
    if holder is not None:
        with disk("note what is needed in", holder.path):
            holder.add(kind, names)


@contextmanager
def collecting(layout: Layout) -> Iterator[dict[Thing, set[str]]]:
    """Hold the exclusive gate; yields what running commands hold, and removes the files of dead ones. Raise
    MachineError."""
    with disk("lock", layout.locks / "gc"):
        gate = os.open(layout.locks / "gc", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with disk("lock", layout.locks / "gc"):
            fcntl.flock(gate, fcntl.LOCK_EX)
        yield _held(layout, tidy=True)
    finally:
        os.close(gate)


def held(layout: Layout) -> dict[Thing, set[str]]:
    """What running commands hold now; by the time that it is looked at they may hold more. Changes nothing."""
    return _held(layout, tidy=False)


def running(layout: Layout) -> list[int]:
    """The process ids of commands that hold something now."""
    found = []
    for path in sorted(layout.roots.glob(f"{_PREFIX}*")):
        if _is_alive(path):
            found.append(int(path.name.split("-")[1]))
    return found


def _held(layout: Layout, *, tidy: bool) -> dict[Thing, set[str]]:
    found: dict[Thing, set[str]] = {"object": set(), "source": set(), "blob": set()}
    for path in layout.roots.glob(f"{_PREFIX}*"):
        if not _is_alive(path):
            if tidy:
                path.unlink(missing_ok=True)
            continue
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            kind, _, name = line.partition(" ")
            for known in found:
                if kind == known:
                    found[known].add(name)
    return found


def _is_alive(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
