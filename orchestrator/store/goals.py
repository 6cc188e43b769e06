"""Finished goals by closure key: a command with nothing to do is one look-up here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.digest import Digest
from orchestrator.store.layout import Layout
from orchestrator.store.records import read_record, text, write_record


class ClosureItem(NamedTuple):
    """One component of a goal's runtime closure."""

    name: str
    version: str
    origin: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal that was built and whose checks passed. A record is no proof that its objects are still in the store."""

    key: Digest  # the closure key
    goal: str  # as the user named it
    options: tuple[tuple[str, str], ...]
    output: Digest
    closure: tuple[ClosureItem, ...]


def read_goal(layout: Layout, key: Digest) -> Goal | None:
    """The finished goal of a closure key, or None. A damaged record is put aside and counts as none. Raise MachineError
    only if the record may not be read."""

    def parse(document: dict[str, Any]) -> Goal:
        goal = _parse(document)
        if goal.key != key:
            raise ValueError(f"it is the record of {goal.key}")
        return goal

    return read_record(layout, layout.goals / f"{key.hex}.json", parse)


def write_goal(layout: Layout, goal: Goal) -> None:
    """Record a finished goal; on the disk when this returns. Raise MachineError."""
    document = {
        "key": str(goal.key),
        "goal": goal.goal,
        "options": [list(pair) for pair in goal.options],
        "output": str(goal.output),
        "closure": [{**item._asdict(), "digest": str(item.digest)} for item in goal.closure],
    }
    write_record(layout, layout.goals / f"{goal.key.hex}.json", document)


def _parse(document: dict[str, Any]) -> Goal:
    return Goal(
        key=Digest.parse(text(document, "key")),
        goal=text(document, "goal"),
        options=tuple((str(name), str(value)) for name, value in document["options"]),
        output=Digest.parse(text(document, "output")),
        closure=tuple(
            ClosureItem(
                text(item, "name"), text(item, "version"), text(item, "origin"), Digest.parse(text(item, "digest"))
            )
            for item in document["closure"]
        ),
    )
