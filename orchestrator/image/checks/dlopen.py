"""Libraries that something opens by name when it runs, and that no ELF file says it needs."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding
from orchestrator.image.model import Finding


def find(case: Case) -> Iterator[Finding]:
    """Declared sonames that are in no loader directory and nowhere else either."""
    for soname in case.subject.image.document.checks.dlopen:
        anywhere = any(case.file(path) for path in case.by_name.get(soname, ()))
        if case.library(soname) is None and not anywhere:
            yield finding(
                "dlopen",
                "",
                soname,
                f"checks.dlopen names {soname}, and no file of the image has that name",
                f"add the component that has {soname}, or take it out of checks.dlopen",
            )
