"""Where boxes and edges lie: a layered layout, dependents left of what they need. Pure; sizes and places are pixels.

1. Columns by the longest path from the left; a crowd that one box needs is spread over several.
2. Edges across columns share one way, with those to the same box or with those from it, whichever are more: a base
   that all need costs one line, not many.
3. Order within columns by barycentres, forth and back; the order with the fewest crossings is kept.
4. Heights by least squares: each as near to its neighbours' middle as order and distance allow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from orchestrator.cli.drawing.order import SWEEPS, Item, fewest_crossings, first_order
from orchestrator.cli.drawing.picture import Edge, Kind
from orchestrator.frozen import NamedTuple, frozen

_GAP = 12.0  # between the boxes of a column
_WAY = 7.0  # the room of an edge that passes a column
_MARGIN = 24.0
_SCREEN = 60  # boxes in a column, more of which is a high drawing
_ROWS = 40  # of a crowd that one box needs, such as wheels, in one column


@frozen
class Line:
    """A part of an edge: from the right of one column to the left of the next, or straight through a column. `source`
    and `target` are empty where edges share it that differ in that."""

    kind: Kind
    source: str
    target: str
    start: tuple[float, float]
    end: tuple[float, float]
    tip: bool  # it ends at a box


class _Link(NamedTuple):
    before: int
    now: int
    kind: Kind
    source: str
    target: str

    def line(self, start: tuple[float, float], end: tuple[float, float], *, tip: bool) -> Line:
        return Line(kind=self.kind, source=self.source, target=self.target, start=start, end=end, tip=tip)


@frozen
class Drawing:
    """Boxes by name as (x, y, width, height) of their upper left corner, lines, and the size of it all."""

    boxes: Mapping[str, tuple[float, float, float, float]]
    lines: tuple[Line, ...]
    width: float
    height: float


def lay_out(sizes: Mapping[str, tuple[float, float]], edges: Sequence[Edge]) -> Drawing:
    """The layout of boxes of these (width, height). The edges make no circle."""
    column = _columns(list(sizes), edges)
    items, links = _items(sizes, edges, column)
    columns = first_order(items)
    columns = fewest_crossings(items, columns)
    _heights(items, columns)
    return _drawing(sizes, items, columns, links)


def _columns(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The column of each box."""
    needs: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(names, 0)
    for edge in edges:
        needs[edge.source].append(edge.target)
        waiting[edge.target] += 1
    one_of_many = set(names)
    for edge in edges:
        if len(needs[edge.source]) <= _ROWS:
            one_of_many.discard(edge.target)
    column: dict[str, int] = {}
    ready = [name for name in names if not waiting[name]]
    at = 0
    while ready:
        crowd = [name for name in ready if name in one_of_many]
        now = [name for name in ready if name not in one_of_many]
        room = max(_ROWS - len(now), _ROWS // 2)
        now, ready = now + crowd[:room], crowd[room:]
        for name in now:
            column[name] = at
            for need in needs[name]:
                waiting[need] -= 1
                if not waiting[need]:
                    ready.append(need)
        at += 1
    return column


def _items(
    sizes: Mapping[str, tuple[float, float]], edges: Sequence[Edge], column: Mapping[str, int]
) -> tuple[list[Item], list[_Link]]:
    """Boxes and ways, and the links between neighbouring columns."""
    items = [Item(name, False, column[name], height) for name, (_, height) in sizes.items()]
    boxes = {item.name: index for index, item in enumerate(items)}
    leaving, entering = Counter(edge.source for edge in edges), Counter(edge.target for edge in edges)
    ways: dict[tuple[bool, str, Kind, int], int] = {}
    links: dict[tuple[int, int], _Link] = {}
    for edge in edges:
        from_one = leaving[edge.source] > entering[edge.target]
        common = edge.source if from_one else edge.target
        before = boxes[edge.source]
        for at in range(column[edge.source] + 1, column[edge.target] + 1):
            if at == column[edge.target]:
                now = boxes[edge.target]
            else:
                now = ways.setdefault((from_one, common, edge.kind, at), len(items))
                if now == len(items):
                    items.append(Item(common, True, at, _WAY))
            near = (now == boxes[edge.target] or not from_one, before == boxes[edge.source] or from_one)
            link = _Link(before, now, edge.kind, edge.source if near[1] else "", edge.target if near[0] else "")
            links.setdefault((before, now), link)
            before = now
    for before, now in links:
        items[before].right.append(now)
        items[now].left.append(before)
    return items, list(links.values())


def _heights(items: Sequence[Item], columns: Sequence[Sequence[int]]) -> None:
    """Give every item its y. In a drawing much higher than a screen boxes lie beside the first of what they need, not
    beside the middle of it: so it begins where a reader begins, in the upper left corner."""
    for one in columns:
        _settle(items, one, [0.0] * len(one))
    high = max((sum(not items[index].way for index in one) for one in columns), default=0) > _SCREEN
    for sweep in range(2 * SWEEPS):
        forth = sweep % 2 == 0 and not high
        for one in columns if forth else reversed(columns):
            wanted = []
            for index in one:
                item = items[index]
                near = [items[other].y for other in (item.left if forth else item.right) or item.left or item.right]
                middle = min(near, default=item.y) if high and item.right else sum(near) / len(near) if near else item.y
                wanted.append(middle)
            _settle(items, one, wanted)


def _settle(items: Sequence[Item], column: Sequence[int], wanted: Sequence[float]) -> None:
    """Place a column in its order, at the least sum of squared distances from what is wanted: neighbours that are too
    near become a block, whose place is the mean of theirs."""
    offsets = [0.0]
    for above, below in pairwise(column):
        gap = _GAP if not (items[above].way and items[below].way) else 0.0
        offsets.append(offsets[-1] + (items[above].height + items[below].height) / 2 + gap)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for index, want, offset in zip(column, wanted, offsets, strict=True):
        weight = 3.0 if items[index].way else 1.0  # ways are straight rather than boxes centred
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] >= mean:
            other, other_weight, other_count = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + other_count
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for index, mean, offset in zip(column, means, offsets, strict=True):
        items[index].y = mean + offset


