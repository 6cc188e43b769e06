"""The base's C library is new enough for every ELF file, and for the tag of every wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.elf import defined_versions, version_number
from orchestrator.image.model import Finding

_VERSION = re.compile(r"GLIBC_(\d+\.\d+)")
_TAG = re.compile(r"manylinux_(\d+)_(\d+)_")
_OLD_TAGS = {"manylinux1_": (2, 5), "manylinux2010_": (2, 12), "manylinux2014_": (2, 17)}


def find(case: Case) -> Iterator[Finding]:
    """Files and wheels that want a newer C library than the image's."""
    base = base_version(case)
    if not base:
        wants = sorted(path for path, facts in case.subject.elf.items() if facts.glibc)
        if wants:
            what = "the image has no libc.so.6 where the loader looks, and its ELF files need one"
            yield finding(
                "glibc", wants[0], "libc.so.6", what, "choose a base with a C library, such as debian-runtime"
            )
        return
    text = ".".join(map(str, base))
    for path, facts in sorted(case.subject.elf.items()):
        if case.is_own(facts) and version_number(facts.glibc) > base:
            name = f"GLIBC_{facts.glibc}"
            yield finding(
                "glibc",
                path,
                name,
                f"{case.owner(path)} needs {name}, and the base has {text}",
                f"choose an older version of {case.owner(path)}, or a newer base; if nothing loads the file, let it "
                f"pass: {waiver('glibc', path, name)}",
            )
    for wheel in case.subject.lock.wheels if case.subject.lock is not None else ():
        least = wheel_version(wheel.file_name)
        if least > base:
            name = f"GLIBC_{'.'.join(map(str, least))}"
            what = f"the lock has {wheel.file_name}, which needs {name}, and the base has {text}"
            hint = f"set python.platform to x86_64-manylinux_{base[0]}_{base[1]} and run: orch lock"
            yield finding("glibc", "", f"{wheel.name} {name}", what, f"{hint} {case.subject.image.name}")


def base_version(case: Case) -> tuple[int, ...]:
    """The newest version that the image's C library defines; () if there is none."""
    if case.libc is None:
        return ()
    names = defined_versions(BytesIO(case.subject.read(case.libc)))
    return max((version_number(match[1]) for name in names if (match := _VERSION.fullmatch(name))), default=())


def wheel_version(file_name: str) -> tuple[int, ...]:
    """The oldest C library that one of the platform tags of a wheel is content with; () if it says nothing."""
    tags = file_name.removesuffix(".whl").rpartition("-")[2].split(".")
    found = []
    for tag in tags:
        match = _TAG.match(tag)
        old = next((version for prefix, version in _OLD_TAGS.items() if tag.startswith(prefix)), ())
        found.append((int(match[1]), int(match[2])) if match else old)
    return min(found, default=())
