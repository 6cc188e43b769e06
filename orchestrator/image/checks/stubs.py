"""No stub of a library: one in place of the driver's makes every call fail, and one of CUDA's has no code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding
from orchestrator.image.model import Finding

_DRIVER = re.compile(r"lib(cuda|nvidia-ml|nvcuvid|nvidia-encode|nvidia-ptxjitcompiler)(-[0-9a-f]{6,})?\.so(\..*)?")
_LIBRARY = re.compile(r"lib.*\.so(\.\d+)*")


def find(case: Case) -> Iterator[Finding]:
    """Libraries and links below a `stubs` directory, and the driver's libraries anywhere."""
    for entry in case.files():
        directory, _, name = entry.path.rpartition("/")
        driver = _DRIVER.fullmatch(name)
        stub = "stubs" in directory.split("/") and _LIBRARY.fullmatch(name)
        if not driver and not stub:
            continue
        owner = case.owner(entry.path)
        what = (
            f"{owner} brings {name}, and the driver's own comes from the machine"
            if driver
            else f"{owner} brings a stub of {name}: it is to link against, and has no code"
        )
        yield finding(
            "stubs",
            entry.path,
            name,
            what,
            f'leave it out: [[drop]] path = "/{entry.path}", component = "{owner}", reason = "..."',
        )
