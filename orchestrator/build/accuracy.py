"""How good past estimates were, told by the records of runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.build.estimate import median
from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from orchestrator.store import BuildRecord

LOOKED_AT = 8  # runs that are judged: older ones tell of another machine, another stack
_RECORDS = 50  # that are read to find them
_WORTH = 5.0  # seconds; of a shorter run nobody wants a forecast


@frozen
class Accuracy:
    """A ratio is the seconds that a run took, divided by those that were forecast; 1 is a perfect forecast."""

    runs: int
    median_ratio: float
    worst_ratio: float  # the one farthest from 1, either way

    @property
    def text(self) -> str:
        """`estimates were within 20 % in the last 8 builds`, or by which factor they were wrong."""
        last = "the last build" if self.runs == 1 else f"the last {self.runs} builds"
        off = max(self.worst_ratio, 1 / self.worst_ratio) - 1
        if off <= 0.5:
            return f"estimates were within {max(5, 5 * math.ceil(off * 20 - 1e-9))} % in {last}"
        if self.runs == 1:
            return f"{last} took {self.worst_ratio:.1f} times its estimate"
        worst = f"{self.worst_ratio:.1f}"
        if f"{self.median_ratio:.1f}" == "1.0":
            return f"{last} took as long as their estimates (median), {worst} times as long at worst"
        return f"{last} took {self.median_ratio:.1f} times their estimates (median), {worst} at worst"


def accuracy(builds: Iterable[BuildRecord]) -> Accuracy | None:
    """The accuracy of the newest forecasts in `builds` (newest first) that can be judged; None if there are none.

    Judged is a run that was finished and had a forecast, where either is long enough to matter.
    """
    ratios = []
    for build in islice(builds, _RECORDS):
        if build.ending == "done" and build.expected and max(build.expected, build.seconds) >= _WORTH:
            ratios.append(max(build.seconds, 0.01) / build.expected)
        if len(ratios) == LOOKED_AT:
            break
    if not ratios:
        return None
    worst = max(ratios, key=lambda ratio: abs(math.log(ratio)))
    return Accuracy(runs=len(ratios), median_ratio=median(ratios), worst_ratio=worst)
