from __future__ import annotations

from dataclasses import replace

from orchestrator.store import (
    BuildRecord,
    Layout,
    StepRecord,
    build_ids,
    new_build_id,
    read_build,
    recent_builds,
    write_build,
)

STEP = StepRecord(step="build ucx", node="ucx", version="1", outcome="built", began=0.5, seconds=2.0, expected=3.0)
RUN = BuildRecord(
    id=new_build_id(1790000000.0),
    verb="build",
    goals=("nixl",),
    options=(("cuda", "13"),),
    words=("build", "nixl"),
    began=1790000000.0,
    seconds=2.5,
    ending="done",
    fetched=7,
    steps=(STEP, replace(STEP, step="check ucx", outcome="checked", expected=None)),
    outputs={"nixl": "blake3:00"},
)


def test_a_run_is_read_as_it_was_written(layout: Layout) -> None:
    write_build(layout, RUN)
    assert read_build(layout, RUN.id) == RUN


def test_the_newest_run_comes_first_and_a_goal_finds_its_own(layout: Layout) -> None:
    later = replace(RUN, id=new_build_id(RUN.began + 60), goals=("ucx",))
    ids = [new_build_id(RUN.began + 0.01 * hundredth) for hundredth in range(100)]
    assert ids == sorted(ids)  # several may begin within one second
    for run in (RUN, later):
        write_build(layout, run)
    assert build_ids(layout) == [later.id, RUN.id]
    assert [run.goals for run in recent_builds(layout)] == [("ucx",), ("nixl",)]
    assert list(recent_builds(layout, "nixl")) == [RUN]


def test_a_damaged_record_is_put_aside_and_a_strange_id_finds_nothing(layout: Layout) -> None:
    write_build(layout, RUN)
    (layout.builds / f"{RUN.id}.json").write_text("{}\n{}\n")
    assert read_build(layout, RUN.id) is None
    assert list(recent_builds(layout)) == []
    assert read_build(layout, "../goals/x") is None