def _drawing(
    sizes: Mapping[str, tuple[float, float]],
    items: Sequence[Item],
    columns: Sequence[Sequence[int]],
    links: Sequence[_Link],
) -> Drawing:
    top = min((item.y - item.height / 2 for item in items), default=0.0) - _MARGIN
    bottom = max((item.y + item.height / 2 for item in items), default=0.0) + _MARGIN
    steepest: dict[int, float] = defaultdict(float)
    for link in links:
        at = items[link.before].column
        steepest[at] = max(steepest[at], abs(items[link.before].y - items[link.now].y))
    widths = [max((sizes[items[i].name][0] for i in one if not items[i].way), default=0.0) for one in columns]
    lefts, x = [], _MARGIN
    for at, width in enumerate(widths):
        lefts.append(x)
        x += width + 40 + min(160.0, steepest[at] / 10)
    right = max((left + width for left, width in zip(lefts, widths, strict=True)), default=0.0) + _MARGIN

    boxes = {}
    for item in items:
        if not item.way:
            height = item.height
            boxes[item.name] = (lefts[item.column], item.y - height / 2 - top, widths[item.column], height)
    lines = []
    through: set[int] = set()
    for link in links:
        one, other = items[link.before], items[link.now]
        start = (lefts[one.column] + widths[one.column], one.y - top)
        end = (lefts[other.column], other.y - top)
        lines.append(link.line(start, end, tip=not other.way))
        if other.way and link.now not in through:
            through.add(link.now)
            lines.append(link.line(end, (end[0] + widths[other.column], end[1]), tip=False))
    return Drawing(boxes=boxes, lines=tuple(lines), width=right, height=bottom - top)
