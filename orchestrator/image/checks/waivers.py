"""What an image recipe lets pass, and what it lets pass in vain. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

from orchestrator.image.model import Finding
from orchestrator.recipe.image import Image, Waiver


def divide(
    findings: Sequence[Finding], waivers: Sequence[Waiver]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...], frozenset[int]]:
    """Findings that stand, those that a waiver lets pass, and the indexes of the waivers that did (each that matches:
    two may overlap)."""
    standing: list[Finding] = []
    waived: list[Finding] = []
    used: set[int] = set()
    for finding in findings:
        matching = [index for index, waiver in enumerate(waivers) if matches(waiver, finding)]
        used.update(matching)
        (waived if matching else standing).append(finding)
    return tuple(standing), tuple(waived), frozenset(used)


def matches(waiver: Waiver, finding: Finding) -> bool:
    """Whether `waiver` is about `finding`: its check, and both its patterns. A name may be given as it stands, so that
    `nixl[cu12]` is no pattern of characters."""
    return (
        waiver.check == finding.check
        and _fits(finding.path, waiver.path.lstrip("/") or "*")
        and _fits(finding.name, waiver.name)
    )


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern) or fnmatchcase(text, pattern.replace("[", "[[]"))


def idle(image: Image, used: Collection[int], known: Collection[str]) -> Iterator[Finding]:
    """Waivers that matched nothing, and names of no check; both hide what would be found one day."""
    rules = image.document.checks
    for name in rules.off:
        if name not in known:
            yield Finding(
                check="waivers",
                path="",
                name=name,
                what=f"checks.off names {name}, which is no check",
                hint=f"remove it, or name one of: {', '.join(known)}",
            )
    for index, waiver in enumerate(rules.waive):
        if index in used:
            continue
        what = f"checks.waive[{index}] ({waiver.check}: {waiver.path}, {waiver.name}) matches nothing"
        if waiver.check in rules.off:
            what += f": the check {waiver.check} is off"
        elif waiver.check not in known:
            what += f": {waiver.check} is no check"
        yield Finding(check="waivers", path="", name=waiver.check, what=what, hint="remove it from the recipe")
