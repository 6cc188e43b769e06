"""Memory, processes, processors, many inputs, output of every kind."""

from __future__ import annotations

import io
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_box import CALLERS, Box, box

from orchestrator.errors import MachineError
from orchestrator.sandbox.bubblewrap import MAX_LOWERS
from orchestrator.sandbox.probe import probe
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import Limits, Spec

pytestmark = pytest.mark.integration


@pytest.fixture(params=CALLERS)
def inside(request: pytest.FixtureRequest) -> Iterator[Box]:
    with box(request.param) as made:
        yield made


def test_memory_limit(inside: Box) -> None:
    said = inside.bash("head -c 300m /dev/zero | tail; echo ${PIPESTATUS[1]}", limits=Limits(memory_bytes=50 << 20))
    if said.outcome.unenforced:
        assert said.outcome.unenforced == ("memory",)
        assert not said.outcome.out_of_memory
        return
    assert said.outcome.out_of_memory
    assert said.text.endswith("137\n")


def test_memory_of_the_private_tmp_counts(inside: Box) -> None:
    said = inside.bash("head -c 300m /dev/zero >/tmp/big", limits=Limits(memory_bytes=50 << 20))
    assert said.outcome.out_of_memory or said.outcome.unenforced == ("memory",)


def test_process_limit(inside: Box) -> None:
    """A fork bomb that stops by itself at 200, should nothing else stop it."""
    bomb = (
        'for (1..200) { my $pid = fork; if (!defined $pid) { print "$!\\n"; last } if (!$pid) { sleep 5; exit } $n++ }'
        'print "$n\\n"'
    )
    said = inside.bash(f"exec perl -e '{bomb}'", limits=Limits(processes=40, seconds=20))
    assert said.outcome.unenforced == ()
    assert said.lines[0] == "Resource temporarily unavailable"
    assert 30 <= int(said.lines[1]) <= 40


def test_limits_that_are_not_reached_change_nothing(inside: Box) -> None:
    said = inside.bash("echo fine", limits=Limits(memory_bytes=1 << 30, processes=50, seconds=60))
    assert said.outcome.passed
    assert said.text == "fine\n"


def test_processors(inside: Box) -> None:
    last = max(os.sched_getaffinity(0))
    assert inside.bash("nproc; grep Cpus_allowed_list /proc/self/status", cpus=(last,)).text.split() == [
        "1",
        "Cpus_allowed_list:",
        str(last),
    ]


def test_old_kernel_release(inside: Box) -> None:
    assert inside.bash("uname -r", old_kernel_release=True).text.startswith("2.6.")
    assert inside.bash("uname -r").text.strip() == os.uname().release


def test_a_hundred_inputs(inside: Box) -> None:
    over = tuple(inside.top / "inputs" / f"a rather long, name: {number}" for number in range(100))
    for number, place in enumerate(over):
        (place / "opt/all").mkdir(parents=True)
        (place / f"opt/all/{number}").write_text(str(number))
        (place / "opt/who").write_text(str(number))
    inside.own(inside.top)
    said = inside.bash("ls /opt/all | wc -l; cat /opt/who", over=over)
    assert said.text == "100\n0"  # the first is on top


def test_the_most_inputs_and_one_more(inside: Box) -> None:
    over = tuple(inside.top / "inputs" / str(number) for number in range(MAX_LOWERS))
    for number, place in enumerate(over):
        (place / "opt").mkdir(parents=True)
        (place / f"opt/{number}").touch()
    inside.own(inside.top)
    assert inside.bash("ls /opt | wc -l", over=over[1:]).text == f"{MAX_LOWERS - 1}\n"
    with pytest.raises(MachineError) as caught:
        run(inside.spec("true", over=over), work=inside.top, log=io.BytesIO(), on_line=print)
    assert caught.value.what == "500 trees cannot be merged into one root"


