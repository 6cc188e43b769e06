"""What runs of one process share: the mount point of their roots, skeletons, short names of trees, launchers.

Every run mounts in a mount namespace of its own, so that one mount point serves them all; a skeleton is only read.
Knows nothing of what is run.
"""

from __future__ import annotations

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
from orchestrator.sandbox.mounts import BOOT_ID, MASKED, NO_BOOT_ID, OLD_RELEASE, RELEASES, write_devices
from orchestrator.sandbox.skeleton import refuse_link_on_the_way, write_skeleton
from orchestrator.sandbox.spec import Limits, Spec
from orchestrator.tree import remove_tree


class Workplace:
    """Files below `folder`, which is private and the caller's to remove. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        check_limits()
        self.folder = folder.resolve()
        self.bwrap = find_program("bwrap")
        self._lock = threading.Lock()
        self._names: dict[Path, str] = {}
        self._fresh = bubblewrap.short_names()
        self._skeletons: dict[tuple[object, ...], str] = {}
        self._looked_at: set[tuple[str, Path]] = set()
        self._launchers: dict[Limits, list[Launcher]] = {}
        for name in ("root", "lower"):
            (self.folder / name).mkdir()
        (self.folder / "boot_id").write_text(NO_BOOT_ID, encoding="utf-8")
        (self.folder / "release").write_text(OLD_RELEASE, encoding="utf-8")
        (self.folder / "empty").touch()
        write_devices(self.folder / "dev")
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

    def lower_names(self, spec: Spec) -> tuple[str, ...]:
        """The names, below lower/, of the trees that become the root, the skeleton first. Empty for a root that can be
        written to. Raise MachineError for a bind that is in the way of a link."""
        lowers = tuple(dict.fromkeys(spec.lowers))  # a tree named twice is refused by the kernel
        if not lowers:
            return ()
        with self._lock:
            for bind in spec.binds:
                unseen = tuple(lower for lower in lowers if (bind.inside, lower) not in self._looked_at)
                refuse_link_on_the_way(bind.inside, unseen)
                self._looked_at.update((bind.inside, lower) for lower in unseen)
            return (self._skeleton(spec), *(self._name(lower) for lower in lowers))

    def _skeleton(self, spec: Spec) -> str:
        own_users = spec.user is not None
        shape = (own_users, *sorted((bind.inside, bind.host.is_dir()) for bind in spec.binds))
        if shape not in self._skeletons:
            top = self.folder / f"skeleton-{len(self._skeletons)}"
            write_skeleton(top, binds=spec.binds, own_users=own_users)
            self._skeletons[shape] = self._name(top)
        return self._skeletons[shape]

    def _name(self, tree: Path) -> str:
        if tree not in self._names:
            name = next(self._fresh)
            (self.folder / "lower" / name).symlink_to(tree.absolute())
            self._names[tree] = name
        return self._names[tree]

    def prepare(self, limits: Limits) -> None:
        """Start a launcher for a run to come: that takes as long as a run."""
        one = Launcher(limits)
        with self._lock:
            self._launchers.setdefault(limits, []).append(one)

    @contextmanager
    def launcher(self, limits: Limits) -> Iterator[Launcher]:
        """What starts a run, in control groups; a later run may have the same, unless something went wrong in it."""
        free = self._launchers.setdefault(limits, [])
        one = self._free_one(free) or Launcher(limits)
        well = False
        try:
            yield one
            well = not one.cage.out_of_memory() and not one.relay.ended
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

    def __init__(self, limits: Limits) -> None:
        self.cage = make_cage(limits)
        try:
            program = (sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("launcher.py")))
            groups = tuple(map(str, self.cage.joins))
            self.relay = Relay(program, groups, env=bubblewrap.ENVIRONMENT)
        except BaseException:
            self.cage.remove()
            raise

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
