"""Shares the machine's cores among steps, so that two compilers never ask for twice the machine: the most urgent first.

A step has one core, or a fixed share until it ends, or one core and tokens that come and go (jobserver.py). What is
given out never passes the total. Used by one loop, from nowhere else.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Literal

from orchestrator.build.jobserver import Tokens
from orchestrator.build.loop import Future, Loop
from orchestrator.frozen import NamedTuple, frozen

Use = Literal["one", "share", "tokens"]
_LOOK = 0.05  # seconds between two looks at who has taken his tokens: of that the kernel does not tell


@frozen(kw_only=False)
class Share:
    """What a step may use: `cores`, and with `tokens` as many more as those allow."""

    cores: int
    tokens: Tokens | None = None


class _Waiter(NamedTuple):
    urgency: float  # negative: the smallest is served first
    number: int
    use: Use
    share: Future[Share]


class Cores:
    """`total` cores for at most `jobs` steps at once; each is given at least one, so more jobs than cores wait."""

    def __init__(self, loop: Loop, *, total: int, jobs: int) -> None:
        self._loop = loop
        self._total = total
        self._jobs = min(jobs, total)
        self._free = total
        self._running = 0
        self._waiting: list[_Waiter] = []
        self._sharing: list[Tokens] = []
        self._numbers = count()
        self._looking = False  # whether `_look` is going to be called
        self._soon = False  # whether `_serve` is going to be called

    @asynccontextmanager
    async def take(self, urgency: float = 0.0, use: Use = "share") -> AsyncIterator[Share]:
        """Wait for a turn, hold what the step may use, and give it back."""
        waiter = _Waiter(-urgency, next(self._numbers), use, Future(self._loop))
        heapq.heappush(self._waiting, waiter)
        try:
            self._serve_soon()
            yield await waiter.share
        finally:
            if waiter.share.done() and not waiter.share.cancelled():
                self._end(waiter.share.result())
            else:  # it was cancelled while it waited
                self._waiting = [one for one in self._waiting if one is not waiter]
                heapq.heapify(self._waiting)
            self._serve_soon()

    def next_is_less_urgent(self, urgency: float) -> bool:
        """Whether somebody waits, and nobody who waits is as urgent as that."""
        return bool(self._waiting) and -self._waiting[0].urgency < urgency

    @property
    def one_runs(self) -> bool:
        """Whether one step runs, and nobody waits."""
        return self._running == 1 and not self._waiting

    def _end(self, share: Share) -> None:
        self._running -= 1
        self._free += share.cores
        if share.tokens is not None:
            if share.tokens.placed:
                self._loop.remove_reader(share.tokens.returns)
            self._sharing.remove(share.tokens)
            self._free += share.tokens.close()

    # -- who is next -----------------------------------------------------------------------------------------------

    def _serve_soon(self) -> None:
        """Serve once all is there that became ready by the same end of a step, to be compared and to divide the cores.
        From an end to a dependent nothing goes by way of a thread."""
        if not self._soon:
            self._soon = True
            self._loop.call_last(self._serve)

    def _serve(self) -> None:
        """Start whom there is room for; what is left is for those who live on tokens."""
        self._soon = False
        while self._waiting and self._running < self._jobs:
            fair = max(1, self._total // min(self._jobs, self._running + len(self._waiting)))
            # A share is for good: if others' tokens will make it a fair one, it is worth waiting for them to end.
            more = self._waiting[0].use == "share" and any(tokens.granted + 1 > fair for tokens in self._sharing)
            wanted = fair if more else 1
            for tokens in self._sharing:
                self._free += tokens.reclaim(max(0, min(wanted - self._free, tokens.granted + 1 - fair)))
            if self._free < wanted:
                break
            self._start(heapq.heappop(self._waiting))
        else:
            self._grant()
        if self._sharing and not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK, self._look)

    def _start(self, waiter: _Waiter) -> None:
        cores = 1
        if waiter.use == "share":  # what those who start now too leave of it
            others = [one.use for one in heapq.nsmallest(self._jobs - self._running - 1, self._waiting)]
            shares = others.count("share") + 1
            cores = max(1, (self._free - (len(others) - shares + 1)) // shares)
        tokens = None
        if waiter.use == "tokens":

            def ready(tokens: Tokens) -> None:
                self._loop.call_from_thread(self._placed, tokens)

            tokens = Tokens(ready)
            self._sharing.append(tokens)
        self._running += 1
        self._free -= cores
        waiter.share.set_result(Share(cores, tokens))

    # -- tokens ----------------------------------------------------------------------------------------------------

    def _placed(self, tokens: Tokens) -> None:
        if tokens.placed:
            self._loop.add_reader(tokens.returns, self._returned, tokens)
            self._serve()

    def _returned(self, tokens: Tokens) -> None:
        self._free += tokens.collect()
        self._serve()

    def _look(self) -> None:
        self._looking = False
        self._serve()

    def _grant(self) -> None:
        """Give the free cores to builds that have taken all they were given, to the one with the fewest first."""
        unread = {id(tokens): tokens.unread() for tokens in self._sharing if tokens.placed}
        hungry = [tokens for tokens in self._sharing if unread.get(id(tokens)) == 0]
        if hungry and not self._free:
            for tokens in self._sharing:
                self._free += tokens.reclaim(unread.get(id(tokens), 0))
        while hungry and self._free:
            min(hungry, key=lambda tokens: tokens.granted).grant(1)
            self._free -= 1
