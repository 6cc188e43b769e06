"""What ran when, as SVG: a lane for each step that ran at the same time, the critical path marked. Pure; seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.cli.drawing.svg import clean
from orchestrator.cli.numbers import count_text, seconds_text
from orchestrator.frozen import frozen

WIDE, NARROW = 1080.0, 350.0  # pixels, of a picture for a screen and of one for a phone
_ROW = 26.0
_AXIS = 24.0
_CHARACTER = 6.7  # pixels of one at 11 px
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_SLACK = 0.25  # seconds in which one step follows another at once

STYLE = """\
.timeline text{font:11px "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;fill:var(--ink)}
.timeline .a{fill:var(--soft)}
.timeline line{stroke:var(--rule)}
.timeline rect{fill:var(--s);fill-opacity:.28;stroke:var(--s);stroke-opacity:.6}
.timeline .critical rect{fill-opacity:.6;stroke-opacity:1;stroke-width:1.5}
.timeline .critical text{font-weight:600}
"""


@frozen
class Bar:
    """A step that took time."""

    step: str
    began: float
    seconds: float
    colour: str  # a class that sets --s
    note: str = ""  # for the tooltip

    @property
    def ended(self) -> float:
        return self.began + self.seconds


def critical_path(bars: Sequence[Bar], needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The steps that decided how long all took, in their order: the last to end, what it needs that ended last, and so
    on. `needs` maps a step to those whose end it had to wait for. The way may lead over steps that took no time, since
    they were cut off; they are not told."""
    there = {bar.step: bar for bar in bars}
    path: dict[str, Bar] = {}
    bar = max(bars, key=lambda one: (one.ended, one.seconds), default=None)
    while bar is not None:
        path[bar.step] = now = bar
        before = (there[name] for name in needs.get(bar.step, ()) if name in there and name not in path)
        ended = (one for one in before if one.ended <= now.began + _SLACK)
        bar = max(ended, key=lambda one: (one.ended, one.seconds), default=None)
    return tuple(step for step, one in reversed(path.items()) if one.seconds > 0)


def lanes(bars: Sequence[Bar]) -> list[list[Bar]]:
    """The bars in as few lanes as there were steps at once; each goes on where the lane was free the shortest."""
    found: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda one: (one.began, one.step)):
        free = [lane for lane in found if lane[-1].ended <= bar.began + 0.001]
        if free:
            max(free, key=lambda lane: lane[-1].ended).append(bar)
        else:
            found.append([bar])
    return found


def timeline_svg(bars: Sequence[Bar], total: float, critical: Sequence[str], width: float = WIDE) -> str:
    """The picture, for a page that has STYLE and the colours."""
    rows = lanes(bars)
    height = _AXIS + _ROW * len(rows) + 6
    scale = width / max(total, 0.001)
    parts = [
        f'<svg class="timeline" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="min-width:{0.7 * width:.0f}px" role="img">'
        f"<title>{count_text(len(bars), 'step')} in {clean(seconds_text(total))}</title>",
        *_axis(total, width, height),
    ]
    for row, lane in enumerate(rows):
        for index, bar in enumerate(lane):
            following = lane[index + 1].began * scale if index + 1 < len(lane) else width
            place = _place(bar, scale, width)
            parts.append(_bar(bar, place, _AXIS + _ROW * row, following, bar.step in critical))
    return "\n".join([*parts, "</svg>"])


def _axis(total: float, width: float, height: float) -> Iterator[str]:
    scale = width / max(total, 0.001)
    step = next((tick for tick in _TICKS if total / tick <= width / 110), _TICKS[-1])
    count = int(total / step)
    for number in range(count + 1):
        x = number * step * scale
        anchor = "start" if not number else "end" if x > width - 30 else "middle"
        text = seconds_text(number * step, tenths=step < 1) if number else "0"
        yield f'<line x1="{x:.1f}" y1="18" x2="{x:.1f}" y2="{height:.0f}"/>'
        yield f'<text class="a" x="{x:.1f}" y="12" text-anchor="{anchor}">{text}</text>'


def _place(bar: Bar, scale: float, whole: float) -> tuple[float, float]:
    """Where a bar begins and how wide it is: never too narrow to be seen."""
    x = min(bar.began * scale, whole - 3)
    return x, max(min(bar.seconds * scale, whole - x), 3.0)


def _bar(bar: Bar, place: tuple[float, float], y: float, following: float, critical: bool) -> str:
    x, width = place
    took = seconds_text(bar.seconds)
    start, label = _label(f"{bar.step}  {took}", bar.step, x, width, following)
    text = f'<text x="{start:.1f}" y="{y + 15:.1f}">{clean(label)}</text>' if label else ""
    title = f"{bar.step}, {took}, from {seconds_text(bar.began)} on{f'{chr(10)}{bar.note}' if bar.note else ''}"
    return (
        f'<g class="{bar.colour}{" critical" if critical else ""}"><title>{clean(title)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW - 5:.1f}" rx="3"/>{text}</g>'
    )


def _label(long: str, short: str, x: float, width: float, following: float) -> tuple[float, str]:
    """The text that fits, inside the bar or in the free place after it; none if neither takes it."""
    for text in (long, short, short.partition(" ")[2]):
        needed = _CHARACTER * len(text) + 8
        if needed <= width:
            return x + 5, text
        if x + width + needed <= following:
            return x + width + 5, text
    return x, ""
