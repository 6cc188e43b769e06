"""Why a machine refuses a sandbox, and what to do about it, from what the chain's programs said."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import MachineError

_CLONE = "kernel/unprivileged_userns_clone"
_COUNT = "user/max_user_namespaces"
_NESTED = 3  # the launcher's, the run's, the command's
_APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"

# The soft limits that the chain sets, so that a build sees the same ones everywhere; the caller's hard limits must
# allow for them, since a build that ends at a lower one would look like the recipe's failure.
# resource: (what it bounds, its option of ulimit, the unit of that in bytes, needed in that unit; None: no bound)
_LIMITS: dict[int, tuple[str, str, int, int | None]] = {
    resource.RLIMIT_NOFILE: ("open files", "n", 1, 1024),
    resource.RLIMIT_STACK: ("the stack, in KiB", "s", 1024, 8192),
    resource.RLIMIT_FSIZE: ("a file's size, in bytes", "f", 1, None),
    resource.RLIMIT_CPU: ("processor seconds", "t", 1, None),
    resource.RLIMIT_DATA: ("a program's data, in KiB", "d", 1024, None),
    resource.RLIMIT_AS: ("address space, in KiB", "v", 1024, None),
}


def check_limits(*, get: Callable[[int], tuple[int, int]] = resource.getrlimit) -> None:
    """Raise MachineError for a hard limit of the caller's that is lower than what every build gets."""
    for number, (what, option, unit, needed) in _LIMITS.items():
        hard = get(number)[1]
        if hard == resource.RLIM_INFINITY or (needed is not None and hard >= needed * unit):
            continue
        wanted = "unlimited" if needed is None else str(needed)
        raise MachineError(
            f"the hard limit on {what} is {hard // unit}, and a build needs {wanted}",
            why="every build gets the same limits, and a process cannot have more than its hard limit",
            hint=f"raise it (ulimit -H{option}, /etc/security/limits.conf) or start orch from a shell without it",
        )


def read_setting(name: str) -> str | None:
    """A kernel setting by its path below /proc/sys; None where this kernel has none such."""
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def diagnose(said: str, *, setting: Callable[[str], str | None] = read_setting) -> tuple[str, str]:
    """Why, and the remedy; both empty when what was said is all that is known."""
    if "unshare:" in said or "setting up uid map" in said or "new namespace" in said:
        return _namespaces(setting)
    if "mount overlay" in said:
        release = os.uname().release
        return (
            f"the kernel ({release}) cannot merge directories inside a user namespace",
            "Linux 5.11 or newer with the overlay module is needed: modprobe overlay",
        )
    if "mount_setattr" in said and os.strerror(errno.ENOSYS) in said:
        return (f"the kernel ({os.uname().release}) cannot set the flags of a mount", "Linux 5.12 or newer is needed")
    if "mount proc" in said:
        return (
            "this machine is itself a container whose /proc is partly hidden",
            "run that container with an unmasked /proc (docker: --security-opt systempaths=unconfined)",
        )
    if "Unknown option" in said:
        return ("the installed bubblewrap is too old", "bubblewrap 0.6 or newer is needed")
    return ("", "")


def _namespaces(setting: Callable[[str], str | None]) -> tuple[str, str]:
    count = setting(_COUNT) or ""
    if count.isdecimal() and int(count) < _NESTED:
        return (
            f"user.max_user_namespaces is {count}: a sandbox needs {_NESTED}, one below the other",
            "sysctl -w user.max_user_namespaces=10000",
        )
    if setting(_CLONE) == "0":
        return (
            "kernel.unprivileged_userns_clone is 0: only root may make user namespaces",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if setting(_APPARMOR) == "1":
        return (
            "kernel.apparmor_restrict_unprivileged_userns is 1: programs without a profile get no user namespace",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return (
        "user namespaces are forbidden here, by a container's policy or a security module",
        "in docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    )
