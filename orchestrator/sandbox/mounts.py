"""What a run sees as files: the mounts that the launcher makes, one after the other, below the root to come. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.frozen import NamedTuple
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

MEMORY = "memory"  # below a workplace: each launcher mounts there what it has for itself
PLACES = ("/dev", "/proc", "/tmp")  # what lies below these is not for a bind

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8  # MS_RDONLY and so on; MOUNT_ATTR_* are the same
_PLAIN = _NO_SUID | _NO_DEVICES


class Mount(NamedTuple):
    """One file system, or with the kind "bind" what is at `source`, seen at `target` with these flags more."""

    source: str
    target: str
    kind: str
    flags: int
    options: str | None = None


def mounts(spec: Spec, *, place: Path, masks: tuple[str, ...]) -> tuple[Mount, ...]:
    """All of them in order, the root first; what it is merged of is for the launcher to name. `place` is the
    workplace's."""
    root = f"{place}/root"
    if spec.writable_root is not None:
        top = Mount(str(spec.writable_root), root, "bind", _PLAIN)
    else:
        top = Mount("overlay", root, "overlay", _PLAIN | _READ_ONLY)
    common = f"{place}/{MEMORY}/fixed"
    return (
        top,
        Mount("proc", f"{root}/proc", "proc", _PLAIN | _NO_PROGRAMS | _READ_ONLY),
        *(Mount(f"{common}/{_STAND_INS.get(mask, 'empty')}", root + mask, "bind", 0) for mask in masks),
        Mount(f"{common}/dev", f"{root}/dev", "bind", 0),
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


def shared() -> dict[str, Any]:
    """What all runs mount alike: a tree, as launcher.make_tree takes it, which a launcher makes in memory for itself,
    to be seen read-only and without programs of other users or devices; and where in it the host's devices are bound.
    """
    devices = [f"/dev/{name}" for name in DEVICES]
    return {
        "tree": {
            "folders": ["", "/dev", *(f"/dev/{name}" for name in DEVICE_FOLDERS)],
            "files": {"/boot_id": NO_BOOT_ID, "/release": OLD_RELEASE, "/empty": "", **dict.fromkeys(devices, "")},
            "links": {f"/dev/{name}": target for name, target in DEVICE_LINKS.items()},
        },
        "devices": devices,
    }
