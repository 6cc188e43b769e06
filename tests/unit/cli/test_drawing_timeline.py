"""Lanes and the critical path of a run, and the picture of them."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.drawing.timeline import NARROW, WIDE, Bar, critical_path, lanes, timeline_svg


def bar(step: str, began: float, seconds: float) -> Bar:
    return Bar(step=step, began=began, seconds=seconds, colour="work")


RUN = (bar("a", 0, 10), bar("b", 0, 4), bar("c", 4, 3), bar("d", 10, 5), bar("e", 15.1, 2))
NEEDS = {"d": frozenset({"a", "b"}), "e": frozenset({"d", "c", "a", "b"})}


def test_the_critical_path_goes_back_over_what_ended_last() -> None:
    assert critical_path(RUN, NEEDS) == ("a", "d", "e")
    assert critical_path(RUN, {}) == ("e",)
    assert critical_path((), {}) == ()


def test_a_step_that_was_still_running_was_not_waited_for() -> None:
    assert critical_path((bar("a", 0, 9), bar("b", 3, 8)), {"b": frozenset({"a"})}) == ("b",)


def test_the_way_leads_over_what_was_cut_off() -> None:
    run = (bar("rdma", 0, 10), bar("other", 0, 9), bar("fabric", 10, 0), bar("check", 10, 3))
    needs = {"fabric": frozenset({"rdma"}), "check": frozenset({"fabric", "other"})}
    assert critical_path(run, needs) == ("rdma", "check")


def test_a_circle_of_needs_ends() -> None:
    assert critical_path((bar("a", 0, 0.01), bar("b", 0, 0.02)), {"a": frozenset("b"), "b": frozenset("a")}) == (
        "a",
        "b",
    )


def test_as_few_lanes_as_ran_at_once() -> None:
    assert [[one.step for one in lane] for lane in lanes(RUN)] == [["a", "d", "e"], ["b", "c"]]


bars = st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), max_size=30).map(
    lambda times: [bar(f"build n{number}", *one) for number, one in enumerate(times)]
)


@given(bars)
def test_no_lane_has_two_at_once(some: list[Bar]) -> None:
    found = lanes(some)
    assert sorted(one.step for lane in found for one in lane) == sorted(one.step for one in some)
    for lane in found:
        for before, after in zip(lane, lane[1:], strict=False):  # noqa: RUF007
            assert before.ended <= after.began + 0.001
    most = max((sum(o.began <= one.began < o.ended for o in some) for one in some), default=0)
    assert len(found) <= most + sum(1 for one in some if one.seconds < 0.01)


@given(bars, st.sampled_from([WIDE, NARROW]))
def test_bars_lie_in_the_picture(some: list[Bar], width: float) -> None:
    total = max((one.ended for one in some), default=1.0)
    root = ElementTree.fromstring(timeline_svg(some, total, [one.step for one in some[:1]], width))
    rects = list(root.iter("rect"))
    assert len(rects) == len(some)
    for rect in rects:
        assert 0 <= float(rect.get("x", "")) <= width - 2.9
        assert float(rect.get("width", "")) >= 2.9
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= width + 0.11
    assert len(list(root.iter("line"))) <= width / 110 + 1.01


def test_marks_and_tooltips() -> None:
    root = ElementTree.fromstring(timeline_svg(RUN, 17.1, ["a", "d", "e"]))
    groups = {(g.find("title").text or "").partition(",")[0]: g.get("class") for g in root.iter("g")}  # type: ignore[union-attr]
    assert groups == {"a": "work critical", "b": "work", "c": "work", "d": "work critical", "e": "work critical"}
    assert next(g.find("title").text for g in root.iter("g")) == "a, 10 s, from 0.0 s on"  # type: ignore[union-attr]
