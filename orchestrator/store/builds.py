"""Records of runs: what was asked for, which steps ran, when, how long, and how it ended. One file a run that did
something; a command with nothing to do leaves none. History, estimates and reports read them; they are in no key."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args

from orchestrator.frozen import field, frozen, names
from orchestrator.store.layout import Layout
from orchestrator.store.records import mapping, number, read_record, text, write_record

Ending = Literal["done", "failed", "interrupted"]
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@frozen
class StepRecord:
    """One step of a run. Times are seconds; `began` counts from the start of the run."""

    step: str  # `build ucx`, `check nixl`, `fetch FILE`, `layer ...`
    node: str  # the recipe, or "" where there is none
    version: str = ""
    outcome: str  # as in events.StepFinished; "interrupted" for one that did not end
    began: float
    seconds: float
    expected: float | None = None  # what was forecast for it
    reason: str = ""  # why the plan held it necessary
    detail: str = ""  # such as what went wrong
    log: str = ""  # below the store's root


@frozen
class BuildRecord:
    """One run of `orch build` or `orch image`."""

    id: str  # sorts by time
    verb: str
    goals: tuple[str, ...]  # recipes, or the one image
    options: tuple[tuple[str, str], ...]
    words: tuple[str, ...]  # the command line after `orch`
    began: float  # seconds since 1970, UTC
    seconds: float
    ending: Ending
    expected: float | None = None  # seconds that were forecast for all of it
    jobs: int = 1
    cores: int = 1
    fetched: int = 0  # bytes that came over the network
    fetching: float = 0.0  # seconds in which some came
    steps: tuple[StepRecord, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)  # goal -> digest, of those that were finished


def new_build_id(began: float) -> str:
    """An id for a run that began at `began`, seconds since 1970: of two, the later run's sorts after the other's."""
    within = int(began % 1 * (1 << 20))  # of the second, in microseconds or nearly
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(began))}-{within:05x}{os.urandom(1).hex()[0]}"


def write_build(layout: Layout, build: BuildRecord) -> None:
    """Keep the record of a run. Nothing follows from it, so it is not waited for: a machine that goes down within
    seconds may lose it. Raise MachineError."""
    steps = [{name: getattr(step, name) for name in names(StepRecord)} for step in build.steps]
    document = {name: getattr(build, name) for name in names(BuildRecord)}
    options = [list(pair) for pair in build.options]
    write_record(
        layout, layout.builds / f"{build.id}.json", {**document, "options": options, "steps": steps}, durably=False
    )


def read_build(layout: Layout, build_id: str) -> BuildRecord | None:
    """The record of a run, or None. A damaged one is put aside. Raise MachineError if it may not be read."""
    if _ID.fullmatch(build_id) is None:
        return None
    return read_record(layout, layout.builds / f"{build_id}.json", _parse)


def build_ids(layout: Layout) -> list[str]:
    """The ids of all runs, newest first."""
    try:
        found = [file.stem for file in layout.builds.iterdir()]
    except FileNotFoundError:
        return []
    return sorted((name for name in found if _ID.fullmatch(name)), reverse=True)


def recent_builds(layout: Layout, goal: str | None = None) -> Iterator[BuildRecord]:
    """The records of runs, newest first; with `goal` those that had it among their goals. Raise MachineError."""
    for build_id in build_ids(layout):
        build = read_build(layout, build_id)
        if build is not None and (goal is None or goal in build.goals):
            yield build


def _parse(document: dict[str, Any]) -> BuildRecord:
    ending = text(document, "ending")
    if ending not in get_args(Ending):
        raise ValueError(f"ending {ending!r}")
    return BuildRecord(
        id=text(document, "id"),
        verb=text(document, "verb"),
        goals=tuple(map(str, document["goals"])),
        options=tuple((str(name), str(value)) for name, value in document["options"]),
        words=tuple(map(str, document["words"])),
        began=number(document, "began"),
        seconds=number(document, "seconds"),
        ending=cast(Ending, ending),
        expected=None if document["expected"] is None else number(document, "expected"),
        jobs=int(number(document, "jobs")),
        cores=int(number(document, "cores")),
        fetched=int(number(document, "fetched")),
        fetching=number(document, "fetching") if "fetching" in document else 0.0,
        steps=tuple(_step(step) for step in document["steps"]),
        outputs=mapping(document, "outputs"),
    )


def _step(document: dict[str, Any]) -> StepRecord:
    return StepRecord(
        step=text(document, "step"),
        node=text(document, "node"),
        version=text(document, "version"),
        outcome=text(document, "outcome"),
        began=number(document, "began"),
        seconds=number(document, "seconds"),
        expected=None if document["expected"] is None else number(document, "expected"),
        reason=text(document, "reason"),
        detail=text(document, "detail"),
        log=text(document, "log"),
    )
