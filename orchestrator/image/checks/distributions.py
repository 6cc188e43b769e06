"""The Python distributions of an image, as their dist-info directories describe them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from orchestrator.frozen import frozen
from orchestrator.image.checks.case import Case

# A distribution that another one carries with it (in `_vendor`) is nobody's but its own, and what belongs to the base's
# Python lies in dist-packages: neither is what the image's environment has.
_METADATA = re.compile(r"(?:.*/)?site-packages/[^/]+\.dist-info/METADATA")
_PATCHED = re.compile(rb"(?m)^Package: python(\d+\.\d+)-minimal\n(?:.+\n)*?Version: (\d+\.\d+\.\d+)")


@frozen
class Distribution:
    """One installed distribution."""

    name: str
    version: str
    path: str  # of its METADATA
    requires: tuple[Requirement, ...]
    malformed: tuple[str, ...]  # requirements that say nothing


def normal(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return canonicalize_name(name)


def installed(case: Case) -> Iterator[Distribution]:
    """Every distribution in a site-packages directory of the image, by path."""
    for entry in case.files():
        if entry.kind == "file" and _METADATA.fullmatch(entry.path):
            yield _read(entry.path, case.subject.read(entry.path))


def _read(path: str, data: bytes) -> Distribution:
    raw, _ = parse_email(data)
    stem = path.split("/")[-2].removesuffix(".dist-info")
    name, _, version = stem.partition("-")
    requires, malformed = [], []
    for text in raw.get("requires_dist", []):
        try:
            requires.append(Requirement(text))
        except InvalidRequirement:
            malformed.append(text)
    return Distribution(
        name=raw.get("name", name),
        version=raw.get("version", version),
        path=path,
        requires=tuple(requires),
        malformed=tuple(malformed),
    )


def marker_environment(case: Case) -> Mapping[str, str]:
    """What environment markers are about in this image: its Python, its machine."""
    python = case.subject.image.document.python
    version = python.version if python is not None else "3.11"
    return {
        "implementation_name": "cpython",
        "implementation_version": _full(case, version),
        "os_name": "posix",
        "platform_machine": {"EM_AARCH64": "aarch64"}.get(case.machine, "x86_64"),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": _full(case, version),
        "python_version": version,
        "sys_platform": "linux",
    }


def _full(case: Case, version: str) -> str:
    """The whole version of the base's Python, as its package list has it."""
    status = case.file("var/lib/dpkg/status")
    for match in _PATCHED.finditer(case.subject.read(status)) if status else ():
        if match[1].decode() == version:
            return match[2].decode()
    return f"{version}.0"
