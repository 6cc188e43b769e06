"""The order of what lies in the columns of a layered layout, so that few lines cross. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

SWEEPS = 10


@dataclass(slots=True)
class Item:
    """A box, or the place in a column where edges to one box pass."""

    name: str  # of the box, or of what the edges of a way have in common
    way: bool
    column: int
    height: float
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    y: float = 0.0  # the middle


def first_order(items: Sequence[Item]) -> list[list[int]]:
    """Columns in the order of a walk from the left: what belongs together begins together."""
    columns: list[list[int]] = [[] for _ in range(1 + max((item.column for item in items), default=-1))]
    seen: set[int] = set()
    for start, item in enumerate(items):
        todo = [start] if not item.left else []
        while todo:
            index = todo.pop()
            if index not in seen:
                seen.add(index)
                columns[items[index].column].append(index)
                todo += reversed(items[index].right)
    return columns


def fewest_crossings(items: Sequence[Item], columns: list[list[int]]) -> list[list[int]]:
    best, fewest = [list(one) for one in columns], _crossings(items, columns)
    for sweep in range(SWEEPS):
        if not fewest and sweep > 3:
            break
        forth = sweep % 2 == 0
        position = {index: float(place) for one in columns for place, index in enumerate(one)}
        for one in columns if forth else reversed(columns):
            middle = {}
            for place, index in enumerate(one):
                near = items[index].left if forth else items[index].right
                middle[index] = sum(position[other] for other in near) / len(near) if near else float(place)
            one.sort(key=middle.__getitem__)
            position.update((index, float(place)) for place, index in enumerate(one))
        crossings = _crossings(items, columns)
        if crossings <= fewest:  # as few, but nearer to the middle
            best, fewest = [list(one) for one in columns], crossings
    return best


def _crossings(items: Sequence[Item], columns: Sequence[Sequence[int]]) -> int:
    """How often links cross: inversions, counted with a binary indexed tree."""
    total = 0
    for one, following in pairwise(columns):
        place = {index: at for at, index in enumerate(following)}
        counts = [0] * (len(following) + 1)
        seen = 0
        for index in one:
            ends = sorted(place[other] for other in items[index].right)
            for end in ends:
                at = end + 1
                total += seen
                while at > 0:
                    total -= counts[at]
                    at &= at - 1
            for end in ends:
                at = end + 1
                seen += 1
                while at <= len(following):
                    counts[at] += 1
                    at += at & -at
    return total
