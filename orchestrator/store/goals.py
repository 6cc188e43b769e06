"""Finished goals by closure key: a command with nothing to do is one look-up here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, blake3_bytes, key_of
from orchestrator.frozen import NamedTuple, field, frozen
from orchestrator.store.layout import Layout, safe_name
from orchestrator.store.realisations import Realisation, realisation_files
from orchestrator.store.recent import recent_keys, with_recent
from orchestrator.store.records import mapping, number, read_record, record_bytes, replace_files, settle, text
from orchestrator.store.stage import staging
from orchestrator.tree import disk

_HEX = re.compile(r"[0-9a-f]{64}")
RECENT = 10  # successes of one goal with the same options that are remembered


class ClosureItem(NamedTuple):
    """One component of a goal's runtime closure."""

    name: str
    version: str
    origin: str
    digest: Digest
    derivation: Digest | None = None  # its derivation key; None in records of before


@frozen
class Goal:
    """A goal that was built and whose checks passed. A record is no proof that its objects are still in the store."""

    key: Digest  # the closure key
    goal: str  # as the user named it
    options: tuple[tuple[str, str], ...]
    output: Digest
    closure: tuple[ClosureItem, ...]  # the goal itself last
    finished: float = 0.0  # seconds since 1970, UTC; 0 in records of before
    # What was hashed into the key: kept in a file of its own, which a look-up does not read (`read_goal_document`).
    document: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)


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
    with staging(layout, "record") as room:
        write_goals(layout, [goal], room)
    settle(layout.goals)


def write_goals(layout: Layout, goals: Iterable[Goal], room: Path, *, after: Iterable[Realisation] = ()) -> None:
    """Record finished goals, and the results `after` which they come. `room` is a staging directory of the caller's.
    What they lead to is on the disk before they are visible; they are there for good after `settle`. Raise
    MachineError."""
    files = realisation_files(layout, after)
    for goal in goals:
        if goal.document is not None:
            document = {"key": str(goal.key), "document": goal.document}
            files[_document_path(layout, goal.key)] = record_bytes(document)
        files[layout.goals / f"{goal.key.hex}.json"] = record_bytes(_document(goal))
        hint = _latest(layout, goal.goal, goal.options)
        files[hint] = with_recent(hint, goal.key.hex, RECENT)
    if files:
        replace_files(files, room)


def _document(goal: Goal) -> dict[str, Any]:
    closure = [
        {**item._asdict(), "digest": str(item.digest), "derivation": item.derivation and str(item.derivation)}
        for item in goal.closure
    ]
    return {
        "key": str(goal.key),
        "goal": goal.goal,
        "options": [list(pair) for pair in goal.options],
        "output": str(goal.output),
        "closure": closure,
        "finished": goal.finished,
    }


def note_asked(layout: Layout, keys: Iterable[Digest]) -> None:
    """Note that finished goals were asked for now: gc keeps those that were last. A note that cannot be made is none.
    Beside the records, which saved answers watch."""
    for key in keys:
        with suppress(OSError):
            asked_note(layout, key.hex).touch()


def asked_note(layout: Layout, key: str) -> Path:
    """The file whose time says when a goal was asked for last, if it was since it was finished."""
    return layout.root / "index" / f"asked-{key}"


def recent_goals(layout: Layout, goal: str, options: tuple[tuple[str, str], ...]) -> Iterator[Goal]:
    """The last successes of a goal with these options, newest first, at most `RECENT`. A hint: some may be missing, and
    their objects may be gone. Raise MachineError only if a record may not be read."""
    for key in recent_keys(_latest(layout, goal, options)):
        found = read_goal(layout, Digest("blake3", key))
        if found is not None and (found.goal, found.options) == (goal, options):
            yield found


def all_goals(layout: Layout, goal: str) -> list[Goal]:
    """Every success of a goal that there is a record of, whatever its options, newest first. Reads all goals' records.
    Raise MachineError if they may not be read."""
    with disk("read", layout.goals):
        names = sorted(path.stem for path in layout.goals.glob("*.json"))
    records = (read_goal(layout, Digest("blake3", name)) for name in names if _HEX.fullmatch(name))
    found = [record for record in records if record is not None and record.goal == goal]
    return sorted(found, key=lambda record: record.finished, reverse=True)


def read_goal_document(layout: Layout, key: Digest) -> Mapping[str, Any] | None:
    """What was hashed into a closure key, or None: records of before do not have it. Raise MachineError only if it may
    not be read."""

    def parse(document: dict[str, Any]) -> Mapping[str, Any]:
        found = mapping(document, "document")
        if text(document, "key") != str(key) or key_of(found) != key:
            raise ValueError(f"it is the document of {document['key']}")
        return found

    return read_record(layout, _document_path(layout, key), parse)


def _document_path(layout: Layout, key: Digest) -> Path:
    return layout.goals / "documents" / f"{key.hex}.json"


def _latest(layout: Layout, goal: str, options: tuple[tuple[str, str], ...]) -> Path:
    text = "\0".join(f"{name}={value}" for name, value in options)
    return layout.goals / "latest" / f"{safe_name(goal)}-{blake3_bytes(text.encode()).hex[:16]}"


def _parse(document: dict[str, Any]) -> Goal:
    return Goal(
        key=Digest.parse(text(document, "key")),
        goal=text(document, "goal"),
        options=tuple((str(name), str(value)) for name, value in document["options"]),
        output=Digest.parse(text(document, "output")),
        closure=tuple(
            ClosureItem(
                text(item, "name"),
                text(item, "version"),
                text(item, "origin"),
                Digest.parse(text(item, "digest")),
                Digest.parse(text(item, "derivation")) if item.get("derivation") is not None else None,
            )
            for item in document["closure"]
        ),
        finished=number(document, "finished") if "finished" in document else 0.0,
    )
