"""Nothing outlives a run: not its daemons, not its mounts, whoever ends it and however."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_box import CALLERS, Box, box, mounts, processes_with

from orchestrator.errors import MachineError
from orchestrator.sandbox.runtime import Stopped, run
from orchestrator.sandbox.spec import Limits, Spec
from orchestrator.sandbox.workplace import workplace

pytestmark = pytest.mark.integration


@pytest.fixture(params=CALLERS)
def inside(request: pytest.FixtureRequest) -> Iterator[Box]:
    with box(request.param) as made:
        yield made


@pytest.fixture
def caller() -> Iterator[Box]:
    with box("caller") as made:
        yield made


@pytest.fixture
def marker() -> str:
    return f"orch-test-{os.getpid()}-{time.monotonic_ns()}"


def gone(marker: str, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while processes_with(marker):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_daemon_dies_with_its_build(inside: Box, marker: str) -> None:
    daemon = f"exec -a {marker} bash -c 'while :; do date >>/out/alive; sleep 0.01; done' </dev/null >/dev/null 2>&1"
    said = inside.bash(f'(setsid bash -c "(({daemon}) &) ; sleep 0.2"); sleep 0.3; test -s /out/alive')
    size = (inside.out / "alive").stat().st_size
    assert said.outcome.passed
    assert processes_with(marker) == []  # now, not soon: run() came back after the last of them
    time.sleep(0.1)
    assert (inside.out / "alive").stat().st_size == size


def test_time_limit(inside: Box, marker: str) -> None:
    before = mounts()
    spec = inside.spec(f"echo begun; exec -a {marker} sleep 300", limits=Limits(seconds=0.5))
    said = inside.run(spec)
    assert said.outcome.timed_out
    assert not said.outcome.passed
    assert said.outcome.status == 137
    assert 0.5 <= said.outcome.seconds < 2
    assert said.text == "begun\n"
    assert processes_with(marker) == []
    assert mounts() == before


def test_stop_event_from_another_thread(caller: Box, marker: str) -> None:
    stop, begun = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            run(
                caller.spec(f"trap '' TERM INT HUP; echo begun; exec -a {marker} sleep 300"),
                work=caller.top,
                log=io.BytesIO(),
                on_line=lambda line: begun.set(),
                stop=stop,
            )
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    asked = time.monotonic()
    stop.set()
    thread.join(10)
    assert time.monotonic() - asked < 1
    assert [type(error) for error in ended] == [Stopped]
    assert processes_with(marker) == []


def test_an_interrupt_ends_it(caller: Box, marker: str) -> None:
    def interrupt(line: str) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(
            caller.spec(f"echo begun; exec -a {marker} sleep 300"), work=caller.top, log=io.BytesIO(), on_line=interrupt
        )
    assert processes_with(marker) == []


def test_a_run_in_a_thread_lives_while_the_thread_waits(caller: Box) -> None:
    """The kernel sends a parent-death signal when the forking thread ends, not the process: each run has its own."""
    passed: list[bool] = []
    threads = [threading.Thread(target=lambda: passed.append(lasts_a_second(caller))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed == [True] * 3


def lasts_a_second(caller: Box) -> bool:
    spec = caller.spec("sleep 1; exit 0")
    return run(spec, work=caller.top, log=io.BytesIO(), on_line=lambda line: None).passed


def orch(inside: Box, marker: str) -> int:
    """A process that runs a long sandbox and is meant to be killed; its pid."""
    spec = Spec(
        lowers=(inside.lower,),
        binds=tuple(inside.binds),
        command=("/bin/bash", "-c", "sleep 300 & sleep 300 & wait", marker),
        directory="/",
        limits=Limits(memory_bytes=1 << 30, processes=50),
    )
    (inside.top / marker).mkdir()
    inside.own(inside.top / marker)
    return inside.fork(lambda: run(spec, work=inside.top / marker, log=io.BytesIO(), on_line=lambda line: None))


def kill_when_building(pid: int, marker: str) -> None:
    until = time.monotonic() + 10
    while "bash\n" not in {comm(pid) for pid in processes_with(marker)}:
        assert time.monotonic() < until
        time.sleep(0.01)
    kill(pid)


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_kill_9_of_orch_while_it_builds(inside: Box, marker: str) -> None:
    before = mounts()
    kill_when_building(orch(inside, marker), marker)
    assert gone(marker)
    assert mounts() == before
    assert_no_mount_anywhere(str(inside.top))


def test_kill_9_of_orch_at_any_moment_of_the_start(inside: Box, marker: str) -> None:
    """The chain is seven programs long: orch dies between any two of them."""
    for step in range(50):
        pid = orch(inside, f"{marker}-{step}-")
        time.sleep(step * 0.0008)
        kill(pid)
    assert gone(marker)
    assert_no_mount_anywhere(str(inside.top))


def assert_no_mount_anywhere(place: str) -> None:
    """In no mount namespace that any process has, soon: a killed process loses its name before its namespaces."""
    until = time.monotonic() + 10
    while (holders := holders_of(place)) and time.monotonic() < until:
        time.sleep(0.01)
    assert holders == []


def holders_of(place: str) -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if place in (entry / "mountinfo").read_text():
                    found.append(entry)
            except OSError:
                continue
    return found


def test_the_next_run_removes_a_killed_ones_groups(caller: Box, marker: str) -> None:
    if caller.bash("true", limits=Limits(processes=100)).outcome.unenforced or os.geteuid() != 0:
        pytest.skip("no control groups here")
    pid = orch(caller, marker)
    kill_when_building(pid, marker)
    assert gone(marker)
    left = list(Path("/sys/fs/cgroup").rglob(f"orch-{pid}-*"))
    assert left
    assert caller.bash("true", limits=Limits(processes=100, memory_bytes=1 << 30)).outcome.passed
    assert not any(path.exists() for path in left)
    assert list(Path("/sys/fs/cgroup").rglob(f"orch-{os.getpid()}-*")) == []


def test_killed_from_outside_is_the_machines_failure(caller: Box, marker: str) -> None:
    def end(line: str) -> None:
        for pid in processes_with(marker):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(MachineError, match="killed from outside"):
        run(
            Spec(
                lowers=(caller.lower,),
                binds=tuple(caller.binds),
                command=("/bin/bash", "-c", "echo begun; sleep 300", marker),
                directory="/",
            ),
            work=caller.top,
            log=io.BytesIO(),
            on_line=end,
        )
    assert gone(marker)


def test_a_launcher_killed_while_it_waits_is_replaced(caller: Box) -> None:
    spec = Spec(lowers=(caller.lower,), binds=tuple(caller.binds), command=("/bin/bash", "-c", "exit 3"), directory="/")
    with workplace(caller.top / "shared") as place:
        pids = []
        for _ in range(3):
            outcome = run(spec, work=place, log=io.BytesIO(), on_line=print)
            assert outcome.status == 3
            with place.launcher(spec.limits) as launcher:
                pids.append(launcher.relay.pid)
            os.kill(pids[-1], signal.SIGKILL)
            os.waitid(os.P_PID, pids[-1], os.WEXITED | os.WNOWAIT)
        assert len(set(pids)) == 3
