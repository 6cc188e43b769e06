"""Several at once, killed, interrupted: nothing is made twice, nothing stays behind, no repair is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from projects import BASE, NOTHING, Project, ended, outcomes, wait_for, work
from sandbox_box import mounts, processes_with

pytestmark = pytest.mark.integration

RECIPES = (BASE, "rdma", "cuda", "fabric", "ucx", "nixl", "consumer")


def test_two_processes_on_an_empty_store_build_each_node_once(fresh: Project) -> None:
    processes = [fresh.start("build", "nixl", "consumer", "--json") for _ in range(2)]
    results = [ended(process) for process in processes]
    assert [result.status for result in results] == [0, 0], [result.err for result in results]
    did = [outcomes(result.document) for result in results]
    assert Counter(name for one in did for name in one.built) == dict.fromkeys(RECIPES, 1)
    assert Counter(name for one in did for name in one.checked) == dict.fromkeys(["nixl", "fabric", "consumer"], 1)
    paths = [[goal["path"] for goal in result.document["goals"]] for result in results]
    assert paths[0] == paths[1]
    for name in RECIPES:
        assert len(list((fresh.store / "logs" / name).iterdir())) == 1, name
    assert fresh.build("nixl", "consumer") == NOTHING


def test_the_second_waits_says_so_and_uses_the_first_ones_output(project: Project) -> None:
    project.simple("slow", 'sleep 1.5\nmkdir -p "$OUT/opt/slow"\necho slow > "$OUT/opt/slow/file"')
    first = project.start("build", "slow", "--json")
    wait_for(lambda: (project.store / "logs/slow").is_dir(), seconds=20, what="the first build")
    second = project.orch("build", "slow", "--json")
    result = ended(first)
    assert outcomes(result.document) == work(built=["slow"])
    assert outcomes(second.document) == work(same=["slow"])
    assert "build slow: waiting for another process that makes it" in second.err.splitlines()
    assert result.document["goals"] == second.document["goals"]


def test_the_second_takes_over_when_the_first_is_killed(project: Project) -> None:
    project.simple("slow", 'sleep 1.5\nmkdir -p "$OUT/opt/slow"\necho slow > "$OUT/opt/slow/file"')
    first = project.start("build", "slow")
    wait_for(lambda: (project.store / "logs/slow").is_dir(), seconds=20, what="the first build")
    second = project.start("build", "slow", "--json")
    said = ""
    while "waiting for another process" not in said:
        line = second.stderr.readline() if second.stderr else ""
        assert line, "it never waited"
        said += line
    kill(first)
    result = ended(second)
    assert result.status == 0, result.err
    assert outcomes(result.document) == work(built=["slow"])
    project.simple("other", 'mkdir -p "$OUT/opt/other"')
    project.done("build", "other")  # the next that builds something sweeps up after the killed


def chain_of_three(project: Project, marker: str) -> None:
    """`early`, `slow` (two children sleep for two seconds with the marker in their command line), `late` on both."""
    project.simple("early", 'mkdir -p "$OUT/opt/early"\necho early > "$OUT/opt/early/file"')
    project.simple(
        "slow",
        f'phase wait\nbash -c "sleep 2; true" {marker} &\nchild=$!\nbash -c "sleep 2; true" {marker}\nwait $child\n'
        'mkdir -p "$OUT/opt/slow"\necho slow > "$OUT/opt/slow/file"',
        build=["early"],
    )
    project.simple("late", 'mkdir -p "$OUT/opt/late"\necho late > "$OUT/opt/late/file"', build=["slow", "early"])


def sleeping(project: Project, marker: str) -> subprocess.Popen[str]:
    """A build of `late` that is in the middle of `slow`."""
    process = project.start("build", "late")
    wait_for(lambda: len(processes_with(marker)) >= 2, seconds=20, what="two sleepers")
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


def test_a_killed_build_leaves_nothing_and_the_same_command_goes_on(project: Project) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    chain_of_three(project, marker)
    kill(sleeping(project, marker))
    wait_for(lambda: not processes_with(marker), seconds=5, what="the end of the build's processes")
    wait_for(lambda: not processes_with(str(project.store)), seconds=5, what="the end of the sandbox")
    assert not [line for line in mounts() if str(project.store) in line]
    assert project.build("early") == work()  # finished before, kept; its goal is recorded now
    assert project.build("late") == work(built=["slow", "late"])
    assert not list((project.store / "stage").iterdir())
    assert project.build("late") == NOTHING


def test_killed_again_and_again_it_still_ends_well(fresh: Project) -> None:
    """Killed at six different moments of the whole stack, from an empty store."""
    for number in range(6):
        process = fresh.start("build", "nixl", "consumer")
        try:
            process.wait(timeout=0.4 + 0.2 * number)
        except subprocess.TimeoutExpired:
            kill(process)
        else:
            ended(process)
    result = fresh.done("build", "nixl", "consumer", "--json")
    assert "damaged" not in result.err
    assert not list((fresh.store / "corrupt").iterdir())
    assert not list((fresh.store / "stage").iterdir())
    assert fresh.build("nixl", "consumer") == NOTHING
    for name in ("nixl", "consumer", *RECIPES[:4]):
        built = [path for path in (fresh.store / "realisations").glob("*.json") if f'"{name}"' in path.read_text()]
        assert built, name


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_is_quick_and_leaves_nothing(project: Project, stop: signal.Signals) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    chain_of_three(project, marker)
    project.recipe("slow").write_text(project.recipe("slow").read_text().replace("sleep 2", "sleep 100"))
    process = sleeping(project, marker)
    os.kill(process.pid, stop)
    began = time.monotonic()
    result = ended(process, timeout=20)
    assert time.monotonic() - began < 3
    assert result.status == 128 + stop
    assert result.out == ""
    assert result.err.splitlines()[-1].startswith("interrupted; what was finished is kept; to go on: orch build ")
    assert "Traceback" not in result.err
    # It waited for them itself: all are gone when it is.
    assert not processes_with(marker)
    assert not processes_with(str(project.store))
    assert not [line for line in mounts() if str(project.store) in line]
    assert not list((project.store / "stage").iterdir())
    project.recipe("slow").write_text(project.recipe("slow").read_text().replace("sleep 100", "sleep 0"))
    assert project.build("late") == work(built=["slow", "late"])


def test_ctrl_c_while_another_process_is_waited_for(project: Project) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    chain_of_three(project, marker)
    first = sleeping(project, marker)
    second = project.start("build", "late")
    said = ""
    while "waiting for another process" not in said:
        line = second.stderr.readline() if second.stderr else ""
        assert line, "it never waited"
        said += line
    second.send_signal(signal.SIGINT)
    assert ended(second, timeout=10).status == 130
    assert ended(first).status == 0
    assert Path(project.path("late")).is_dir()


def test_an_interrupted_rebuild_leaves_nothing(project: Project) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    chain_of_three(project, marker)
    project.recipe("slow").write_text(project.recipe("slow").read_text().replace("sleep 2", "sleep 1"))
    project.done("build", "late")
    process = project.start("build", "late", "--rebuild")
    wait_for(lambda: len(processes_with(marker)) >= 2, seconds=20, what="two sleepers")
    os.kill(process.pid, signal.SIGINT)
    result = ended(process, timeout=20)
    assert result.status == 130, result.err
    assert not processes_with(marker)
    assert not list((project.store / "stage").iterdir())
