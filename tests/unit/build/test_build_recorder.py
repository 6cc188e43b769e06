"""What the record of a run says of its fetches."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from orchestrator.build import recorder as module
from orchestrator.build.recorder import Asked, Recorder
from orchestrator.events import Event, Fetched, FetchProgress, StepFinished, silent
from orchestrator.graph.derivation import Graph
from orchestrator.store import open_store

ASKED = Asked(verb="build", goals=("a",), words=("build", "a"), jobs=1, cores=1, expected={}, reasons={})


def test_the_time_of_fetches_is_counted_once_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = itertools.count(100.0)  # a second between any two looks at the clock
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moment))
    record = Recorder(ASKED, Graph(goals=(), nodes=(), options=()), open_store(tmp_path / "store"), silent)
    events: list[Event] = [
        FetchProgress(source="a", done=0, total=10),
        FetchProgress(source="b", done=5, total=10),  # five bytes of it were here
        FetchProgress(source="a", done=10, total=10),
        Fetched(source="a"),
        FetchProgress(source="b", done=10, total=10),
        Fetched(source="b"),
        Fetched(source="c"),  # from nowhere: it was beside its recipe
        StepFinished(step="build a", outcome="built", seconds=1.0),
    ]
    for event in events:
        record(event)
    build = record.write("done", {})
    assert build is not None
    assert (build.fetched, build.fetching) == (15, 5.0)
