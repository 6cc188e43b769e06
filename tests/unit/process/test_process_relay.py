"""A helper that starts programs: orders, answers, kills, its own end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.process import Ending, Relay

# Runs the shell script in the order's first descriptor; anything else that comes kills it.
HELPER = """
import os, select, signal, socket, subprocess, sys
server = socket.socket(fileno=int(sys.argv[1]))
while True:
    data, fds, _, _ = socket.recv_fds(server, 16, 5)
    if not data:
        break
    if not fds:
        continue
    script = os.pread(fds[0], 1 << 16, 0).decode()
    process = subprocess.Popen(["sh", "-c", script], stdout=fds[1], stderr=fds[1])
    [os.close(number) for number in fds]
    gone = os.pidfd_open(process.pid)
    while gone not in select.select([server, gone], [], [])[0]:
        if not server.recv(16):
            process.kill()
            sys.exit()
        process.kill()
    os.close(gone)
    status = process.wait()
    server.send(b"%d" % (status if status >= 0 else 128 - status))
"""


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay((sys.executable, "-c", HELPER), env={"PATH": os.environ["PATH"]})
    yield made
    made.close()


def script(text: str) -> int:
    number = os.memfd_create("script")
    os.write(number, text.encode())
    return number


def test_orders_one_after_the_other(relay: Relay) -> None:
    for status in (0, 3, 0):
        said: list[bytes] = []
        ended = relay.run([script(f"echo out; echo err >&2; exit {status}")], on_bytes=said.append)
        assert (ended.status, ended.ending) == (status, Ending.ITSELF)
        assert b"".join(said) == b"out\nerr\n"


def test_time_and_stop_end_it_and_the_next_is_as_any(relay: Relay) -> None:
    ended = relay.run([script("exec sleep 60")], on_bytes=print, timeout=0.2)
    assert (ended.status, ended.ending) == (137, Ending.TIMEOUT)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    ended = relay.run([script("exec sleep 60")], on_bytes=print, stop=stop)
    assert (ended.status, ended.ending) == (137, Ending.STOPPED)
    assert relay.run([script("exit 5")], on_bytes=print).status == 5


def test_what_raises_kills_it(relay: Relay) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError(data)

    began = time.monotonic()
    with pytest.raises(RuntimeError):
        relay.run([script("echo x; exec sleep 60")], on_bytes=fail)
    assert time.monotonic() - began < 30
    assert relay.run([script("exit 0")], on_bytes=print).status == 0


def test_a_helper_that_is_gone_counts_as_killed(relay: Relay) -> None:
    assert relay.run([script("kill -9 $PPID; sleep 60")], on_bytes=print).status == 137
    assert relay.run([script("exit 0")], on_bytes=print).status == 137


def test_whether_the_helper_is_gone_is_known(relay: Relay) -> None:
    assert relay.run([script("exit 3")], on_bytes=print).status == 3
    assert not relay.ended
    relay.run([script("kill -9 $PPID; sleep 60")], on_bytes=print)
    assert relay.ended


def test_a_helper_killed_between_two_orders_is_known_to_be_gone(relay: Relay) -> None:
    pids: list[bytes] = []
    relay.run([script("echo $PPID")], on_bytes=pids.append)
    os.kill(int(b"".join(pids)), signal.SIGKILL)
    wait_until = time.monotonic() + 30
    while not relay.ended and time.monotonic() < wait_until:
        time.sleep(0.01)
    assert relay.ended
