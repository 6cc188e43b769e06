"""Output as it comes, until its writer has ended or must end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from enum import Enum
from threading import Event

from orchestrator.frozen import frozen

PATIENCE = 10.0  # seconds for the killed to be gone, and for output to end after its writers did
_CHUNK = 1 << 16
_LOOK = 0.05  # seconds between two looks at the stop event


class Ending(Enum):
    """Who ended a process."""

    ITSELF = "itself"
    TIMEOUT = "timeout"
    STOPPED = "stopped"


@frozen
class Ended:
    """How a streamed process ended: 128+N when a signal N ended it. Seconds are wall time."""

    status: int
    seconds: float
    ending: Ending


def follow(
    gone: int, pipe: int, on_bytes: Callable[[bytes], None], deadline: float | None, stop: Event | None
) -> Ending:
    """Hand output over until `gone` can be read: the process has ended. Say why to end it if it must end before."""
    poll = select.poll()  # not select(): it refuses descriptors above 1023
    poll.register(pipe, select.POLLIN)
    poll.register(gone, select.POLLIN)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return Ending.TIMEOUT
        if stop is not None:
            if stop.is_set():
                return Ending.STOPPED
            left = _LOOK if left is None else min(left, _LOOK)
        ready = {number for number, _ in poll.poll(None if left is None else left * 1000)}
        if pipe in ready:
            data = os.read(pipe, _CHUNK)
            if data:
                on_bytes(data)
                continue  # first all that it said, then its end
            poll.unregister(pipe)
        if gone in ready:
            return Ending.ITSELF


def drain(pipe: int, on_bytes: Callable[[bytes], None]) -> None:
    """What was written and not read yet, to the end: a writer that outlived the process is given a little time only."""
    until = time.monotonic() + PATIENCE
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        data = os.read(pipe, _CHUNK)
        if not data:
            return
        on_bytes(data)
