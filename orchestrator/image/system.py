"""The one tree of an image that no recipe makes: user, umask, loader cache, the frame of the Python environment, links.

It lies on top. It is made from the recipe and the merged root below it, in a moment, and is not remembered.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import RecipeError
from orchestrator.events import Monitor
from orchestrator.image.model import View
from orchestrator.recipe.image import Image
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import OUT_DIR, SOURCE_DATE_EPOCH, Bind, Spec
from orchestrator.sandbox.step import LineListener, limits
from orchestrator.sandbox.step_failure import failure
from orchestrator.tree import Entry, Manifest, disk, scan

ENTRYPOINT = "usr/local/bin/orch-entrypoint"
LOADER_CONF = "etc/ld.so.conf.d/00-orch.conf"
LOADER_CACHE = "etc/ld.so.cache"

_ENTRYPOINT_TEXT = """\
#!/bin/sh
# The image's umask holds for what is run without a login shell too.
umask {umask}
exec "$@"
"""
_CFG = """\
home = /usr/bin
include-system-site-packages = false
version = {version}
"""


def write_system(image: Image, view: View, top: Path, *, base: Path, ldconf: Sequence[str]) -> None:
    """Write the system tree of `image` to `top`, but for the loader's cache. `base` is the base's tree."""
    config = image.document.config
    with disk("write", top):
        _users(image, view, top, base)
        _write(top / "etc/profile.d/00-umask.sh", f"umask {config.umask}\n")
        _write(top / ENTRYPOINT, _ENTRYPOINT_TEXT.format(umask=config.umask), mode=0o755)
        _write(top / LOADER_CONF, "".join(f"{directory}\n" for directory in ldconf))
        if image.document.python is not None:
            _environment(image, top)
        for directory in owned(image):
            if _is_others(view, directory, config.uid):
                who = view.component(directory).name
                field = "workdir" if directory == config.workdir.lstrip("/") else "directories"
                hint = "name a new directory: what others brought is not given to the image's user"
                raise _there(image, f"/{directory}", field, f"{who} has it", hint)
            _directories(image, view, top, directory, "directories")
        for path, target in sorted(config.links.items()):
            link = path.lstrip("/")
            if link in view.entries or os.path.lexists(top / link):
                who = view.component(link).name if link in view.entries else "orch"
                raise _there(image, path, "links", f"{who} has it", "remove the link from the recipe")
            _directories(image, view, top, link.rpartition("/")[0], "links")
            (top / link).symlink_to(target)
        for entry in scan(top).entries:
            _refuse_hiding(image, view, entry)


def _is_others(view: View, path: str, uid: int) -> bool:
    """Whether others made a directory there that is not this user's to have: everyone's, or with something in it."""
    below = view.entries.get(path)
    if below is None or below.kind != "dir" or below.uid == uid:
        return False
    return bool(below.mode & 0o1000) or any(other.startswith(f"{path}/") for other in view.entries)


def _directories(image: Image, view: View, top: Path, path: str, field: str) -> None:
    """Make the directory `path` of the tree, and those on its way; none of them may be anything else, in the tree or in
    the image below: what a link of the image leads to is another place, and one on this machine."""
    parts = path.split("/") if path else []
    for place in ("/".join(parts[: count + 1]) for count in range(len(parts))):
        below = view.entries.get(place)
        if below is not None and below.kind == "link":
            hint = "name the path that it leads to"
            raise _there(image, f"/{place}", field, f"it is a link to {below.target}", hint)
        if os.path.lexists(top / place):
            if (top / place).is_symlink() or not (top / place).is_dir():
                raise _there(image, f"/{place}", field, "it is no directory", "name another path")
        else:
            (top / place).mkdir()


def _refuse_hiding(image: Image, view: View, entry: Entry) -> None:
    """The system tree lies on top: beside directories it may only replace files of the base."""
    below = view.entries.get(entry.path)
    if below is None or entry.kind == below.kind == "dir":
        return
    owner = view.component(entry.path)
    if owner.kind != "base" or "dir" in (entry.kind, below.kind):
        raise _there(
            image,
            f"/{entry.path}",
            "directories" if entry.kind == "dir" else "",
            f"{owner.name} has a {below.kind} there, and the image's own tree a {entry.kind}",
            f'leave it out: [[drop]] path = "{entry.path}", component = "{owner.name}", reason = "..."',
        )


def _there(image: Image, path: str, field: str, why: str, hint: str) -> RecipeError:
    where = f"{image.where}: config.{field}".removesuffix(".")
    return RecipeError(f"{path} is there already", where=where, why=why, hint=hint)


def make_loader_cache(
    root: Path, top: Path, *, show: str, stage: Path, log: Path, monitor: Monitor, stop: threading.Event
) -> None:
    """Let the image's own ldconfig write the cache of the merged `root` with the system tree `top` over it. `show` is
    what `orch log` is given to show `log`."""
    step = "check loader-cache"
    (top / "etc").mkdir(exist_ok=True)
    spec = Spec(
        lowers=(top, root),
        binds=(Bind(host=top, inside=OUT_DIR, writable=True),),
        command=("/sbin/ldconfig", "-i", "-X", "-C", f"{OUT_DIR}/{LOADER_CACHE}"),
        environment=(("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8")),
        directory="/",
        limits=limits(),
    )
    outcome = run(spec, work=stage, log=log, on_line=LineListener(step, monitor), stop=stop)
    if not outcome.passed:
        raise failure("making the image's loader cache", outcome, log, show=show, work=stage)


def describe_system(image: Image, view: View, top: Path) -> Manifest:
    """The manifest of the system tree, with the image's user as the owner of its directories. Others that `view`, which
    lies below, has too stay as they are there: /tmp is everyone's."""
    config = image.document.config
    mine = set(owned(image))
    entries = []
    for entry in scan(top).entries:
        if entry.path in mine:
            mode = 0o777 & ~int(config.umask, 8)
            entry = entry._replace(uid=config.uid, gid=config.gid, mode=mode)
        elif entry.kind == "dir":
            entry = view.entries.get(entry.path, entry)
        entries.append(entry)
    return Manifest(tuple(entries))


