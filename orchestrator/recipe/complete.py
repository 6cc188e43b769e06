"""Completes the text of a recipe: hashes that became known are written beside the sources that lacked them. Pure.

Only those lines change: order, comments and spaces stay as their author left them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.errors import RecipeError
from orchestrator.frozen import frozen, replace
from orchestrator.recipe.lines import FieldPath, field_lines
from orchestrator.recipe.model import Document, SourceEntry, Version
from orchestrator.recipe.parse import parse


@frozen
class Pin:
    """What was found out about a source: one of the two hashes, hex, and its bytes."""

    sha256: str | None = None
    tree: str | None = None
    size: int

    def fields(self, entry: SourceEntry) -> list[str]:
        """The lines of TOML that `entry` lacks."""
        name, value = ("sha256", self.sha256) if self.sha256 is not None else ("tree", self.tree)
        return [f'{name} = "{value}"', *([f"size = {self.size}"] if entry.size is None else [])]

    def applied(self, entry: SourceEntry) -> SourceEntry:
        """`entry` with what was found."""
        size = self.size if entry.size is None else entry.size
        return replace(entry, sha256=self.sha256, tree=self.tree, size=size)


def complete(text: str, version: str, pins: Mapping[int, Pin], where: str) -> str:
    """The recipe `text` with the pins of sources, by their index in `version`, which is locked if none is missing now.

    Raise RecipeError, with what is to be written by hand, if the text has a form that is not understood.
    """
    document = parse(text, Document, where)
    wanted = _completed(document.versions[version], pins)
    edited = text
    for index in sorted(pins, reverse=True):  # from the end, so that what is before keeps its lines
        edited = _with_pin(edited, version, index, document.versions[version].sources, pins[index])
    if wanted.locked and not document.versions[version].locked:
        edited = _locked(edited, version)
    try:
        right = parse(edited, Document, where).versions == {**document.versions, version: wanted}
    except RecipeError:
        right = False
    if not right:
        entries = document.versions[version].sources
        lines = (f"{entries[index].from_}: {', '.join(pin.fields(entries[index]))}" for index, pin in pins.items())
        raise RecipeError(
            f"the hashes of {document.name} {version} could not be written into its recipe",
            where=f"{where}: versions.{version}.sources",
            why="the text is not of a form that is understood; what was found:\n" + "\n".join(lines),
            hint="write them in by hand, and locked = true",
        )
    return edited


def _completed(version: Version, pins: Mapping[int, Pin]) -> Version:
    entries = [pins[index].applied(one) if index in pins else one for index, one in enumerate(version.sources)]
    known = all(one.sha256 is not None or one.tree is not None for one in entries)
    return replace(version, sources=tuple(entries), locked=version.locked or known)


def _offset(text: str, path: FieldPath) -> int:
    """Where the statement begins that names a field."""
    line = field_lines(text).get(path, 1)
    return sum(len(one) + 1 for one in text.split("\n")[: line - 1])


def _with_pin(text: str, version: str, index: int, entries: tuple[SourceEntry, ...], pin: Pin) -> str:
    entry = entries[index]
    start = _offset(text, ("versions", version, "sources", index, "from"))
    named = re.compile(rf"""from\s*=\s*(?P<quote>["']){re.escape(entry.from_)}(?P=quote)""")
    found = list(named.finditer(text, start))
    # In one statement the entries stand one after the other; in tables of their own each statement names one.
    first = _offset(text, ("versions", version, "sources", 0, "from"))
    before = sum(one.from_ == entry.from_ for one in entries[:index]) if start == first else 0
    if len(found) <= before:
        return text
    match = found[before]
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    if line.strip():  # within { }
        return text[: match.end()] + "".join(f", {field}" for field in pin.fields(entry)) + text[match.end() :]
    end = text.find("\n", match.end())
    end = len(text) if end < 0 else end
    return text[:end] + "".join(f"\n{line}{field}" for field in pin.fields(entry)) + text[end:]


def _locked(text: str, version: str) -> str:
    start = _offset(text, ("versions", version, "locked"))
    match = re.compile(r"(locked\s*=\s*)false\b").search(text, start)
    return text if match is None else text[: match.start()] + match[1] + "true" + text[match.end() :]
