"""What the installed Python distributions require is installed, at versions that they allow.

Extras are followed from who asks for them: a finding names the requirement that stands in a METADATA file, or in the
recipe, such as `nixl[cu12]<=0.10.1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from orchestrator.frozen import frozen
from orchestrator.image.checks.case import Case, finding
from orchestrator.image.checks.distributions import Distribution, installed, marker_environment, normal
from orchestrator.image.model import Finding


def find(case: Case) -> Iterator[Finding]:
    """Requirements that are not met, distributions that are there twice, and ones that may not be there."""
    there: dict[str, Distribution] = {}
    for one in installed(case):
        first = there.setdefault(normal(one.name), one)
        if first is not one:
            yield _finding(
                one.path,
                normal(one.name),
                f"{one.name} is installed twice: {one.version} here, {first.version} at /{first.path}",
                "exclude one of them, or let a recipe provide it (python.provided)",
            )
    environment = _Environment(there=there, markers=marker_environment(case))
    for path, texts in _asked(case):
        for text in texts:
            yield from environment.check(path, text)
    for one in there.values():
        for requirement in one.requires:
            if environment.holds(requirement, ""):
                yield from environment.unmet(one.path, f"{one.name} {one.version}", requirement)
        for text in one.malformed:
            yield _finding(
                one.path, text, f"{one.name} {one.version} has a malformed requirement: {text}", "exclude it"
            )
    python = case.subject.image.document.python
    for name in python.excludes if python is not None else ():
        if (found := there.get(normal(name))) is not None:
            what = f"{found.name} {found.version} is installed, and python.excludes says that it may not be"
            yield _finding(found.path, normal(name), what, "lock again, or take it out of python.excludes")


def _asked(case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    python = case.subject.image.document.python
    if python is not None:
        yield "", python.requirements


def _finding(path: str, name: str, what: str, hint: str) -> Finding:
    return finding("requirements", path, name, what, hint)


@frozen
class _Environment:
    there: Mapping[str, Distribution]
    markers: Mapping[str, str]

    def holds(self, requirement: Requirement, extra: str) -> bool:
        """Whether a requirement counts, its distribution being installed with `extra`."""
        return requirement.marker is None or requirement.marker.evaluate({**self.markers, "extra": extra})

    def check(self, path: str, text: str) -> Iterator[Finding]:
        """As `unmet`, of a requirement of the recipe."""
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return  # the resolver has said so
        if self.holds(requirement, ""):
            yield from self.unmet(path, "the recipe", requirement)

    def unmet(self, path: str, who: str, requirement: Requirement) -> Iterator[Finding]:
        """What is wrong about a requirement that counts: of itself, and of the extras it asks for."""
        why = self._why(requirement)
        text = _text(requirement)
        if why:
            yield self._report(path, text, f"{who} requires {text}: {why}")
            return
        reasons = dict.fromkeys(self._extras(requirement, {(normal(requirement.name), "")}))
        if reasons:
            yield self._report(path, text, f"{who} requires {text}: {'; '.join(reasons)}")

    def _report(self, path: str, text: str, what: str) -> Finding:
        place = f'path = "{path}"' if path else 'path = "*"'
        hint = "choose versions that agree (python.constraints), and lock again; or let it pass: [[checks.waive]] "
        hint += f'check = "requirements", {place}, name = "{text}", reason = "..."'
        return _finding(path, text, what, hint)

    def _why(self, requirement: Requirement) -> str:
        found = self.there.get(normal(requirement.name))
        if found is None:
            return f"{normal(requirement.name)} is not installed"
        try:
            version = Version(found.version)
        except InvalidVersion:
            return f"{found.name} has the version {found.version!r}, which is none"
        if requirement.url is None and not requirement.specifier.contains(version, prereleases=True):
            return f"{normal(requirement.name)} {found.version} is installed"
        return ""

    def _extras(self, requirement: Requirement, seen: set[tuple[str, str]]) -> Iterator[str]:
        """Why an extra that `requirement` asks for, or one that such an extra asks for, is not met."""
        found = self.there[normal(requirement.name)]
        for extra in sorted(requirement.extras):
            if (normal(found.name), normal(extra)) in seen:
                continue
            seen.add((normal(found.name), normal(extra)))
            for further in found.requires:
                if not self.holds(further, extra) or self.holds(further, ""):
                    continue
                why = self._why(further)
                if why:
                    yield f"{found.name}[{extra}] requires {_text(further)}, and {why}"
                else:
                    yield from self._extras(further, seen)


def _text(requirement: Requirement) -> str:
    """A requirement without its marker, as people write it."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    specifier = f" @ {requirement.url}" if requirement.url else str(requirement.specifier)
    return f"{requirement.name}{extras}{specifier}"
