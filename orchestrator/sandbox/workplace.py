"""What runs of one process share: the mount points of their roots and of what launchers have in memory, launchers.

Every run and every launcher mounts in a mount namespace of its own, so that one mount point serves them all. Knows
nothing of what is run.
"""

from __future__ import annotations

import marshal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.process import Relay, find_program
from orchestrator.sandbox import bubblewrap
from orchestrator.sandbox.cgroup import make_cage
from orchestrator.sandbox.diagnosis import check_limits
from orchestrator.sandbox.mounts import BOOT_ID, MASKED, MEMORY, RELEASES, shared
from orchestrator.sandbox.skeleton import refuse_link_on_the_way, skeleton
from orchestrator.sandbox.spec import Limits, Spec
from orchestrator.tree import remove_tree


class Workplace:
    """Files below `folder`, which is private and the caller's to remove. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        check_limits()
        self.folder = folder.resolve()
        self.bwrap = find_program("bwrap")
        self._lock = threading.Lock()
        self._looked_at: set[tuple[str, Path]] = set()
        self._launchers: dict[Limits, list[Launcher]] = {}
        for name in ("root", MEMORY):
            (self.folder / name).mkdir()
        masks = (*MASKED, BOOT_ID, *RELEASES)
        self._there = frozenset(mask for mask in masks if Path(mask).exists())

    def close(self) -> None:
        """End the launchers and remove their control groups. Nothing runs here any more."""
        for launchers in self._launchers.values():
            for one in launchers:
                one.close()
        self._launchers.clear()

    def masks(self, spec: Spec) -> tuple[str, ...]:
        """The files of /proc to cover."""
        releases = RELEASES if spec.old_kernel_release else ()
        return tuple(mask for mask in (*MASKED, BOOT_ID, *releases) if mask in self._there)

    def lowers(self, spec: Spec) -> tuple[Path, ...]:
        """The trees that become the root, below the skeleton. Empty for a root that can be written to. Raise
        MachineError for a bind that is in the way of a link."""
        lowers = tuple(dict.fromkeys(spec.lowers))  # a tree named twice is refused by the kernel
        with self._lock:
            for bind in spec.binds if lowers else ():
                unseen = tuple(lower for lower in lowers if (bind.inside, lower) not in self._looked_at)
                refuse_link_on_the_way(bind.inside, unseen)
                self._looked_at.update((bind.inside, lower) for lower in unseen)
        return tuple(lower.absolute() for lower in lowers)

    def prepare(self, limits: Limits) -> Launcher:
        """Start a launcher for a run to come, which may `join` now: both take as long as a run."""
        one = Launcher(limits, self.folder)
        with self._lock:
            self._launchers.setdefault(limits, []).append(one)
        return one

    @contextmanager
    def launcher(self, limits: Limits) -> Iterator[Launcher]:
        """What starts a run, in control groups; a later run may have the same, unless something went wrong in it."""
        free = self._launchers.setdefault(limits, [])
        one = self._free_one(free) or Launcher(limits, self.folder)
        well = False
        try:
            one.join()
            yield one
            well = not one.cage.spent and not one.relay.ended
        finally:
            if well:
                with self._lock:
                    free.append(one)
            else:
                one.close()

    def _free_one(self, free: list[Launcher]) -> Launcher | None:
        """One that waits for a run; those that somebody has killed meanwhile are put away."""
        while True:
            with self._lock:
                one = free.pop() if free else None
            if one is None or not one.relay.ended:
                return one
            one.close()


class Launcher:
    """The program that starts bubblewrap, and the control groups that it is in."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        """`folder` is the workplace's."""
        told = marshal.dumps({"place": str(folder), **shared(), "skeleton": skeleton(()), "lowers": []}).hex()
        self.cage = make_cage(limits)
        try:
            program = (sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("launcher.py")))
            self.relay = Relay(program, env={**bubblewrap.ENVIRONMENT, "SHARED": told})
        except BaseException:
            self.cage.remove()
            raise
        self._joined = False
        self._joining = threading.Lock()

    def join(self) -> None:
        """Put it into its groups, while it starts; what it starts is in them from then on. More than once is as good as
        once. Raise MachineError."""
        with self._joining:
            if not self._joined:
                self.cage.take(self.relay.pid)
                self._joined = True

    def close(self) -> None:
        """End it and remove its groups."""
        self.relay.close()
        self.cage.remove()


@contextmanager
def workplace(folder: Path) -> Iterator[Workplace]:
    """A workplace in a new directory `folder`, removed at the end. Raise MachineError."""
    folder.mkdir(mode=0o700)
    try:
        made = Workplace(folder)
        try:
            yield made
        finally:
            made.close()
    finally:
        with suppress(MachineError):
            remove_tree(folder)
