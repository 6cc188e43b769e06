"""The small tree on top of every merged root: mount points, and the few files of /etc that differ between machines.
Its launcher makes it (launcher.make_tree).

What stands here is seen by every build: a change raises SANDBOX_SCHEMA.
"""

from __future__ import annotations

# pathlib takes as long as all that is made here: every run waits for it
# ruff: noqa: PTH103, PTH114
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.errors import MachineError
from orchestrator.sandbox.spec import (
    BUILD_DIR,
    BUILD_GID,
    BUILD_UID,
    HOST_NAME,
    OUT_DIR,
    Bind,
)

# There is no sysfs. UCX's tcp transport takes the interfaces from /sys/class/net, where it wants links.
DIRECTORIES = (
    BUILD_DIR,
    "/dev",
    "/etc",
    OUT_DIR,
    "/proc",
    "/run",
    "/sys/class/net",
    "/sys/devices/virtual/net/lo",
    "/tmp",
)
LINKS = {"/sys/class/net/lo": "../../devices/virtual/net/lo"}
FILES = {
    "/etc/group": f"root:x:0:\nbuild:x:{BUILD_GID}:\nnogroup:x:65534:\n",
    "/etc/hostname": f"{HOST_NAME}\n",
    "/etc/hosts": f"127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        f"build:x:{BUILD_UID}:{BUILD_GID}:build:{BUILD_DIR}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "/etc/resolv.conf": "",
}


USERS = ("/etc/group", "/etc/nsswitch.conf", "/etc/passwd")


def skeleton(binds: tuple[Bind, ...], *, own_users: bool = False) -> dict[str, Any]:
    """The tree, as launcher.make_tree takes it, with a mount point for each bind.

    With `own_users` the root's own users and groups are seen, not the build's.
    """
    return _tree(tuple((bind.inside, bind.host.is_dir()) for bind in binds), own_users)


@cache
def _tree(points: tuple[tuple[str, bool], ...], own_users: bool) -> dict[str, Any]:
    """The tree with these mount points; `True` beside a directory. Whoever is given it changes nothing of it."""
    folders = set(DIRECTORIES)
    files = {path: text for path, text in FILES.items() if not (own_users and path in USERS)}
    for inside, is_folder in points:
        if is_folder:
            folders.add(inside)
        else:
            files[inside] = ""
    for inside in (*folders, *files, *LINKS):
        folders.update(_above(inside))
    return {"folders": sorted(folders), "files": dict(sorted(files.items())), "links": LINKS}


def _above(inside: str) -> Iterator[str]:
    """The directories that `inside` lies in, the root ("") too."""
    while inside:
        inside = inside.rpartition("/")[0]
        yield inside


def make_mount_points(top: Path, points: Iterable[str]) -> None:
    """Make what is missing of `points` in a root that can be written to; raise MachineError for a link on the way: what
    is mounted there would lie elsewhere."""
    for inside in points:
        refuse_link_on_the_way(inside, (top,))
        os.makedirs(f"{top}{inside}", exist_ok=True)


def refuse_link_on_the_way(inside: str, lowers: tuple[Path, ...]) -> None:
    """Raise MachineError for a link on the way to `inside` in one of the trees: a real directory on top of a symbolic
    link (/lib on a merged /usr) would hide all that is behind the link."""
    for place in (inside, *_above(inside)):
        for lower in lowers:
            if os.path.islink(f"{lower}{place}"):
                raise MachineError(
                    f"nothing can be bound at {inside}",
                    where=f"{lower}{place}",
                    why=f"{place} is a symbolic link there",
                    hint="name the place the link leads to",
                )
