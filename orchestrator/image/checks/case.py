"""What a check is given, and what checks ask of it: links resolved inside the image, the loader's search. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.image.model import ElfFacts, Finding, Subject
from orchestrator.tree import Entry

_LINKS = 40  # as many as Linux follows


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image, to be judged."""

    subject: Subject
    environment: Mapping[str, str]
    previous: Mapping[str, int]  # component -> bytes, of the last image of that name; empty if there was none
    _directories: dict[str, str | None] = field(default_factory=dict, repr=False)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The merged root, by path."""
        return self.subject.view.entries

    def owner(self, path: str) -> str:
        """The name of the component that `path` is from."""
        return self.subject.view.component(path).name

    def resolve(self, path: str) -> str | None:
        """Where `path` (absolute, or relative to the root) leads to inside the image, all links followed; None if it
        leads to nothing. The root itself is ""."""
        return self._resolve(path, _LINKS)

    def _resolve(self, path: str, links: int) -> str | None:
        # Links are followed before '..' is: a path is walked, never normalised as text.
        here = ""
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            below = self._step(f"{here}/{part}" if here else part, links)
            if below is None:
                return None
            here = below
        return here

    def _step(self, path: str, links: int) -> str | None:
        entry = self.entries.get(path)
        if entry is None or entry.kind != "link":
            return path if entry is not None else None
        if path not in self._directories:
            if not links:
                return None
            base = "" if entry.target.startswith("/") else path.rpartition("/")[0]
            self._directories[path] = self._resolve(f"{base}/{entry.target}", links - 1)
        return self._directories[path]

    def file(self, path: str) -> str | None:
        """Where `path` leads to, if that is a file."""
        found = self.resolve(path)
        return found if found and self.entries[found].kind == "file" else None

    def files(self) -> Iterator[Entry]:
        """Every file and link of the image, by path."""
        for path in sorted(self.entries):
            if self.entries[path].kind != "dir":
                yield self.entries[path]

    @cached_property
    def libc(self) -> str | None:
        """The base's C library, where the loader finds it."""
        return next((found for place in self.subject.ldconf if (found := self.file(f"{place}/libc.so.6"))), None)

    @cached_property
    def machine(self) -> str:
        """The machine the image is for: its C library's; "" if it has none."""
        facts = self.subject.elf.get(self.libc or "")
        return facts.machine if facts is not None else ""

    def is_own(self, facts: ElfFacts) -> bool:
        """Whether the image's loader could load this file: not broken, and of the image's machine."""
        return bool(facts.machine) and facts.machine == (self.machine or facts.machine)

    @cached_property
    def loadable(self) -> Mapping[str, str]:
        """What the loader finds without being told where: file name -> path, of the first directory that has it."""
        found: dict[str, str] = {}
        for place in dict.fromkeys(self.resolve(place) for place in self.subject.ldconf):
            if not place:
                continue
            for name in self.names.get(place, ()):
                target = self.file(f"{place}/{name}")
                if target is not None and name not in found and self._loads(target):
                    found[name] = f"{place}/{name}"
        return found

    @cached_property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """The names in each directory that are no directories."""
        found: dict[str, list[str]] = {}
        for path, entry in self.entries.items():
            if entry.kind != "dir":
                directory, _, name = path.rpartition("/")
                found.setdefault(directory, []).append(name)
        return {directory: tuple(sorted(names)) for directory, names in found.items()}

    @cached_property
    def by_name(self) -> Mapping[str, tuple[str, ...]]:
        """Where in the image there is a file or link of a name."""
        found: dict[str, list[str]] = {}
        for directory, names in sorted(self.names.items()):
            for name in names:
                found.setdefault(name, []).append(f"{directory}/{name}" if directory else name)
        return {name: tuple(paths) for name, paths in found.items()}

    def _loads(self, path: str) -> bool:
        facts = self.subject.elf.get(path)
        return facts is not None and self.is_own(facts)

    def library(self, soname: str, origin: str = "", runpath: tuple[str, ...] = ()) -> str | None:
        """The file that the loader takes for `soname` when the file at `origin`, with this run path, needs it."""
        if "/" in soname:
            return self.file(soname)
        here = f"/{posixpath.dirname(origin)}"
        for place in runpath:
            place = place.replace("${ORIGIN}", here).replace("$ORIGIN", here)
            target = self.file(f"{place}/{soname}")
            if target is not None and self._loads(target):
                return target
        place = self.loadable.get(soname, "")
        return self.file(place) if place else None


def finding(check: str, path: str, name: str, what: str, hint: str) -> Finding:
    """A Finding, in a line."""
    return Finding(check=check, path=path, name=name, what=what, hint=hint)


def waiver(check: str, path: str, name: str = "*") -> str:
    """The lines of a recipe that would let a finding pass."""
    return f'[[checks.waive]] check = "{check}", path = "{path or "*"}", name = "{name}", reason = "..."'
