"""`orch history` on records of runs, and how a run's end is told."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.build.make import Report
from orchestrator.cli.complaint import complain
from orchestrator.cli.ending import counts_text, ending_text, tell_failures
from orchestrator.cli.main import exit_status
from orchestrator.cli.recorded import Run
from orchestrator.errors import MachineError
from orchestrator.sandbox.step_failure import StepFailed
from orchestrator.store import BuildRecord, Layout, StepRecord, open_store, write_build

Steps = Sequence[tuple[str, str]]


def record(number: int = 1, steps: Steps = (("build ucx", "built"),), **more: object) -> BuildRecord:
    fields: dict[str, object] = {
        "id": f"20261122T22140{number}Z-00000{number}",
        "verb": "build",
        "goals": ("nixl",),
        "options": (("cuda", "13"),),
        "words": ("build", "nixl", "--set", "cuda=13"),
        "began": 1_795_385_640.0 + number,
        "seconds": 242.0,
        "ending": "done",
        "expected": 230.0,
        "steps": tuple(
            StepRecord(
                step=step,
                node=step.partition(" ")[2],
                outcome=outcome,
                began=float(n),
                seconds=60.0,
                expected=50.0,
                log=f"logs/ucx/{n}.log",
                detail="building it failed" if outcome == "failed" else "",
            )
            for n, (step, outcome) in enumerate(steps)
        ),
    }
    return BuildRecord(**{**fields, **more})  # type: ignore[arg-type]


DONE: Steps = (
    *((f"build {name}", "built") for name in ("a", "b", "c")),
    *(("build d", "same"), ("build e", "same")),
    *(("check a", "checked"), ("layer x", "packed")),
)


def test_an_end_in_one_line() -> None:
    whole = record(steps=DONE, fetched=41_000_000)
    assert ending_text(whole) == (
        "built 3, cut off 2, checked 1, packed 1 layer, fetched 41 MB, in 4 min 02 s; the forecast was 3 min 50 s"
    )
    failed = record(steps=[("build a", "failed"), ("build b", "interrupted")], ending="failed", seconds=2.0)
    assert ending_text(failed, 4) == "failed 1, interrupted 1, 4 not reached, in 2.0 s"
    assert counts_text(record(steps=[("build a", "same")])) == "cut off 1"
    short = record(expected=0.0)
    assert ending_text(short) == "built 1, in 4 min 02 s"


def stumble(name: str) -> StepFailed:
    return StepFailed(
        f"building {name} 1.0 failed",
        log=Path(f"/logs/{name}"),
        why="exit status 2",
        hint=f"the whole log: orch log {name}",
        first_error=f"{name}.c:1: error: no",
        below_first=("  | int",),
        tail=tuple(f"line {n}" for n in range(40)),
        command=f"orch log {name}",
    )


def a_run(*errors: tuple[str, StepFailed | MachineError]) -> Run:
    steps = [(step, "failed") for step, _ in errors]
    done = record(steps=steps, ending="failed", seconds=2.0)
    return Run(report=Report(failures=list(errors)), record=done, unreached=("build top",))


def given(**more: object) -> argparse.Namespace:
    words = ("build", "top", "--set", "a=b c")
    return argparse.Namespace(**{"json": False, "log_format": "auto", "words": words, **more})


def test_several_failures_are_told_once_more_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(("build x", stumble("x")), ("fetch y", MachineError("cannot fetch y", why="no route")))
    assert tell_failures(run, given(), verb="build") == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "  last 12 lines:"
    assert lines[-5:] == [
        "2 failed:",
        "  building x 1.0 failed: x.c:1: error: no  (orch log x)",
        "  cannot fetch y: no route",
        "failed 2, 1 not reached, in 2.0 s",
        "what was finished is kept; to go on: orch build top --set 'a=b c'",
    ]


def test_one_failure_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_failures(a_run(("build x", stumble("x"))), given(), verb="build") == 1
    said = capsys.readouterr().err
    assert "  last 40 lines:\n" in said
    assert "  first error: x.c:1: error: no\n  |   | int\n" in said
    assert "1 failed:" not in said


def test_failures_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_failures(a_run(("build x", stumble("x"))), given(log_format="json"), verb="build") == 1
    out, err = capsys.readouterr()
    failure, ended = (json.loads(line) for line in err.splitlines())
    assert out == ""
    assert (failure["event"], failure["step"], failure["first_error"]) == ("failure", "build x", "x.c:1: error: no")
    assert (ended["event"], ended["outcomes"], ended["unreached"]) == ("run-ended", {"failed": 1}, ["build top"])
    complain(MachineError("no disk"), as_json=False, verb="build", lines=True)
    assert json.loads(capsys.readouterr().err)["code"] == MachineError("no disk").document()["code"]


# -- the verb -------------------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project with one recipe, and a store with three runs."""
    recipe = tmp_path / "recipes/nixl/recipe.toml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text('name = "nixl"\nsummary = "x"\n')
    (tmp_path / "orch.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCH_STORE", str(tmp_path / "store"))
    layout = open_store(tmp_path / "store")
    write_build(layout, record(1, DONE))
    write_build(layout, record(2, [("build ucx", "failed")], ending="failed", goals=("ucx",), options=()))
    write_build(layout, record(3, goals=tuple("abcde"), seconds=10.0, expected=None, fetched=5_000))
    return layout


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert exit_status(["history", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("layout")
def test_the_newest_run_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys)
    assert [line.split()[0] for line in lines[:4]] == ["run", "000003", "000002", "000001"]
    assert "build a b c and 2 more" in lines[1]
    assert lines[1].endswith("done    10 s                     built 1, fetched 5.0 kB")
    assert lines[2].split("  ")[2].startswith("build ucx")
    assert lines[2].endswith("failed  4 min 02 s (3 min 50 s)  failed 1")
    assert "build nixl cuda=13" in lines[3]
    assert "the last build" in lines[4]  # how good the estimates were
    assert [line.split()[0] for line in told(capsys, "-n", "1")[1:2]] == ["000003"]
    assert [line.split()[0] for line in told(capsys, "nixl")[:2]] == ["run", "000001"]
    assert told(capsys, "ucx")[1].startswith("000002")  # a goal of then, no recipe of now


@pytest.mark.usefixtures("layout")
def test_one_run_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "000002")
    assert lines[0] == "build ucx: failed in 4 min 02 s; the forecast was 3 min 50 s"
    assert "  command  orch build nixl --set cuda=13" in lines
    assert lines[-2].split() == [
        "0.0",
        "s",
        "1",
        "min",
        "00",
        "s",
        "50",
        "s",
        "failed",
        "build",
        "ucx",
        "logs/ucx/0.log",
    ]
    assert lines[-1] == "  build ucx: building it failed"
    assert told(capsys, "20261122T221402Z-000002") == lines


@pytest.mark.usefixtures("layout")
def test_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads("\n".join(told(capsys, "--json")))
    assert [run["id"][-6:] for run in document["runs"]] == ["000003", "000002", "000001"]
    assert document["runs"][2]["outcomes"] == {"built": 3, "same": 2, "checked": 1, "packed": 1}
    assert document["accuracy"]["runs"] == 1
    (step,) = json.loads("\n".join(told(capsys, "000002", "--json")))["run"]["steps"]
    assert (step["step"], step["seconds"], step["expected"]) == ("build ucx", 60.0, 50.0)


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("words", [["abcdef"], ["nothing"], ["-n", "0"]])
def test_what_is_not_there(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["history", *words]) == 2
    assert "hint:" in capsys.readouterr().err


def test_a_store_without_runs(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for file in layout.builds.iterdir():
        file.unlink()
    assert told(capsys) == ["no run is recorded"]
    assert told(capsys, "nixl") == ["no run of nixl is recorded"]
