"""Every wheel is for the image's Python and machine, in the lock and as it is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.parser import HeaderParser

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from orchestrator.image.checks.case import Case, finding
from orchestrator.image.model import Finding

_WHEEL = re.compile(r"(?:.*/)?site-packages/([^/]+)\.dist-info/WHEEL")
_ARCHITECTURE = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_MANYLINUX = re.compile(r"(?:manylinux\d*_(?:\d+_\d+_)?|linux_)(.+)")


def find(case: Case) -> Iterator[Finding]:
    """Wheels with no tag that this image serves. How old a C library a tag wants is for `glibc` to judge."""
    python = case.subject.image.document.python
    if python is None:
        return
    machine = _ARCHITECTURE.get(case.machine, "") or python.platform.partition("-")[0]
    good = _good(python.version)
    said = f"python {python.version} on {machine}"
    hint = f"lock again for python {python.version}: orch lock {case.subject.image.name}"
    for wheel in case.subject.lock.wheels if case.subject.lock is not None else ():
        try:
            tags = parse_wheel_filename(wheel.file_name)[3]
        except InvalidWheelFilename:
            yield finding("wheels", "", wheel.file_name, f"{wheel.file_name} is no wheel's file name", hint)
            continue
        if not _serves(tags, good, machine):
            yield finding(
                "wheels", "", wheel.file_name, f"the lock has {wheel.file_name}, which is not for {said}", hint
            )
    for entry in case.files():
        match = _WHEEL.fullmatch(entry.path) if entry.kind == "file" else None
        if match is None:
            continue
        header = HeaderParser().parsestr(case.subject.read(entry.path).decode("utf-8", "replace"))
        texts = header.get_all("Tag", [])
        found = frozenset(tag for text in texts if text.count("-") == 2 for tag in parse_tag(text))
        if found and not _serves(found, good, machine):
            shown = ", ".join(texts)
            yield finding("wheels", entry.path, match[1], f"{match[1]} is for {shown}, not for {said}", hint)


def _good(version: str) -> frozenset[tuple[str, str]]:
    """Interpreter and ABI of the tags that a CPython serves, whatever the platform."""
    major, minor = (int(part) for part in version.split(".")[:2])
    tags: list[Tag] = [*cpython_tags((major, minor), platforms=["any"])]
    tags += compatible_tags((major, minor), f"cp{major}{minor}", platforms=["any"])
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _serves(tags: frozenset[Tag], good: frozenset[tuple[str, str]], machine: str) -> bool:
    return any((tag.interpreter, tag.abi) in good and _runs(tag.platform, machine) for tag in tags)


def _runs(platform: str, machine: str) -> bool:
    if platform == "any":
        return True
    match = _MANYLINUX.fullmatch(platform)
    return match is not None and match[1] == machine
