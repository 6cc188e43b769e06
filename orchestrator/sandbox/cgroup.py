"""Memory and process limits through control groups, version 1 or 2, where this user may make one.

A run has a directory below orch's, one a hierarchy, named after the orch process so that what a killed one
left behind is recognised and removed by the next run. Where none can be made the limit is reported as unenforced.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

from orchestrator.frozen import frozen
from orchestrator.sandbox.spec import Limits
from orchestrator.tree import disk

_PREFIX = "orch"
_OWN_TASKS = 2  # bubblewrap's monitor and the first process of its namespace
_RUNS = itertools.count()
_TRIES = 20

# By version: the file for the memory limit, and the one that keeps swap from stretching it, which may be missing.
_MEMORY = {1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), 2: ("memory.max", "memory.swap.max")}
_EVENTS = {1: "memory.oom_control", 2: "memory.events"}


@frozen
class Hierarchy:
    """A place where groups can be made: the version of its files, and the directory to make them in."""

    version: int
    folder: Path


class Cage:
    """The groups of a run."""

    def __init__(self) -> None:
        self.folders: dict[Path, int] = {}  # directory -> version
        self.unenforced: tuple[str, ...] = ()
        self.spent = False  # the kernel has killed for memory here: it tells no more of a later run

    def take(self, pid: int) -> None:
        """Let a process be in them, with all that it starts from now on; raise MachineError. The kernel takes 10 ms."""
        for folder in self.folders:
            with disk("add a process to", folder):
                _write(folder / "cgroup.procs", str(pid))

    def out_of_memory(self) -> bool:
        """Has the kernel killed a process of the run because the run's memory was used up?"""
        for folder, version in self.folders.items():
            for line in _read(f"{folder}/{_EVENTS[version]}").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count):
                    self.spent = True
        return self.spent

    def remove(self) -> None:
        """Remove the groups; nothing runs in them any more."""
        for folder in self.folders:
            _remove(folder)


def make_cage(limits: Limits, *, proc: Path = Path("/proc")) -> Cage:
    """Groups with the memory and process limits; whoever has them removes them."""
    made = Cage()
    if limits.memory_bytes is None and limits.processes is None:
        return made
    places = hierarchies(_read(proc / "self/cgroup"), _read(proc / "self/mountinfo"))
    name = f"{_PREFIX}-{os.getpid()}-{_started(os.getpid())}-{next(_RUNS)}"
    try:
        if limits.memory_bytes is not None:
            _limit(made, "memory", places.get("memory", ()), name, limits.memory_bytes)
        if limits.processes is not None:
            _limit(made, "processes", places.get("pids", ()), name, limits.processes + _OWN_TASKS)
    except BaseException:
        made.remove()
        raise
    return made


def hierarchies(membership: str, mounts: str) -> dict[str, tuple[Hierarchy, ...]]:
    """Where a group of each controller could be made, from /proc/self/cgroup and mountinfo; the first to work is taken.

    In version 2 a group with processes cannot give controllers to its children: then a sibling is tried.
    """
    own = {}
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    found: dict[str, tuple[Hierarchy, ...]] = {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, rest = right.split(" ", 2)
        if kind == "cgroup":
            for name in {"memory", "pids"} & set(rest.split(" ")[-1].split(",")) & set(own):
                found[name] = (Hierarchy(version=1, folder=_below(point, root, own[name])),)
        elif kind == "cgroup2" and "" in own:
            folder = _below(point, root, own[""])
            both = [folder, folder.parent] if folder != Path(point) else [folder]
            for name in ("memory", "pids"):
                found.setdefault(name, tuple(Hierarchy(version=2, folder=place) for place in both))
    return found


def _below(point: str, root: str, path: str) -> Path:
    inside = os.path.relpath(path, root)
    return Path(point) if inside.startswith("..") else Path(point, inside)


def _limit(made: Cage, limit: str, places: tuple[Hierarchy, ...], name: str, value: int) -> None:
    for place in places:
        _sweep(place.folder)
        folder = place.folder / name
        try:
            _apply(place, folder, limit, value)
        except OSError:
            if folder not in made.folders:
                _remove(folder)
            continue
        made.folders[folder] = place.version
        return
    made.unenforced += (limit,)


def _apply(place: Hierarchy, folder: Path, limit: str, value: int) -> None:
    controller = "memory" if limit == "memory" else "pids"
    if place.version == 2 and controller not in _read(place.folder / "cgroup.subtree_control").split():
        _write(place.folder / "cgroup.subtree_control", f"+{controller}")
    folder.mkdir(exist_ok=True)
    if limit == "processes":
        _write(folder / "pids.max", str(value))
        return
    first, swap = _MEMORY[place.version]
    _write(folder / first, str(value))
    if (folder / swap).exists():
        _write(folder / swap, str(value) if place.version == 1 else "0")


def _write(path: Path, text: str) -> None:
    # No "create": a missing file means that the directory is no control group.
    with path.open("r+", encoding="utf-8") as file:
        file.write(text)


def _sweep(folder: Path) -> None:
    """Remove the groups of orch processes that are no more."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            prefix, _, rest = entry.name.partition("-")
            pid, _, rest = rest.partition("-")
            started, _, _ = rest.partition("-")
            if prefix == _PREFIX and pid.isdecimal() and _started(int(pid)) != started:
                _remove(Path(entry.path))


def _remove(folder: Path) -> None:
    for turn in range(_TRIES):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # the last process is dead but not yet gone
            time.sleep(min(0.01, 0.0005 * 2**turn))
        else:
            return


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks: with its pid, a name used once. Empty: no such process."""
    return (_read(Path(f"/proc/{pid}/stat")).rpartition(") ")[2].split() or [""] * 20)[19]


def _read(path: Path | str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - after every run
            return file.readall().decode("utf-8", "replace")
    except OSError:
        return ""
