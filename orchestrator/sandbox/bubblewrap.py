"""From a Spec to what carries it out: the order for the launcher, and bubblewrap's options. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import MachineError
from orchestrator.sandbox.mounts import PLACES, mounts
from orchestrator.sandbox.skeleton import skeleton
from orchestrator.sandbox.spec import BUILD_GID, BUILD_UID, HOST_NAME, Spec

_TAKEN = tuple(f"{place}/" for place in PLACES)
MAX_LOWERS = 499  # the kernel merges 500 trees, and one is the skeleton

# What bubblewrap itself has.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}


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
        if not inside.startswith("/") or ".." in inside.split("/") or "\0" in inside:
            raise ValueError(f"not an absolute path without '..': {inside!r}")
    for inside in (bind.inside for bind in spec.binds):
        plain = inside == posixpath.normpath(inside) and not inside.startswith("//") and inside != "/"
        if not plain or f"{inside}/".startswith(_TAKEN):
            raise ValueError(f"nothing can be bound at {inside!r}")


def order(
    spec: Spec,
    *,
    bwrap: Path,
    place: Path,
    lowers: tuple[Path, ...],
    masks: tuple[str, ...],
    processes: int | None,
) -> dict[str, Any]:
    """What the launcher is told, as values that marshal takes. `lowers` are merged below a skeleton. `masks`: files of
    /proc to cover. `processes`: a limit on them, where no cgroup can set one."""
    return {
        "skeleton": skeleton(spec.binds, own_users=spec.user is not None) if lowers else {},
        "lowers": list(map(str, lowers)),
        "place": str(place),
        "mounts": [list(one) for one in mounts(spec, place=place, masks=masks)],
        "cpus": list(spec.cpus or ()),
        "old_kernel_release": spec.old_kernel_release,
        "processes": processes,
        "bwrap": str(bwrap),
        "command": list(spec.command),
        "environment": dict(ENVIRONMENT),
    }


def options(spec: Spec, *, place: Path) -> tuple[str, ...]:
    """bubblewrap's options, read by it from a file: a command line can be seen inside, in /proc/1/cmdline."""
    uid, gid = (0, 0) if spec.as_root else spec.user or (BUILD_UID, BUILD_GID)
    return (
        *("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--uid", str(uid), "--gid", str(gid), "--hostname", HOST_NAME),
        *("--dev-bind", str(place / "root"), "/"),  # with all that the launcher mounted below it, as it is
        "--clearenv",
        *(part for name, value in spec.environment for part in ("--setenv", name, value)),
        *("--chdir", spec.directory),
    )
