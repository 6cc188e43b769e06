"""One UCX, one NIXL, one libfabric: two copies in one process hang or do not see each other's memory.

Copies that a wheel carries under a name with a hash in it count too. Links to one file count once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.model import Finding

SINGLE = ("libucp", "libuct", "libucs", "libucm", "libnixl", "libfabric")
_NAME = re.compile(rf"({'|'.join(SINGLE)})(?:-[0-9a-f]{{6,}})?\.so(?:\.\d+)*(?:-[0-9a-f]{{6,}})?")


def find(case: Case) -> Iterator[Finding]:
    """Every copy but the one that the loader finds; without such a one, but the first by path."""
    copies: dict[str, list[str]] = {}
    for entry in case.files():
        name = _single(case, entry.path)
        if name and entry.kind == "file":
            copies.setdefault(name, []).append(entry.path)
    for name, paths in sorted(copies.items()):
        kept = _kept(case, paths)
        for path in paths:
            if path != kept:
                yield finding(
                    "one-copy",
                    path,
                    name,
                    f"{case.owner(path)} brings a second {name}, beside /{kept} of {case.owner(kept)}",
                    "let a recipe provide it (python.provided), leave this copy out with [[drop]], or let it pass: "
                    + waiver("one-copy", path, name),
                )


def _single(case: Case, path: str) -> str:
    """Which of the single libraries a file is, by its name or by its SONAME."""
    facts = case.subject.elf.get(path)
    for name in (path.rpartition("/")[2], facts.soname if facts is not None else ""):
        match = _NAME.fullmatch(name)
        if match:
            return match[1]
    return ""


def _kept(case: Case, paths: list[str]) -> str:
    found = [case.file(place) for known, place in sorted(case.loadable.items()) if _NAME.fullmatch(known)]
    return next((path for path in paths if path in found), paths[0])
