from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store import Layout, locked
from orchestrator.tree import remove_tree

Start = Callable[..., "subprocess.Popen[str]"]

KEY = blake3_bytes(b"key")

HOLD = """
import sys
from pathlib import Path
from orchestrator.digest import blake3_bytes
from orchestrator.store import locked, open_store
with locked(open_store(Path(sys.argv[1])), blake3_bytes(b"key"), lambda: print("waits", flush=True)):
    print("has it", flush=True)
    sys.stdin.readline()
"""

COUNT = """
import sys, time
from pathlib import Path
from orchestrator.digest import blake3_bytes
from orchestrator.store import locked, open_store
layout, number = open_store(Path(sys.argv[1])), Path(sys.argv[2])
for _ in range(25):
    with locked(layout, blake3_bytes(b"key"), lambda: None):
        seen = int(number.read_text())
        time.sleep(0.0005)
        number.write_text(str(seen + 1))
"""


def never() -> None:
    raise AssertionError("it had to wait")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_free_lock_is_had_at_once_and_leaves_nothing(layout: Layout) -> None:
    remove_tree(layout.locks)
    for _ in range(2):
        with locked(layout, KEY, never), locked(layout, blake3_bytes(b"other"), never):
            pass
    assert not list(layout.locks.iterdir())


def test_processes_exclude_each_other(layout: Layout, start: Start) -> None:
    number = layout.root / "number"
    number.write_text("0")
    processes = [start(COUNT, layout.root, number) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert number.read_text() == "75"


def test_threads_exclude_each_other(layout: Layout) -> None:
    inside, most, waits = [0], [0], []

    def work() -> None:
        for _ in range(5):
            with locked(layout, KEY, lambda: waits.append(1)):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert 1 <= len(waits) <= 20


def test_who_waits_is_told_once_and_gets_it_when_the_holder_is_killed(layout: Layout, start: Start) -> None:
    holder = start(HOLD, layout.root)
    assert line(holder) == "has it"
    told: list[float] = []
    killer = threading.Timer(0.3, holder.kill)
    killer.start()
    with locked(layout, KEY, lambda: told.append(time.monotonic())):
        assert len(told) == 1
        assert time.monotonic() - told[0] > 0.1
    killer.join()


def test_who_waits_can_be_interrupted(layout: Layout, start: Start) -> None:
    with locked(layout, KEY, never):
        waiter = start(HOLD, layout.root)
        assert line(waiter) == "waits"
        waiter.send_signal(signal.SIGINT)
        _, errors = waiter.communicate(timeout=20)
        assert "KeyboardInterrupt" in errors
        stop = threading.Timer(0.1, lambda: stopped.append(True))
        stopped: list[bool] = []
        stop.start()
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                with locked(layout, KEY, lambda: None, lambda: bool(stopped)):
                    pass
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(20)
        assert [type(error) for error in ended] == [KeyboardInterrupt]
    with locked(layout, KEY, never):
        pass


def test_an_error_inside_lets_go(layout: Layout) -> None:
    with pytest.raises(RuntimeError), locked(layout, KEY, never):
        raise RuntimeError
    with locked(layout, KEY, never):
        pass


def test_a_place_that_cannot_be_locked(layout: Layout) -> None:
    remove_tree(layout.locks)
    layout.locks.write_text("a file")
    with pytest.raises(MachineError, match="cannot lock"), locked(layout, KEY, never):
        pass
