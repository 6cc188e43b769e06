"""Counts what is fetched, by the recipe that wants it: a base has hundreds of sources, nobody reads a line for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text, seconds_text

if TYPE_CHECKING:
    from orchestrator.events import FetchProgress
    from orchestrator.graph.derivation import Source

_WINDOW = 5.0  # seconds over which a rate is taken
_RESUMED = 1 << 20  # bytes: a first report of more is of a download that was gone on with


@dataclass(slots=True)
class Group:
    """The sources of one recipe that were not here when the run began."""

    name: str
    sizes: dict[str, int | None] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    began: float | None = None

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
        self._came: deque[tuple[float, int]] = deque()
        for name, source in wanted:
            if not source.name.startswith("file:") and source.name not in self._of:
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
            self._came.append((now, fresh))
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
        groups = self._groups.values()
        return any(group.began is not None and len(group.here) < len(group.sizes) for group in groups)

    @property
    def text(self) -> str:
        """`41 of 93 sources, 12 MB of 35 MB, 8.2 MB/s`: all that was begun, together."""
        groups = [group for group in self._groups.values() if group.began is not None]
        count = sum(len(group.sizes) for group in groups)
        here = sum(len(group.here) for group in groups)
        done = sum(sum(group.done.values()) for group in groups)
        total = max(done, sum(size or 0 for group in groups for size in group.sizes.values()))
        return f"{here} of {count} sources, {bytes_text(done)} of {bytes_text(total)}{self._rate()}"

    def _rate(self) -> str:
        now = self._clock()
        while self._came and self._came[0][0] < now - _WINDOW:
            self._came.popleft()
        if not self._came:
            return ""
        span = max(1.0, now - self._came[0][0])
        return f", {bytes_text(round(sum(count for _, count in self._came) / span))}/s"
