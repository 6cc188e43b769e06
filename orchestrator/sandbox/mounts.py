"""What a run sees as files: the mounts that the launcher makes, one after the other, below the root to come. Pure."""

from __future__ import annotations

# pathlib takes as long as all that is made here: every run waits for it
# ruff: noqa: PTH102, PTH211
import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.sandbox.spec import Spec

# Files of /proc that tell about the host's start, disks, keys or other processes: empty inside. What tells only the
# kernel's version (that cannot be hidden), or nothing without a capability, is not here.
MASKED = (
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/diskstats",
    "/proc/keys",
    "/proc/modules",
    "/proc/partitions",
    "/proc/swaps",
    "/proc/timer_list",
)
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Its first eight digits, xor the fourth group, are 127.0.0.1 (little-endian): UCX 1.20 takes them for the address of a
# peer on the loopback interface, and does without tcp when there is no route to it.
NO_BOOT_ID = "0100807f-0000-4000-8000-000000000000\n"
# The personality changes what uname says, not these: with an old kernel release they say OLD_RELEASE.
RELEASES = ("/proc/sys/kernel/osrelease", "/proc/version")
OLD_RELEASE = "2.6.40\n"
_STAND_INS = {BOOT_ID: "boot_id", **dict.fromkeys(RELEASES, "release")}

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
DEVICE_FOLDERS = ("pts", "shm")
DEVICE_LINKS = {
    "core": "/proc/kcore",
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}

PLACES = ("/dev", "/proc", "/tmp")  # what lies below these is not for a bind

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8  # MS_RDONLY and so on; MOUNT_ATTR_* are the same
_PLAIN = _NO_SUID | _NO_DEVICES


class Mount(NamedTuple):
    """One file system, or with the kind "bind" what is at `source`, seen at `target`."""

    source: str
    target: str
    kind: str
    flags: int
    options: str | None = None


def mounts(spec: Spec, *, place: Path, lower_names: tuple[str, ...], masks: tuple[str, ...]) -> tuple[Mount, ...]:
    """All of them in order, the root first. `place` is the workplace's; lower names are relative to its lower/."""
    root = f"{place}/root"
    if spec.writable_root is not None:
        top = Mount(str(spec.writable_root), root, "bind", _PLAIN)
    else:
        top = Mount("overlay", root, "overlay", _PLAIN | _READ_ONLY, f"lowerdir={':'.join(lower_names)}")
    covers = ((f"{place}/{_STAND_INS.get(mask, 'empty')}", mask) for mask in masks)
    return (
        top,
        Mount("proc", f"{root}/proc", "proc", _PLAIN | _NO_PROGRAMS | _READ_ONLY),
        *(Mount(source, root + mask, "bind", _PLAIN | _READ_ONLY) for source, mask in covers),
        Mount(f"{place}/dev", f"{root}/dev", "bind", _PLAIN | _READ_ONLY),
        *(Mount(f"/dev/{name}", f"{root}/dev/{name}", "bind", _NO_SUID | _NO_PROGRAMS) for name in DEVICES),
        Mount("devpts", f"{root}/dev/pts", "devpts", _NO_SUID | _NO_PROGRAMS, "newinstance,ptmxmode=0666,mode=620"),
        *(Mount("tmpfs", f"{root}{at}", "tmpfs", _PLAIN, "mode=1777") for at in ("/dev/shm", "/tmp")),
        *(
            Mount(str(bind.host), root + bind.inside, "bind", _PLAIN if bind.writable else _PLAIN | _READ_ONLY)
            for bind in spec.binds
        ),
    )


def mount_points(spec: Spec) -> tuple[str, ...]:
    """Where something is mounted below the root."""
    return (*PLACES, *(bind.inside for bind in spec.binds))


def write_devices(top: Path) -> None:
    """Make at `top` what is seen as /dev: empty files for the host's devices to be bound to."""
    os.mkdir(top)
    for name in DEVICES:
        os.close(os.open(f"{top}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    for name in DEVICE_FOLDERS:
        os.mkdir(f"{top}/{name}")
    for name, target in DEVICE_LINKS.items():
        os.symlink(target, f"{top}/{name}")
