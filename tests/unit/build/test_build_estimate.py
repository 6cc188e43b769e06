"""Forecasts: the run in thought, what is said of it, what it is made from, and how good past ones were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.build.accuracy import Accuracy, accuracy
from orchestrator.build.estimate import UNKNOWN, Estimate
from orchestrator.build.past import estimate
from orchestrator.build.plan import Plan, Step
from orchestrator.digest import Digest
from orchestrator.graph.derivation import Check, Node, Source
from orchestrator.store import (
    BuildRecord,
    Layout,
    Realisation,
    StepRecord,
    new_build_id,
    open_store,
    write_build,
    write_realisation,
)
from orchestrator.store.builds import Ending


def node(name: str, *needs: str, version: str = "1", script: str = "make", sources: tuple[Source, ...] = ()) -> Node:
    return Node(
        name=name, version=version, origin="source", platform="x86_64-linux", summary="", builder="script",
        is_base=False, options=(), flags=(), sources=sources, patches=(), files=(), script=script, build=needs,
        runtime=(), check=Check(script="true"),
    )  # fmt: skip


def build(name: str, *needs: str, maybe: bool = False, script: str = "make", sources: tuple[Source, ...] = ()) -> Step:
    return Step(action="build", node=node(name, *needs, script=script, sources=sources), maybe=maybe)


def check(name: str) -> Step:
    return Step(action="check", node=node(name))


def plan(*steps: Step) -> Plan:
    fetch = {source.name: source for step in steps for source in step.node.sources}
    return Plan(steps=steps, fetch=tuple(fetch.values()), done=())


def builds(seconds: Mapping[str, float]) -> dict[str, float]:
    return {f"build {name}": took for name, took in seconds.items()}


# -- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "seconds", "jobs", "text"),
    [
        ([build("a")], {"a": 240.0}, 2, "about 4 min"),
        ([build("a"), build("b")], {"a": 60.0, "b": 60.0}, 2, "about 1 min"),
        ([build("a"), build("b")], {"a": 60.0, "b": 60.0}, 1, "about 2 min"),
        ([build("a"), build("b", "a")], {"a": 60.0, "b": 60.0}, 2, "about 2 min"),
        ([build("a"), build("b")], {"a": 60.0, "b": 240.0}, 2, "about 4 min"),
        # Three of a minute by two jobs take two minutes, not one and a half.
        ([build("a"), build("b"), build("c")], {"a": 60.0, "b": 60.0, "c": 60.0}, 2, "about 2 min"),
        ([build("a"), build("b")], {"a": 240.0}, 1, "at least 4 min"),
        ([build("a"), build("b", maybe=True)], {"a": 40.0, "b": 600.0}, 1, "about 40 s"),
        ([build("a")], {"a": 4000.0}, 1, "about 1 h 07 min"),
        ([build("a")], {"a": 2.0}, 1, ""),
        ([build("a")], {}, 1, UNKNOWN),
        ([build("a", maybe=True)], {}, 1, ""),
        ([], {}, 1, ""),
    ],
)
def test_an_estimate(steps: list[Step], seconds: Mapping[str, float], jobs: int, text: str) -> None:
    assert Estimate(plan(*steps), builds(seconds), jobs).text() == text


def test_it_goes_down_as_work_is_done() -> None:
    found = Estimate(plan(build("a"), build("b", "a")), builds({"a": 100.0, "b": 50.0}), 1)
    assert found.left() == 150
    assert found.left(frozenset(), {"build a": 60.0}) == 90
    assert found.left(frozenset({"build a"}), {"build b": 10.0}) == 40
    assert found.text(frozenset({"build a", "build b"})) == ""


def test_a_step_that_is_slower_than_it_was_makes_it_a_lower_bound() -> None:
    found = Estimate(plan(build("a"), build("b", "a")), builds({"a": 100.0, "b": 50.0}), 1)
    assert found.left(frozenset(), {"build a": 600.0}) == 50
    assert found.text(frozenset(), {"build a": 600.0}) == "at least 50 s"
    assert found.text(frozenset(), {"build a": 90.0}) == "about 1 min"


def test_checks_and_fetches_count_where_they_are_known() -> None:
    big = Source(name="pypi:a/a.whl", file_name="a.whl", size=400)
    steps = (build("a", sources=(big,)), check("a"))
    known = {"build a": 10.0, "check a": 5.0}
    assert Estimate(plan(*steps), known, 2).left() == 15
    fetching = Estimate(plan(*steps), known, 2, rate=10.0)
    assert fetching.fetch_bytes == 400
    assert fetching.left() == 55
    assert fetching.left(fetched=300) == 25
    assert Estimate(plan(*steps), known, 2, tail=7.0).left() == 22


# -- the run in thought -----------------------------------------------------------------------------------------------


def test_the_longest_path_is_first() -> None:
    steps = (build("short"), build("first"), build("second", "first"), build("perhaps", "short", maybe=True))
    found = Estimate(plan(*steps), builds({"short": 30.0, "first": 10.0, "second": 25.0, "perhaps": 1.0}), 1).urgency()
    assert found == builds({"short": 31.0, "first": 35.0, "second": 25.0, "perhaps": 1.0})


def test_what_is_unknown_counts_as_the_median_of_its_kind() -> None:
    found = Estimate(plan(build("a"), build("b"), build("c"), build("new")), builds({"a": 1.0, "b": 7.0, "c": 9.0}), 1)
    assert found.urgency()["build new"] == 7.0


def test_a_source_is_as_urgent_as_what_waits_for_it() -> None:
    shared = Source(name="file:shared.tar", file_name="shared.tar")
    steps = (build("a", sources=(shared,)), build("b", sources=(shared,)), build("c", "b"))
    assert Estimate(plan(*steps), {}, 1).urgency()["file:shared.tar"] == 2.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Step], dict[str, float]]:
    steps, seconds = [], {}
    for number in range(draw(st.integers(1, 12))):
        earlier = [step.node.name for step in reversed(steps)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        steps.append(build(f"n{number}", *needs))
        seconds[f"n{number}"] = float(draw(st.integers(0, 60)))
    return steps, seconds


@given(graphs(), st.integers(1, 4))
def test_no_run_beats_the_bounds_and_no_job_idles(graph: tuple[list[Step], dict[str, float]], jobs: int) -> None:
    steps, seconds = graph
    left = Estimate(plan(*steps), builds(seconds), jobs).left()
    chains: dict[str, float] = {}
    for step in steps:
        chains[step.node.name] = seconds[step.node.name] + max((chains[need] for need in step.node.build), default=0.0)
    longest, total = max(chains.values()), sum(seconds.values())
    assert max(longest, total / jobs) - 1e-6 <= left <= (total - longest) / jobs + longest + 1e-6  # Graham's bound
    if jobs == 1:
        assert left == pytest.approx(total)


# -- what it is made from ---------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def remember(layout: Layout, name: str, seconds: float, *, script: str = "make", cores: int | None = None) -> None:
    record = Realisation(
        key=Digest("blake3", name.encode().hex().rjust(64, "0")),
        kind="derivation",
        name=name,
        version="0",
        document={"script": script},
        output=Digest("blake3", "ab" * 32),
        seconds=seconds,
        finished=0.0,
        sandbox={} if cores is None else {"cores": cores},
    )
    write_realisation(layout, record)


def run(layout: Layout, **more: object) -> None:
    fields = {
        "id": new_build_id(1e9), "verb": "build", "goals": ("a",), "options": (), "words": (), "began": 1e9,
        "seconds": 100.0, "ending": "done",
    }  # fmt: skip
    write_build(layout, BuildRecord(**(fields | more)))  # type: ignore[arg-type]


def test_it_is_of_builds_like_the_last(layout: Layout) -> None:
    remember(layout, "a", 100.0)
    remember(layout, "b", 90.0, script="unpack")
    assert estimate(plan(build("a")), layout, 1).text() == "about 2 min"  # another version by the same script
    assert estimate(plan(build("a"), build("b")), layout, 1).text() == "at least 2 min"


@pytest.mark.parametrize(("script", "left"), [("make", 100.0), ('make -j"$ORCH_CORES"', 250.0)])
def test_a_build_with_fewer_cores_takes_longer_if_it_uses_them(layout: Layout, script: str, left: float) -> None:
    remember(layout, "a", 100.0, script=script, cores=8)
    assert estimate(plan(build("a", script=script)), layout, 1, cores=2).left() == left


def test_the_last_runs_tell_of_checks_rates_and_what_follows_the_builds(layout: Layout) -> None:
    steps = (
        StepRecord(step="build a", node="a", outcome="built", began=0.0, seconds=60.0),
        StepRecord(step="check a", node="a", outcome="checked", began=60.0, seconds=10.0),
    )
    run(layout, verb="image", goals=("i",), steps=steps, fetched=50 << 20, fetching=50.0)
    remember(layout, "a", 60.0)
    big = Source(name="pypi:a/a.whl", file_name="a.whl", size=30 << 20)
    found = estimate(plan(build("a", sources=(big,)), check("a")), layout, 2)
    assert found.left() == pytest.approx(30 + 60 + 10)
    assert estimate(plan(check("a")), layout, 2, image="i").left() == pytest.approx(10 + 30)


# -- how good they were -----------------------------------------------------------------------------------------------


def past(seconds: float, expected: float | None, ending: Ending = "done") -> BuildRecord:
    return BuildRecord(
        id="", verb="build", goals=(), options=(), words=(), began=0.0, seconds=seconds, ending=ending,
        expected=expected,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([past(100, 100)], "estimates were within 5 % in the last build"),
        ([past(110, 100), past(90, 100), past(100, 100)], "estimates were within 15 % in the last 3 builds"),
        ([past(120, 100)] * 20, "estimates were within 20 % in the last 8 builds"),
        ([past(400, 100)], "the last build took 4.0 times its estimate"),
        ([past(9, 9)] * 3 + [past(9, 36)],
         "the last 4 builds took as long as their estimates (median), 0.2 times as long at worst"),
    ],
)  # fmt: skip
def test_accuracy_in_words(runs: list[BuildRecord], text: str) -> None:
    found = accuracy(runs)
    assert found is not None
    assert found.text == text


def test_only_finished_runs_with_a_forecast_that_mattered_are_judged() -> None:
    assert accuracy([past(100, 50, "failed"), past(100, None), past(100, 0.0), past(0.3, 0.1)]) is None
    runs = [past(100, 50, "interrupted"), past(30, 20), past(2, 0.1), past(20, 40)]
    assert accuracy(runs) == Accuracy(runs=2, median_ratio=1.0, worst_ratio=0.5)
