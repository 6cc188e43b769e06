"""Failures: what is said, what is kept, what goes on, and that none is remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import NOTHING, Project, work

pytestmark = pytest.mark.integration

OUTPUT = 'mkdir -p "$OUT/opt/NAME"\necho NAME > "$OUT/opt/NAME/file"'


def output(name: str) -> str:
    return OUTPUT.replace("NAME", name)


def noisy(project: Project, name: str = "noisy") -> None:
    """A recipe that fails after a hundred lines, of which the first error is not among the last."""
    project.simple(
        name,
        f"{output(name)}\nphase compile\nfor n in {{1..30}}; do echo line $n; done\n"
        "echo 'main.c:3:1: error: expected identifier' >&2\n"
        "for n in {31..100}; do echo line $n; done\nexit 3",
    )


def test_a_failed_build_says_its_first_error_its_last_lines_and_where_its_log_is(project: Project) -> None:
    noisy(project)
    result = project.orch("build", "noisy")
    assert result.status == 1
    assert result.out == ""
    lines = result.err.splitlines()
    assert "error: building noisy 1.0 failed" in lines
    assert [line.removeprefix("  | ") for line in lines if line.startswith("  | ")] == [
        f"line {n}" for n in range(61, 101)
    ]
    assert "  first error: main.c:3:1: error: expected identifier" in lines
    assert "  why:   exit status 3" in lines
    (where,) = [Path(line.split()[1]) for line in lines if line.startswith("  where: ")]
    assert where.is_file()
    assert "the whole log: orch log noisy" in result.err
    assert "--keep-failed" in result.err
    assert "what was finished is kept; to go on: orch build noisy" in lines
    log = project.done("log", "noisy")
    assert log.out == where.read_text()
    assert log.out.splitlines().count("line 1") == 1
    assert "==> phase: compile" in log.out.splitlines()
    assert project.done("log", "noisy", "--path").out == f"{where}\n"


def test_a_failure_in_json(project: Project) -> None:
    noisy(project)
    result = project.orch("build", "noisy", "--json")
    assert result.status == 1
    error = result.document["error"]
    assert error["code"] == "build-failed"
    assert error["first_error"] == "main.c:3:1: error: expected identifier"
    assert error["tail"] == [f"line {n}" for n in range(61, 101)]
    assert result.document["failures"] == [error]


def test_a_failure_is_not_remembered(project: Project) -> None:
    project.simple("flaky", f"{output('flaky')}\necho attempt\nexit 1")
    assert project.orch("build", "flaky").status == 1
    assert not [p for p in (project.store / "realisations").glob("*.json") if "flaky" in p.read_text()]
    assert project.orch("build", "flaky").status == 1
    assert len(list((project.store / "logs/flaky").iterdir())) == 2  # it ran again
    assert project.log("flaky") == ["attempt"]
    project.edit("flaky", "exit 1", "true")
    assert project.build("flaky") == work(built=["flaky"])


def test_a_failed_step_says_how_long_it_took(project: Project) -> None:
    project.simple("slow", "sleep 0.3; exit 3")
    result = project.orch("build", "slow", "--log-format", "json")
    events = [json.loads(line) for line in result.err.splitlines()]
    (end,) = [event for event in events if event["event"] == "step-finished"]
    assert (end["step"], end["outcome"]) == ("build slow", "failed")
    assert end["seconds"] >= 0.3


def test_a_failed_check_is_no_goal_and_is_run_again(project: Project) -> None:
    project.simple("doubtful", output("doubtful"), check="echo looking\ngrep other /opt/doubtful/file")
    goals = len(list((project.store / "goals").glob("*.json")))
    result = project.orch("build", "doubtful", "-o", str(project.root / "result"))
    assert result.status == 1
    assert result.out == ""
    assert "error: checking doubtful 1.0 failed" in result.err
    assert "orch log doubtful --check" in result.err
    last = "script line 2: grep other /opt/doubtful/file"
    assert project.done("log", "doubtful", "--check").out == f"looking\n==> failed: {last}\n"
    assert f"why:   exit status 1; {last}" in result.err
    assert len(list((project.store / "goals").glob("*.json"))) == goals
    assert not (project.root / "result").is_symlink()
    again = project.orch("build", "doubtful", "--json")
    assert again.status == 1
    assert [failure["step"] for failure in again.document["failures"]] == ["check doubtful"]
    assert len(list((project.store / "logs/doubtful-check").iterdir())) == 2
    assert len(list((project.store / "logs/doubtful").iterdir())) == 1
    project.edit("doubtful", "grep other", "grep doubtful")
    assert project.build("doubtful") == work(checked=["doubtful"])
    assert project.build("doubtful") == NOTHING


def test_an_empty_output_is_refused(project: Project) -> None:
    project.simple("hollow", "echo done")
    result = project.orch("build", "hollow")
    assert result.status == 3
    assert "error: hollow 1.0 was built but left nothing in $OUT" in result.err


def test_keep_failed_keeps_the_directory_and_names_it(project: Project) -> None:
    project.simple("broken", f"echo kept > /build/notes\n{output('broken')}\nexit 1")
    result = project.orch("build", "broken", "--keep-failed")
    assert result.status == 1
    _, _, rest = result.err.partition("its directory was kept: ")
    kept = Path(rest.splitlines()[0])
    assert kept.is_relative_to(project.store)
    assert (kept / "build/notes").read_text() == "kept\n"
    assert (kept / "out/opt/broken/file").read_text() == "broken\n"
    assert project.orch("build", "broken").status == 1
    assert (kept / "build/notes").is_file()


def two_branches(project: Project) -> None:
    """Two that fail at once, one that is running then, and one on top of it."""
    project.simple("bad", "echo no\nexit 1")
    project.simple("worse", "echo no\nexit 1")
    project.simple("slow", f"sleep 1\n{output('slow')}")
    project.simple("later", output("later"), build=["slow"])
    project.simple("above", output("above"), build=["bad"])


def test_without_keep_going_nothing_new_starts_after_a_failure(project: Project) -> None:
    two_branches(project)
    result = project.orch("build", "bad", "later", "-j", "2", "--cores", "2", "--json")
    assert result.status == 1
    assert [failure["step"] for failure in result.document["failures"]] == ["build bad"]
    assert "built           slow" in result.err  # what was running is finished and kept
    assert "build later ..." not in result.err
    assert project.build("later") == work(built=["later"])


def test_keep_going_finishes_what_does_not_need_the_failed(project: Project) -> None:
    two_branches(project)
    result = project.orch("build", "above", "worse", "later", "-j", "2", "--cores", "2", "--keep-going")
    assert result.status == 1
    assert result.out == ""
    assert "error: building bad 1.0 failed" in result.err
    assert "error: building worse 1.0 failed" in result.err
    assert "build above ..." not in result.err
    assert project.build("later") == NOTHING


def test_keep_going_finishes_what_does_not_need_the_failed_check(project: Project) -> None:
    project.simple("slow", 'sleep 1; echo a > "$OUT/slow"')
    project.simple("late", 'echo a > "$OUT/late"', build=["slow"])
    project.simple("bad", 'echo b > "$OUT/bad"', check="exit 1")
    project.simple("goal", 'echo g > "$OUT/goal"')
    recipe = project.recipe("goal")
    recipe.write_text(recipe.read_text().replace('runtime = ["', 'runtime = ["late", "bad", "'))
    result = project.orch("build", "goal", "-j", "2", "--cores", "2", "--keep-going")
    assert result.status == 1
    assert "error: checking bad 1.0 failed" in result.err
    assert "built           late" in result.err
    assert "not reached" not in result.err


def test_one_stuck_recipe_costs_the_others_nothing(project: Project) -> None:
    """Both failures are in the document, and the goal that could be made is done."""
    two_branches(project)
    result = project.orch("build", "bad", "worse", "slow", "--keep-going", "--json")
    assert result.status == 1
    assert {failure["step"] for failure in result.document["failures"]} == {"build bad", "build worse"}
    assert project.build("slow") == NOTHING
