"""Which line of a log is told as the error, and what is told with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.sandbox.spec import Outcome
from orchestrator.sandbox.step_failure import StepFailed, failure, first_error_lines

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "setup.py", line 3, in <module>',
    "    import foo",
    "ModuleNotFoundError: No module named 'foo'",
]
GCC = ["main.c:3:1: error: expected identifier", "    3 | int main( {", "      |           ^"]


@pytest.mark.parametrize(
    ("lines", "first", "below"),
    [
        (TRACEBACK, TRACEBACK[-1], ()),
        ([f"      {line}" for line in TRACEBACK], TRACEBACK[-1], ()),
        ([*TRACEBACK[:2], "", *TRACEBACK[3:], "error: later"], TRACEBACK[-1], ()),
        (TRACEBACK[:2], TRACEBACK[0], ()),  # cut short: better than nothing
        (["cc -c main.c", *GCC, "make: *** [main.o] Error 1"], GCC[0], tuple(GCC[1:])),
        ([GCC[0], *[f"  note {n}" for n in range(9)]], GCC[0], ("  note 0", "  note 1", "  note 2")),
        (["checking for error.h... yes", "a.c: error: no", "", "  not its own"], "a.c: error: no", ()),
        (["all is well"], "", ()),
    ],
)
def test_the_first_line_that_is_an_error(lines: list[str], first: str, below: tuple[str, ...]) -> None:
    assert first_error_lines(lines) == (first, below)


def test_a_failure_knows_what_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join([*GCC, *TRACEBACK]) + "\n")
    error = failure("checking x 1", Outcome(status=1, seconds=1.0), log, show="x --check", work=tmp_path)
    assert isinstance(error, StepFailed)
    assert (error.first_error, error.below_first, error.command) == (GCC[0], tuple(GCC[1:]), "orch log x --check")
