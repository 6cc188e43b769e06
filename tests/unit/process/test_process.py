"""Programs that end soon, and programs whose output comes as it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.process import Ending, find_program, run_program, stream

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
ROOT = Path(__file__).parents[3]


def test_output_status_and_environment() -> None:
    done = run_program(["sh", "-c", "echo out; echo err >&2; echo $A; env; exit 3"], env={"A": "b"})
    assert done.stdout.split(b"\n")[:2] == [b"out", b"b"]
    assert b"HOME" not in done.stdout
    assert done.stderr == b"err\n"
    assert done.status == 3


def test_input_is_binary_and_whole() -> None:
    data = bytes(range(256)) * 10_000
    done = run_program(["cat"], env={}, input=data)
    assert (done.stdout, done.stderr, done.status) == (data, b"", 0)


def test_no_input_no_terminal(tmp_path: Path) -> None:
    done = run_program(["sh", "-c", "cat; tty; test -t 1 || echo no; pwd"], env=ENVIRONMENT, cwd=tmp_path)
    assert done.stdout == f"not a tty\nno\n{tmp_path}\n".encode()


def test_a_signal() -> None:
    assert run_program(["sh", "-c", "kill -TERM $$"], env={}).status == 143


def test_a_timeout_is_the_machines_failure() -> None:
    began = time.monotonic()
    with pytest.raises(MachineError, match=r"sleep took longer than 0\.2 s"):
        run_program(["sleep", "30"], env={}, timeout=0.2)
    assert time.monotonic() - began < 5


def test_a_missing_program() -> None:
    with pytest.raises(MachineError) as caught:
        find_program("bwrap", path="/nowhere")
    assert caught.value.what == "the program bwrap is not installed"
    assert caught.value.hint == "on Debian or Ubuntu: apt-get install bubblewrap"
    with pytest.raises(MachineError, match="the program no-such is not installed"):
        run_program(["no-such"], env={})


def test_a_program_that_cannot_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF but not really")
    broken.chmod(0o755)
    with pytest.raises(MachineError) as caught:
        run_program([str(broken)], env={})
    assert "Exec format error" in caught.value.why
    with pytest.raises(MachineError) as caught:
        stream([str(broken)], env={}, cwd=tmp_path, on_bytes=print)
    assert caught.value.why == "Exec format error"


def test_sh_is_imported_late() -> None:
    code = "import sys; import orchestrator.process, orchestrator.sandbox.runtime; print('sh' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_stream_hands_over_everything_in_order(tmp_path: Path) -> None:
    got = bytearray()
    ended = stream(
        ["/bin/sh", "-c", "for i in 1 2 3; do echo $i; echo err$i >&2; done; head -c 1000000 /dev/zero; exit 9"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        on_bytes=got.extend,
    )
    assert got == b"1\nerr1\n2\nerr2\n3\nerr3\n" + bytes(1_000_000)
    assert (ended.status, ended.ending) == (9, Ending.ITSELF)


def test_stream_comes_while_it_runs(tmp_path: Path) -> None:
    came: list[float] = []
    stream(
        ["/bin/sh", "-c", "echo a; sleep 0.4; echo b"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        on_bytes=lambda data: came.append(time.monotonic()),
    )
    assert came[1] - came[0] > 0.3


def test_stream_of_a_process_that_closes_its_output(tmp_path: Path) -> None:
    ended = stream(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4"], env=ENVIRONMENT, cwd=tmp_path, on_bytes=print)
    assert ended.status == 4
    assert ended.seconds >= 0.3


def test_stream_ends_at_its_time_even_when_it_never_stops_talking(tmp_path: Path) -> None:
    ended = stream(["/usr/bin/yes"], env={}, cwd=tmp_path, on_bytes=len, timeout=0.2)
    assert (ended.status, ended.ending) == (137, Ending.TIMEOUT)
    assert ended.seconds < 2


def test_stream_stops(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    ended = stream(["/bin/sleep", "30"], env={}, cwd=tmp_path, on_bytes=print, stop=stop)
    assert ended.ending is Ending.STOPPED
    assert ended.seconds < 2


def test_stream_ends_it_when_the_receiver_fails(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail(data: bytes) -> None:
        pids.append(int(data))
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        stream(["/bin/sh", "-c", "echo $$; exec sleep 30"], env=ENVIRONMENT, cwd=tmp_path, on_bytes=fail)
    assert not Path(f"/proc/{pids[0]}").exists()


def ignored(mask: bytes) -> int:
    """A SigIgn mask without signals 32 and 33: they are the C library's own, which make(1) leaves ignored and nobody
    can set back."""
    return int(mask, 16) & ~(0b11 << 31)


def test_stream_leaves_no_descriptor_and_ignores_no_signal(tmp_path: Path) -> None:
    before = list(Path("/proc/self/fd").iterdir())
    got = bytearray()
    stream(["/bin/grep", "SigIgn", "/proc/self/status"], env={}, cwd=tmp_path, on_bytes=got.extend)
    assert ignored(got.split()[1]) == 0
    assert list(Path("/proc/self/fd").iterdir()) == before


def test_ignored_and_blocked_signals_are_not_passed_on(tmp_path: Path) -> None:
    """As under nohup, in a script's background, and from a thread that blocks signals."""
    said: list[bytes] = []
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        command = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
        stream(command, env=ENVIRONMENT, cwd=tmp_path, on_bytes=said.append)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    words = b"".join(said).split()
    assert words[:3] == [b"SigBlk:", b"0" * 16, b"SigIgn:"]
    assert ignored(words[3]) == 0