def test_an_input_named_twice(inside: Box) -> None:
    assert inside.bash("true", over=(inside.lower,)).outcome.passed


def test_every_byte_is_logged(inside: Box) -> None:
    data = bytes(range(256)) * 4000 + b"\r50%\r100%\n\x1b[31mred\x1b[0m\n" + b"x" * 100_000 + b"\nno end"
    (inside.build / "data").write_bytes(data)
    inside.own(inside.build)
    said = inside.bash("cat data; echo on stderr >&2")
    assert (inside.top / "log").read_bytes() == data + b"on stderr\n"
    assert said.lines[-3:] == ("red", "x" * 4096, "no endon stderr")
    assert said.lines[-4].endswith("100%")
    assert all(line.isprintable() or "\t" in line for line in said.lines)


def test_a_log_is_appended_to(inside: Box) -> None:
    log = inside.top / "own"
    log.write_text("header\n")
    inside.own(inside.top)

    def act() -> None:
        run(inside.spec("echo body"), work=inside.top, log=log, on_line=lambda line: None)

    inside.do(act)
    assert log.read_text() == "header\nbody\n"


def test_exit_status_and_signal(inside: Box) -> None:
    assert inside.bash("exit 3").outcome.status == 3
    assert inside.bash("kill -SEGV $$").outcome.status == 139


def test_a_missing_command(inside: Box) -> None:
    spec = Spec(lowers=(inside.lower,), binds=tuple(inside.binds), command=("/no/such",), directory="/")
    said = inside.run(spec)
    assert said.outcome.status == 127
    assert said.text == "bwrap: execvp /no/such: No such file or directory\n"


def test_a_sandbox_that_cannot_start_is_the_machines_failure(caller_box: Box) -> None:
    spec = caller_box.spec("true", directory="/nowhere")
    with pytest.raises(MachineError) as caught:
        run(spec, work=caller_box.top, log=io.BytesIO(), on_line=lambda line: None)
    assert caught.value.what == "the sandbox could not be started"
    assert "chdir to /nowhere" in caught.value.why


@pytest.fixture
def caller_box() -> Iterator[Box]:
    with box("caller") as made:
        yield made


def test_a_full_disk_under_the_log(caller_box: Box) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(MachineError) as caught:
        run(caller_box.spec("echo x; sleep 60"), work=caller_box.top, log=full, on_line=lambda line: None)
    assert caught.value.why == "No space left on device"


def test_probe(inside: Box) -> None:
    inside.do(lambda: probe(inside.top))
    inside.do(probe)


def test_probe_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sh", "mount", "unshare", "setpriv", "prlimit", "taskset", "setarch", "true"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as caught:
        probe()
    assert caught.value.what == "the program bwrap is not installed"
    assert caught.value.hint == "on Debian or Ubuntu: apt-get install bubblewrap"


def test_the_callers_signals_and_soft_limits_are_not_seen(caller_box: Box) -> None:
    """As under nohup, and in a shell with small limits of its own."""
    ask = "grep -E '^Sig(Ign|Blk)' /proc/self/status; ulimit -S -n; ulimit -S -f; ulimit -S -t; ulimit -S -d"
    usual = caller_box.bash(ask).text
    blocked, ignored, *limits_seen = usual.replace("SigBlk:", "").replace("SigIgn:", "").split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~(0b11 << 31) == 0  # 32 and 33 are the C library's own; make(1) leaves them ignored
    assert limits_seen == ["1024", *["unlimited"] * 3]
    numbers = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_DATA)
    limits = [resource.getrlimit(number) for number in numbers]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for number, (_, hard), soft in zip(numbers, limits, (512, 1 << 24, 3600, 1 << 32), strict=True):
            resource.setrlimit(number, (soft, hard))
        said = caller_box.bash(ask).text
    finally:
        signal.signal(signal.SIGHUP, before)
        for number, limit in zip(numbers, limits, strict=True):
            resource.setrlimit(number, limit)
    assert said == usual
