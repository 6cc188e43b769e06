"""Counts what is fetched, by the recipe that wants it: a base has hundreds of sources, nobody reads a line for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text, seconds_text

if TYPE_CHECKING:
    from orchestrator.events import FetchProgress
    from orchestrator.graph.derivation import Source

_WINDOW = 5.0  # seconds over which a rate is taken
_RESUMED = 1 << 20  # bytes: a first report of more is of a download that was gone on with


class Group:
    """The sources of one recipe that were not here when the run began."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sizes: dict[str, int | None] = {}
        self.done: dict[str, int] = {}
        self.here: set[str] = set()
        self.began: float | None = None
        self.came: deque[tuple[float, int]] = deque()

    @property
    def running(self) -> bool:
        """Whether some of it is being fetched now."""
        return self.began is not None and len(self.here) < len(self.sizes)

    @property
    def bytes_text(self) -> str:
        """`12 MB of 35 MB`, without the second where nobody knows it."""
        done = sum(self.done.values())
        if any(size is None for size in self.sizes.values()):
            return bytes_text(done)
        return f"{bytes_text(done)} of {bytes_text(max(done, sum(size or 0 for size in self.sizes.values())))}"

    def rate(self, now: float) -> float:
        """Bytes a second, over the last seconds."""
        while self.came and self.came[0][0] < now - _WINDOW:
            self.came.popleft()
        if not self.came:
            return 0.0
        counts = [count for _, count in self.came]
        came = sum(counts[1:]) if len(counts) > 1 else counts[0]  # the first came before the time that is counted
        return came / max(1.0, now - self.came[0][0])

    @property
    def text(self) -> str:
        """`93 sources, 35 MB`."""
        count = len(self.sizes)
        return f"{count} source{'' if count == 1 else 's'}{_size(self.sizes.values(), self.done.values())}"


def _size(sizes: Iterable[int | None], done: Iterable[int]) -> str:
    known = max(sum(size or 0 for size in sizes), sum(done))
    return f", {bytes_text(known)}" if known else ""


class Fetches:
    """What is wanted, and how much of it came. Not for several threads at once."""

    def __init__(self, wanted: Iterable[tuple[str, Source]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._of: dict[str, Group] = {}
        for name, source in wanted:
            if not source.at_hand and source.name not in self._of:
                self._add(name, source.name, source.size)

    def _add(self, name: str, source: str, size: int | None) -> Group:
        group = self._of[source] = self._groups.setdefault(name, Group(name))
        group.sizes[source] = size
        return group

    def take(self, event: FetchProgress) -> list[str]:
        """Note progress; the line to say if a recipe's fetching begins with it."""
        group = self._of.get(event.source) or self._add(event.source.rpartition("/")[2], event.source, event.total)
        now = self._clock()
        before = group.done.get(event.source)
        fresh = event.done - before if before is not None else min(event.done, _RESUMED)
        if fresh > 0:
            group.came.append((now, fresh))
        if event.total is not None:
            group.sizes[event.source] = event.total
        group.done[event.source] = event.done
        if group.began is not None:
            return []
        group.began = now
        return [f"fetch {group.name}: {group.text} ..."]

    def here(self, source: str) -> list[str]:
        """Note that a source is here, whoever fetched it; the line to say if it was the last of its recipe's."""
        group = self._of.get(source)
        if group is None or source in group.here:
            return []
        group.here.add(source)
        if group.began is None or len(group.here) < len(group.sizes):
            return []
        return [f"{'fetched':<15} {group.name}  {seconds_text(self._clock() - group.began)}  ({group.text})"]

    @property
    def running(self) -> bool:
        """Whether some recipe's sources are being fetched now."""
        return any(group.running for group in self._groups.values())

    @property
    def came(self) -> int:
        """Bytes that are here of what was foreseen and is not a file beside a recipe."""
        return sum(sum(group.done.values()) for group in self._groups.values())

    def groups_running(self) -> list[Group]:
        """Those whose sources are being fetched now, in the order in which they were wanted."""
        return [group for group in self._groups.values() if group.running]
