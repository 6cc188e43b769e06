"""The image is not bigger than its recipe allows."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding
from orchestrator.image.model import Finding

_SHOWN = 6


def find(case: Case) -> Iterator[Finding]:
    """One finding with the biggest components and what grew, if the budget is exceeded."""
    budget = case.subject.image.document.checks.budget
    sizes: dict[str, int] = {}
    for path, entry in case.entries.items():
        if entry.kind == "file":
            owner = case.owner(path)
            sizes[owner] = sizes.get(owner, 0) + entry.size
    total = sum(sizes.values())
    if budget is None or total <= budget:
        return
    what = f"the unpacked image is {_mb(total)}, {_mb(total - budget)} more than its budget of {_mb(budget)}"
    what += f"; the biggest: {_list(sizes)}"
    grown = {name: size - case.previous.get(name, 0) for name, size in sizes.items()} if case.previous else {}
    grown = {name: size for name, size in grown.items() if size > 0}
    if grown:
        what += f"; grown since the last image: {_list(grown, sign='+')}"
    gone = f"drop what it does not need, or raise checks.budget to {total}"
    yield finding("budget", "", "budget", what, gone)


def _list(sizes: dict[str, int], sign: str = "") -> str:
    order = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {sign}{_mb(size)}" for name, size in order[:_SHOWN])


def _mb(size: int) -> str:
    return f"{size} bytes" if size < 100_000 else f"{size / 1e6:,.1f} MB"
