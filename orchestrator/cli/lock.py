"""Write the lock file of a base or of an image anew: every .deb or wheel that it needs, by hash.

The solving is others': apt's for a base, so that needs apt on the host; uv's for an image. The keys of
all that stands on a base, or of an image, move with the lock: look at the difference before you commit it.
"""

from __future__ import annotations

import argparse
import datetime
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import MachineError, RecipeError, UsageError

if TYPE_CHECKING:
    from orchestrator.fetch import Mirrors
    from orchestrator.recipe import Deb, Lock, Recipe, Wheel

EPILOG = """\
With --security a base gets a second lock; an image stands on it by
options = { "debian-jit.version" = "bookworm-security" }.

examples:
  orch lock sglang-cu12                      the wheels of an image, as of its exclude_newer
  orch lock debian-build
  orch lock debian-build --mirror ADDRESS    read this archive and no other
  orch lock debian-jit --security            with the suite's security updates
"""
_ARCHITECTURES = {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="an image or a base, such as sglang-cu12 or debian-build")
    parser.add_argument("--security", action="store_true", help="of a base: the lock with security updates")
    parser.add_argument("--mirror", metavar="ADDRESS", help="the archive to read (else orch.toml's, else apt's own)")
    parser.add_argument("--security-mirror", metavar="ADDRESS", help="the archive of security updates, likewise")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Resolve and write."""
    from orchestrator.fetch import Mirrors
    from orchestrator.recipe import load_images
    from orchestrator.recipe.parse import suggestion

    opened = open_project(arguments)
    images = load_images(opened.project)
    mirrors = Mirrors(**opened.project.mirrors)
    if arguments.name in images:
        if arguments.security or arguments.mirror or arguments.security_mirror:
            hint = f"orch lock {arguments.name}; --security is for the base that it stands on"
            raise UsageError(f"{arguments.name} is an image: its wheels come from no Debian archive", hint=hint)
        return _image(arguments, opened, mirrors)
    recipe = opened.recipes.to_lock(arguments.name) if arguments.name in opened.recipes else None
    if recipe is None or recipe.base is None:
        bases = [name for name in opened.recipes if opened.recipes.to_lock(name).base is not None]
        hint = suggestion(arguments.name, (*images.names, *bases), label="images and bases")
        raise UsageError(f"{arguments.name!r} is no image and no base", hint=hint)
    return _base(arguments, recipe, mirrors)


def _image(arguments: argparse.Namespace, opened: Opened, mirrors: Mirrors) -> int:
    from orchestrator.fetch.uv_lock import lock_environment
    from orchestrator.frozen import replace
    from orchestrator.recipe import load_images, write_python_lock

    image = load_images(opened.project).to_lock(arguments.name)
    python = image.document.python
    if python is None:
        raise RecipeError(f"{image.name} has no Python environment to lock", where=f"{image.where}: python")
    new = lock_environment(python, mirrors=mirrors, made=_today(), where=image.where)
    path = image.directory / python.lock
    if image.lock is None or replace(new, made=image.lock.made) != image.lock:
        _write(path, write_python_lock(new))
    return _tell(arguments, path, image.lock.wheels if image.lock else (), new.wheels, "wheels")


def _base(arguments: argparse.Namespace, recipe: Recipe, mirrors: Mirrors) -> int:
    from orchestrator.fetch import debian_lock
    from orchestrator.recipe import write_lock

    assert recipe.base is not None
    file, old, platform = _chosen(recipe, security=arguments.security)
    mirror, security = _archives(arguments, mirrors)
    new = debian_lock.lock_base(
        recipe.base.suite,
        recipe.base.packages,
        old.architecture if old else _ARCHITECTURES[platform],
        mirror,
        made=_today(),
        **({"security": security} if security else {}),
    )
    path = recipe.directory / file
    if old is None or new.debs != old.debs or new.packages != old.packages:
        _write(path, write_lock(new))
    compared = old or next(iter(recipe.locks.values()), None)  # a first security lock with the suite's own
    return _tell(arguments, path, compared.debs if compared else (), new.debs, "packages")


def _chosen(recipe: Recipe, *, security: bool) -> tuple[str, Lock | None, str]:
    """The lock file of the version to lock, the lock that is there, and the version's platform."""
    assert recipe.base is not None
    wanted = f"{recipe.base.suite}-security"
    for name, version in recipe.versions.items():
        if version.lock is not None and (name == wanted) == security:
            return version.lock, recipe.locks.get(version.lock), version.platforms[0]
    hint = f'add [versions.{wanted}] with origin = "vendor", locked = false, lock = "{wanted}.lock"' if security else ""
    what = f"{recipe.name} has no version {wanted}" if security else f"no version of {recipe.name} has a lock"
    raise RecipeError(what, where=f"{recipe.where}: versions", hint=hint)


def _archives(arguments: argparse.Namespace, mirrors: Mirrors) -> tuple[str, str | None]:
    """The suite's archive and, if asked for, that of its security updates, which says so in its address."""
    from orchestrator.fetch import Machine, parse_name
    from orchestrator.fetch.places import places_of

    places = [place.address for place in places_of(parse_name("debian:pool/any"), mirrors, Machine.here())]
    plain = [address for address in places if "security" not in address]
    mirror = arguments.mirror or next(iter(plain or places), None)
    if mirror is None:
        raise MachineError("no Debian archive is known here", hint="orch lock BASE --mirror ADDRESS")
    if not arguments.security:
        return mirror, None
    security = arguments.security_mirror or next((address for address in places if "security" in address), None)
    if security is None:
        hint = "orch lock BASE --security --security-mirror ADDRESS"
        raise MachineError("no archive of Debian's security updates is known here", hint=hint)
    return mirror, security


def _write(path: Path, text: str) -> None:
    """Replace a lock file, as a whole or not at all; where it is a link, what that leads to."""
    path = path.resolve()
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise MachineError("the lock cannot be written, and is as it was", where=str(path), why=why) from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _tell(
    arguments: argparse.Namespace,
    path: Path,
    old: tuple[Deb, ...] | tuple[Wheel, ...],
    new: tuple[Deb, ...] | tuple[Wheel, ...],
    items: str,
) -> int:
    """Print what is another version, or another file of the same one."""
    before, after = ({item.name: item for item in items} for items in (old, new))
    changes = {
        name: [item.version if (item := side.get(name)) else None for side in (before, after)]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("lock", {"path": str(path), "packages": len(after), "changes": changes})
        return 0
    size = sum(item.size for item in new)
    print(f"{path}: {len(after)} {items}, {bytes_text(size)}, {len(changes)} changed")
    for name, (was, now) in changes.items():
        note = " (another file)" if was == now else ""
        print(f"  {name}: {was or 'absent'} -> {now or 'gone'}{note}")
    return 0
