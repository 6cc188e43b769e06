"""Whether a wheel, by its file's name, is what a lock's line says and runs on the image's Python. Pure; reads no wheel.

`packaging` is imported here when the first lock is read, and nowhere before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from packaging.tags import Tag

PYTHON = re.compile(r"3\.(?:0|[1-9][0-9]?)")
PLATFORM = re.compile(r"(x86_64|aarch64)-manylinux_2_([1-9][0-9]?)")
OLDEST = {"x86_64": 5, "aarch64": 17}  # the C library of the first manylinux for it
LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@frozen(kw_only=False)
class Misfit:
    """Why a wheel cannot be in a lock: the fact, and what would fit."""

    what: str
    why: str = ""


def _parts(platform: str) -> tuple[str, int]:
    match = PLATFORM.fullmatch(platform)
    if match is None:
        raise ValueError(f"not a platform: {platform!r}")
    return match[1], int(match[2])


def platform_tags(platform: str) -> Iterator[str]:
    """The platform tags that `x86_64-manylinux_2_36` takes, the newest first."""
    machine, minor = _parts(platform)
    for number in range(minor, OLDEST[machine] - 1, -1):
        yield f"manylinux_2_{number}_{machine}"
        if number in LEGACY:
            yield f"{LEGACY[number]}_{machine}"
    yield f"linux_{machine}"


@cache
def ordered_tags(python: str, platform: str) -> tuple[Tag, ...]:
    """Every tag that a wheel for CPython `python` on `platform` may have, the closest first."""
    from packaging.tags import compatible_tags, cpython_tags

    version = tuple(int(part) for part in python.split("."))
    interpreter = "cp" + python.replace(".", "")
    platforms = list(platform_tags(platform))
    exact = cpython_tags(version, abis=[interpreter], platforms=platforms)
    return tuple(dict.fromkeys((*exact, *compatible_tags(version, interpreter, platforms))))


@cache
def supported_tags(python: str, platform: str) -> frozenset[Tag]:
    """The same without an order."""
    return frozenset(ordered_tags(python, platform))


def _would_fit(python: str, platform: str) -> str:
    machine, minor = _parts(platform)
    this = "cp" + python.replace(".", "")
    pythons = f"{this}-{this}, cp3X-abi3 up to {this}, py3-none"
    return f"what fits: {pythons}; any, linux_{machine} or manylinux up to manylinux_2_{minor}_{machine}"


def misfit(file_name: str, name: str, version: str, python: str, platform: str) -> Misfit | None:
    """What is wrong with a wheel that a lock for `python` on `platform` lists as `name` `version`; None if nothing."""
    from packaging.utils import parse_wheel_filename
    from packaging.version import InvalidVersion, Version

    try:
        if str(Version(version)) != version:
            return Misfit(f"not a version as it is normalised: {version!r}", f"it would be {Version(version)}")
    except InvalidVersion:
        return Misfit(f"not a version: {version!r}")
    try:
        named, numbered, _, tags = parse_wheel_filename(file_name)
    except ValueError as error:
        return Misfit(f"not a wheel's name: {file_name!r}", str(error))
    if named != name or numbered != Version(version):
        return Misfit(f"{file_name} is {named} {numbered}, not {name} {version}")
    supported = supported_tags(python, platform)
    if tags.isdisjoint(supported):
        runs = any((tag.interpreter, tag.abi) == (fit.interpreter, fit.abi) for tag in tags for fit in supported)
        machine, minor = _parts(platform)
        other = f"platform, not for {machine} with glibc 2.{minor}" if runs else f"Python, not for CPython {python}"
        return Misfit(f"{file_name} is a wheel for another {other}", _would_fit(python, platform))
    return None
