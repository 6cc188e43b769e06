"""The small pure parts of a build: the script, environments, what a log says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.build.rebuild import processor_sets
from orchestrator.build.script import check_script
from orchestrator.errors import MachineError
from orchestrator.graph.derivation import Node
from orchestrator.graph.surroundings import join_environments
from orchestrator.sandbox.spec import Outcome
from orchestrator.sandbox.step_failure import StepFailed, failure, first_error


def make(flags: tuple[str, ...], options: tuple[tuple[str, str], ...]) -> Node:
    return Node(
        name="x", version="1.0", origin="source", platform="x86_64-linux", summary="", builder="script",
        is_base=False, options=options, flags=flags, sources=(), patches=(), files=(), script="", build=(), runtime=(),
    )  # fmt: skip


@given(st.lists(st.text(st.characters(blacklist_characters="\0", codec="utf-8")), max_size=5))
def test_flags_reach_the_script_as_they_are(flags: list[str]) -> None:
    script = check_script(make(tuple(flags), (("cuda", "12"),)), 'printf "%s\\0" "${flags[@]}" "${option[cuda]}"')
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*flags, "12"]


def test_lists_are_joined_and_contradictions_are_named() -> None:
    joined = join_environments([("a", (("PATH", "/a"), ("X", "1"))), ("b", (("PATH", "/b"), ("X", "1")))])
    assert joined == {"PATH": "/a:/b", "X": "1"}
    with pytest.raises(ValueError, match="a sets X=1, b sets X=2"):
        join_environments([("a", (("X", "1"),)), ("b", (("X", "2"),))])


@pytest.mark.parametrize("jobs", [1, 2, 3, 9])
@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_rebuild_never_has_all_processors(jobs: int, count: int) -> None:
    available = frozenset(range(count))
    for cpus in processor_sets(available, jobs):
        assert set(cpus) < available
        assert cpus


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["checking for error.h... yes", "a.c:3: error: no", "make: *** [a.o] Error 1"], "a.c:3: error: no"),
        (["cc -Werror -c a.c", "ld: cannot find -luct"], "ld: cannot find -luct"),
        (["bash: line 4: frob: command not found"], "bash: line 4: frob: command not found"),
        (["all is well"], ""),
    ],
)  # fmt: skip
def test_the_first_error_line(lines: list[str], expected: str) -> None:
    assert first_error(lines) == expected


def outcome(status: int, **more: bool) -> Outcome:
    return Outcome(status=status, seconds=1.0, **more)


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(100)) + "x.c:1: error: no\n")
    error = failure("building x 1", outcome(2), log, show="x", work=tmp_path)
    assert isinstance(error, StepFailed)
    assert error.exit_status == 1
    assert len(error.tail) == 40
    assert error.tail[-1] == error.first_error == "x.c:1: error: no"
    assert error.why == "exit status 2"


def test_the_machines_faults_are_not_the_recipes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("cc: error: /build/x.o: No space left on device\n")
    assert isinstance(failure("building x", outcome(1), log, show="x", work=tmp_path), MachineError)
    log.write_text("Killed\n")
    killed = failure("building x", outcome(137, out_of_memory=True), log, show="x", work=tmp_path)
    assert isinstance(killed, MachineError)
    assert "memory" in killed.what
