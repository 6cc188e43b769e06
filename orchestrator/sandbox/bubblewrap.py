"""From a Spec to what carries it out: the order for the launcher, and bubblewrap's options. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, product
from pathlib import Path, PurePosixPath
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from orchestrator.errors import MachineError
from orchestrator.sandbox.spec import BUILD_GID, BUILD_UID, HOST_NAME, Bind, Spec

MAX_LOWERS = 499  # the kernel merges 500 trees, and one is the skeleton

# What bubblewrap itself has: it can be read inside, in /proc/1/environ.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}

# Files of /proc that tell about the host's start, disks, keys or other processes: empty inside. Each costs a mount,
# so what tells only the kernel's version (that cannot be hidden), or nothing without a capability, is not here.
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


def check(spec: Spec) -> None:
    """Raise ValueError when the Spec says something that no backend can carry out."""
    if bool(spec.lowers) == (spec.writable_root is not None):
        raise ValueError("a Spec has either lowers or a writable_root")
    if not spec.command:
        raise ValueError("a Spec has a command")
    if len(set(spec.lowers)) > MAX_LOWERS:
        raise MachineError(
            f"{len(set(spec.lowers))} trees cannot be merged into one root",
            why=f"the kernel's overlay takes {MAX_LOWERS} and the sandbox's own",
            hint="let fewer recipes be inputs of one build",
        )
    for name, value in spec.environment:
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"not an environment variable: {name!r}={value!r}")
    for inside in (spec.directory, *(bind.inside for bind in spec.binds)):
        if not inside.startswith("/") or ".." in PurePosixPath(inside).parts or "\0" in inside:
            raise ValueError(f"not an absolute path without '..': {inside!r}")


def order(
    spec: Spec, *, bwrap: Path, place: Path, lower_names: tuple[str, ...], processes: int | None
) -> dict[str, Any]:
    """What the launcher is told, as JSON values. `processes`: a limit on them, where no cgroup can set one."""
    return {
        "place": str(place),
        "lowers": ":".join(lower_names),
        # bubblewrap makes one user namespace, and one more when the user inside is not root; the command can make none.
        "users": 1 if spec.as_root else 2,
        "cpus": list(spec.cpus or ()),
        "old_kernel_release": spec.old_kernel_release,
        "processes": processes,
        "bwrap": str(bwrap),
        "command": list(spec.command),
        "environment": dict(ENVIRONMENT),
    }


def options(spec: Spec, *, place: Path, masks: tuple[str, ...]) -> tuple[str, ...]:
    """bubblewrap's options, read by it from a file: a command line could be seen inside, in /proc/1/cmdline."""
    uid, gid = (0, 0) if spec.as_root else spec.user or (BUILD_UID, BUILD_GID)
    root = ("--bind", str(spec.writable_root), "/") if spec.writable_root else ("--ro-bind", str(place / "root"), "/")
    masked = [part for mask in masks for part in ("--ro-bind", str(place / _STAND_INS.get(mask, "empty")), mask)]
    return (
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--uid", str(uid), "--gid", str(gid), "--hostname", HOST_NAME),
        *root,
        *("--proc", "/proc", *masked, "--remount-ro", "/proc"),
        *("--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *("--perms", "1777", "--tmpfs", "/tmp"),
        *(part for bind in spec.binds for part in _bind(bind)),
        "--clearenv",
        *(part for name, value in spec.environment for part in ("--setenv", name, value)),
        *("--chdir", spec.directory),
    )


def _bind(bind: Bind) -> tuple[str, str, str]:
    return ("--bind" if bind.writable else "--ro-bind", str(bind.host), bind.inside)


def short_names() -> Iterator[str]:
    """Different names, the shortest first: all lower directories of a run are named in one option string."""
    letters = digits + ascii_lowercase + ascii_uppercase
    for length in count(1):
        yield from map("".join, product(letters, repeat=length))
