"""Shares the machine's cores among builds, so that two compilers never ask for twice the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Cores:
    """`total` cores for at most `jobs` steps at once; each step is told how many it may use, at least one.

    The sum of what is given out never passes `total`, so more jobs than cores wait.
    """

    def __init__(self, *, total: int, jobs: int) -> None:
        self._free = total
        self._slots = min(jobs, total)
        self._waiting = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[int]:
        """Wait for a slot, hold a share of the free cores, and give it back."""
        self._waiting += 1
        await asyncio.sleep(0)  # siblings that became ready at the same moment count when the cores are divided
        async with self._changed:
            try:
                await self._changed.wait_for(lambda: self._slots > 0 and self._free > 0)
                share = max(1, self._free // min(self._waiting, self._slots))
            finally:
                self._waiting -= 1
            self._slots -= 1
            self._free -= share
        try:
            yield share
        finally:
            self._slots += 1
            self._free += share
            async with self._changed:
                self._changed.notify_all()
