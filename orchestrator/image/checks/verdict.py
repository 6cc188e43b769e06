"""All checks by name, and the verdict that comes of running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from orchestrator.frozen import frozen
from orchestrator.image.checks import (
    budget,
    contents,
    cuda_major,
    dlopen,
    glibc,
    needed,
    one_copy,
    plugins,
    requirements,
    secrets,
    stubs,
    wheels,
)
from orchestrator.image.checks.case import Case
from orchestrator.image.checks.waivers import divide, idle
from orchestrator.image.model import Finding, Subject

CHECKS: Mapping[str, Callable[[Case], Iterator[Finding]]] = MappingProxyType(
    {
        "cuda-major": cuda_major.find,
        "one-copy": one_copy.find,
        "needed": needed.find,
        "dlopen": dlopen.find,
        "plugins": plugins.find,
        "stubs": stubs.find,
        "glibc": glibc.find,
        "wheels": wheels.find,
        "requirements": requirements.find,
        "contents": contents.find,
        "secrets": secrets.find,
        "budget": budget.find,
    }
)


@frozen
class Verdict:
    """What the checks say; the image may have its name if `findings` is empty."""

    findings: tuple[Finding, ...]  # that stand, by check, path and name
    waived: tuple[Finding, ...]
    run: tuple[str, ...]  # the checks that were run
    off: Mapping[str, str]  # check -> the recipe's reason why it was not


def run_checks(
    subject: Subject,
    *,
    previous: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict of all checks that the recipe does not switch off.

    `previous` is what the components of the last image of that name held in bytes; `environment` is the image's whole
    environment, its recipes' part too (by default only what the image recipe sets)."""
    rules = subject.image.document.checks
    case = Case(
        subject=subject,
        environment=subject.image.document.config.env if environment is None else environment,
        previous=previous or {},
    )
    off = {name: reason for name, reason in rules.off.items() if name in CHECKS}
    run = tuple(name for name in CHECKS if name not in off)
    found = {finding for name in run for finding in CHECKS[name](case)}
    ordered = sorted(found, key=lambda finding: (finding.check, finding.path, finding.name, finding.what))
    standing, waived, used = divide(ordered, rules.waive)
    return Verdict(findings=(*standing, *idle(subject.image, used, CHECKS)), waived=waived, run=run, off=off)
