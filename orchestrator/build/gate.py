"""A thread's way to wait for futures of the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from orchestrator.build.loop import Future, Loop

_LOOK = 0.1  # seconds between two looks whether the loop still runs


class Gate:
    """Futures of the loop for which a thread waits."""

    def __init__(self, loop: Loop, begins: Sequence[Callable[[], Future[bool]]], *, after: float) -> None:
        """What `begins` make are begun when `after` seconds have passed."""
        self._loop = loop
        self._left = len(begins)
        self._good = True
        self._open = threading.Event()
        if not begins:
            self._open.set()
        for begin in begins:
            loop.call_later(after, partial(self._begin, begin))

    def _begin(self, begin: Callable[[], Future[bool]]) -> None:
        begin().then(self._ended)

    def _ended(self, future: Future[bool]) -> None:
        self._good = self._good and future.good()
        self._left -= 1
        if not self._left:
            self._open.set()

    def wait(self) -> bool:
        """Wait for all, in a thread that is not the loop's; whether all came out true. False if the loop ends."""
        while not self._open.wait(_LOOK):
            if self._loop.ending:
                return False
        return self._good