def owned(image: Image) -> tuple[str, ...]:
    """The directories (relative) that belong to the image's user."""
    config = image.document.config
    return tuple(sorted({path.lstrip("/") for path in (config.workdir, f"/home/{config.user}", *config.directories)}))


def _users(image: Image, view: View, top: Path, base: Path) -> None:
    config = image.document.config
    for name in ("etc/passwd", "etc/group"):
        if name in view.entries and view.entries[name].kind != "file":
            why = f"it is a {view.entries[name].kind}, and the image's user has to be added to it"
            raise RecipeError(f"/{name} of the base is no file", where=f"{image.where}: base", why=why)
    passwd, group = (_lines(base / "etc" / name) for name in ("passwd", "group"))
    here = False
    for line in passwd:
        name, _, uid, *_ = line.split(":")
        if (name, uid) == (config.user, str(config.uid)):  # such as root
            here = True
        elif name == config.user or uid == str(config.uid):
            raise RecipeError(
                f"the base has a user {name} with uid {uid} already",
                where=f"{image.where}: config.user",
                hint="choose another name and uid",
            )
    if not here:
        passwd.append(f"{config.user}:x:{config.uid}:{config.gid}:{config.user}:/home/{config.user}:/bin/bash")
    if str(config.gid) not in (line.split(":")[2] for line in group):
        group.append(f"{config.user}:x:{config.gid}:")
    _write(top / "etc/passwd", "".join(f"{line}\n" for line in passwd))
    _write(top / "etc/group", "".join(f"{line}\n" for line in group))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line] if path.exists() else []


def _environment(image: Image, top: Path) -> None:
    python = image.document.python
    assert python is not None
    home = top / python.prefix.lstrip("/")
    _write(home / "pyvenv.cfg", _CFG.format(version=python.version))
    (home / "bin").mkdir(parents=True, exist_ok=True)
    for name, target in (
        ("python", f"/usr/bin/python{python.version}"),
        ("python3", "python"),
        (f"python{python.version}", "python"),
    ):
        (home / "bin" / name).symlink_to(target)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    os.utime(path, (SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH))
