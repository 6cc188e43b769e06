"""Which line of a recipe's script is told as the one that failed: by bash itself, with the script as builds get it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.build.script import build_script, check_script
from orchestrator.graph.derivation import Node
from orchestrator.sandbox.spec import Outcome
from orchestrator.sandbox.step import FAILED_MARK
from orchestrator.sandbox.step_failure import StepFailed, failure


def node(script: str) -> Node:
    return Node(
        name="x", version="1.0", origin="source", platform="x86_64-linux", summary="", builder="script", is_base=False,
        options=(), flags=(), sources=(), patches=(), files=(), script=script, build=(), runtime=(),
    )  # fmt: skip


def ran(text: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "OUT": "/out", "ORCH_CORES": "2"}
    return subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "told", "status"),
    [
        ("true\nfalse", "2: false", 1),
        ("f() {\n  false\n}\nf", "2: false", 1),
        ("true\nshare-cores sh -c 'exit 3'", "2: share-cores", 3),
        ("\n\ncat /dev/null | sh -c 'exit 4'", "3: sh -c 'exit 4'", 4),
        ("(\n  cd /\n  false\n)", "4: ( cd /; false )", 1),
        ("cat <<X\na\nX\n[ 1 = 2@ ]", "4: [ 1 = 2@ ]", 1),
    ],
)
def test_the_line_and_command_that_ended_a_script(script: str, told: str, status: int) -> None:
    for text in (build_script(node(script)), check_script(node("true"), script)):
        done = ran(text)
        assert done.returncode == status
        assert done.stderr.splitlines()[-1] == f"{FAILED_MARK}script line {told}"


def test_a_command_of_several_lines_is_told_by_its_first() -> None:
    assert ran(build_script(node("python3 -c '\nimport sys\nsys.exit(3)'"))).stderr.endswith(": python3 -c '\n")


@pytest.mark.parametrize(
    "script",
    ["false || true", "set +e\nfalse\ntrue", "x=$(false; echo 1)\n[ $x = 1 ]", "if false; then :; fi", "! true"],
)
def test_a_script_that_goes_on_says_nothing(script: str) -> None:
    done = ran(build_script(node(f"{script}\necho done")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_script_with_a_trap_of_its_own_keeps_it() -> None:
    assert ran(build_script(node("trap 'echo mine >&2' ERR\nfalse"))).stderr == "mine\n"


def test_the_failure_names_the_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"make[1]: Leaving directory '/build'\n{FAILED_MARK}script line 7: false\n")
    error = failure("building x 1", Outcome(status=1, seconds=1.0), log, show="x", work=tmp_path)
    assert isinstance(error, StepFailed)
    assert error.why == "exit status 1; script line 7: false"
