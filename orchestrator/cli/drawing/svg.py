"""A picture of a graph as SVG: a file of its own, or a part of a page. Pure.

Names are text that can be selected and searched; what they mean is in tooltips; colours follow the reader's choice of
dark or light, and no colour says what no word says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from orchestrator.cli.drawing.layers import Drawing, Line, lay_out
from orchestrator.cli.drawing.picture import KINDS, STATES, Box, Picture, strongest

_CHARACTER = 7.3  # pixels of one at 12 px in the widest of the fonts
_PADDING = 12.0
_HEIGHT = 42.0
_LONGEST = 44  # characters of a line; the tooltip has all of it
_LEGEND = 74.0

# What XML cannot hold, what steers a terminal, and what makes text read in another order than it stands.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

_LIGHT = """\
--paper:#ffffff;--box:#f6f8fa;--ink:#1f2328;--soft:#59636e;--line:#8c959f;
--in-store:#1a7f37;--to-check:#0a7a82;--to-build:#0969da;--to-fetch:#7a3fd1;--perhaps:#3b6ea8;
--failed:#c5221f;--not-locked:#8a6100;--absent:#6e7781"""
_DARK = """\
--paper:#0d1117;--box:#161b22;--ink:#e6edf3;--soft:#9aa4af;--line:#6e7681;
--in-store:#4ac26b;--to-check:#4cc3cc;--to-build:#6cb1ff;--to-fetch:#bf9bff;--perhaps:#93bbe6;
--failed:#ff7b72;--not-locked:#d9a63a;--absent:#8b949e"""

STYLE = f"""\
.graph{{{_LIGHT};background:var(--paper)}}
@media (prefers-color-scheme:dark){{.graph{{{_DARK}}}}}
.graph text{{font:12px "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;fill:var(--soft)}}
.graph .n{{font-weight:600;fill:var(--ink)}}
.graph .t{{font-size:15px;font-weight:600;fill:var(--ink)}}
.graph rect{{fill:var(--box);stroke:var(--line)}}
.graph .bar{{stroke:none;fill:var(--s)}}
.graph .s{{fill:var(--s)}}
.graph .goal rect:first-of-type{{stroke:var(--ink);stroke-width:2}}
.graph .ran rect:first-of-type{{fill:var(--s);fill-opacity:.13;stroke:var(--s)}}
.graph .group rect:first-of-type{{stroke-dasharray:6 3}}
.graph path.e{{fill:none;stroke:var(--line);stroke-width:1.3}}
.graph path.e:hover{{stroke:var(--ink);stroke-width:3}}
.graph .build{{stroke-dasharray:6 4}}
.graph .check{{stroke-dasharray:1.5 3.5}}
.graph .tip{{fill:var(--line)}}
""" + "".join(f".graph .{state.replace(' ', '-')}{{--s:var(--{state.replace(' ', '-')})}}\n" for state in STATES)


def clean(text: str) -> str:
    """`text` for an element or an attribute's value: escaped, and what should not stand in a page made visible."""
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def graph_svg(picture: Picture, *, alone: bool = True) -> str:
    """The picture; `alone` as a file with its style, else as an element of a page that has STYLE."""
    lines = {box.name: _texts(box) for box in picture.boxes}
    sizes = {name: (2 * _PADDING + _CHARACTER * max(map(len, texts)), _HEIGHT) for name, texts in lines.items()}
    drawing = lay_out(sizes, strongest(picture.edges))
    legend = list(_legend(picture))
    width = max(drawing.width, 24 + _CHARACTER * max(len(picture.title) * 1.25, 60))
    height = drawing.height + (_LEGEND if alone else 0)
    shift = f' transform="translate(0 {_LEGEND:.0f})"' if alone else ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="min-width:{width * 0.8:.0f}px" role="img">'
    )
    parts = [head, f"<title>{clean(picture.title)}</title>"]
    if alone:
        parts += [f"<style>{STYLE}</style>", '<rect width="100%" height="100%" style="fill:var(--paper);stroke:none"/>']
        parts += [f'<text class="t" x="24" y="30">{clean(picture.title)}</text>', *legend]
    parts += [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto" '
        'markerUnits="userSpaceOnUse"><path class="tip" d="M0 0.8 8 4 0 7.2z"/></marker></defs>',
        f"<g{shift}>",
        *(_line(line) for line in drawing.lines),
        *(_box(box, lines[box.name], drawing, box.name in picture.roots) for box in picture.boxes),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _texts(box: Box) -> tuple[str, str]:
    return _cut(box.label), " · ".join([box.state, *box.facts()])


def _tooltip(box: Box) -> str:
    lines = [f"{box.label} ({box.origin})" if box.origin else box.label]
    lines.append(", ".join([f"{box.state}: {STATES[box.state]}", *box.facts()]))
    if box.reason:
        lines.append(box.reason)
    if box.holds:
        lines.append(", ".join(box.holds))
    return "\n".join(lines)


def _box(box: Box, texts: tuple[str, str], drawing: Drawing, goal: bool) -> str:
    x, y, width, height = drawing.boxes[box.name]
    marks = [("goal", goal), ("group", bool(box.holds)), ("ran", bool(box.ran)), (box.state.replace(" ", "-"), True)]
    style = " ".join(mark for mark, is_so in marks if is_so)
    name, rest = texts
    state, facts = rest[: len(box.state)], rest[len(box.state) :]
    bold = name[: len(box.name)] if name.startswith(box.name) else name
    return (
        f'<g class="{style}"><title>{clean(_tooltip(box))}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5"/>'
        f'<rect class="bar" x="{x + 1:.1f}" y="{y + 5:.1f}" width="4" height="{height - 10:.1f}" rx="2"/>'
        f'<text x="{x + _PADDING:.1f}" y="{y + 18:.1f}">'
        f'<tspan class="n">{clean(bold)}</tspan>{clean(name[len(bold) :])}</text>'
        f'<text x="{x + _PADDING:.1f}" y="{y + 34:.1f}"><tspan class="s">{state}</tspan>{clean(facts)}</text></g>'
    )


def _line(line: Line) -> str:
    (x1, y1), (x2, y2) = line.start, line.end
    middle = (x1 + x2) / 2
    curve = f"H{x2:.1f}" if y1 == y2 else f"C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    tip = ' marker-end="url(#tip)"' if line.tip else ""
    title = f"{line.source or '…'} {KINDS[line.kind]} {line.target or '…'}"
    path = f'<path class="e {line.kind}" d="M{x1:.1f} {y1:.1f}{curve}"{tip}>'
    return f"{path}<title>{clean(title)}</title></path>"


def _legend(picture: Picture) -> Iterator[str]:
    """A line with the states and the kinds of edges that are in the picture."""
    x = 24.0
    for state in STATES:
        if count := picture.count(state):
            text = f"{count} {state}"
            yield (
                f'<g class="{state.replace(" ", "-")}"><title>{STATES[state]}</title><rect class="bar" x="{x:.0f}" '
                f'y="44" width="4" height="14" rx="2"/><text class="s" x="{x + 10:.0f}" y="56">{text}</text></g>'
            )
            x += 34 + _CHARACTER * len(text)
    for kind, text in KINDS.items():
        if any(edge.kind == kind for edge in strongest(picture.edges)):
            yield (
                f'<path class="e {kind}" d="M{x:.0f} 51h34" marker-end="url(#tip)"/>'
                f'<text x="{x + 42:.0f}" y="56">{text}</text>'
            )
            x += 66 + _CHARACTER * len(text)
