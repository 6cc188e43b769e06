"""Why a machine refuses a sandbox, and what to do about it, from what the chain's programs said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

_CLONE = "kernel/unprivileged_userns_clone"
_COUNT = "user/max_user_namespaces"
_APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"


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
    if "mount:" in said and "overlay" in said:
        release = os.uname().release
        return (
            f"the kernel ({release}) cannot merge directories inside a user namespace",
            "Linux 5.11 or newer with the overlay module is needed: modprobe overlay",
        )
    if "mount proc" in said:
        return (
            "this machine is itself a container whose /proc is partly hidden",
            "run that container with an unmasked /proc (docker: --security-opt systempaths=unconfined)",
        )
    if "Unknown option" in said:
        return ("the installed bubblewrap is too old", "bubblewrap 0.6 or newer is needed")
    return ("", "")


def _namespaces(setting: Callable[[str], str | None]) -> tuple[str, str]:
    if setting(_COUNT) == "0":
        return (
            "user.max_user_namespaces is 0: no user namespace can be made",
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
