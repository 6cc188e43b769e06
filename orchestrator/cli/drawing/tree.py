"""A picture of a graph as a tree of lines, as terminals show it. Pure.

What needs several things is unfolded where it is met first; elsewhere it says so. A branch that is dashed leads to what
its parent is only built (or checked) with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.cli.complaint import harmless
from orchestrator.cli.drawing.picture import Box, Picture, State, needs_of
from orchestrator.frozen import frozen, replace

_COLOURS: dict[State, str] = {
    "in store": "32",
    "to check": "36",
    "to build": "34",
    "to fetch": "35",
    "perhaps": "36",
    "failed": "1;31",
    "not locked": "33",
    "absent": "2",
}
_BRANCH = {"runtime": "─ ", "build": "╌ ", "check": "┄ "}


@frozen
class _Row:
    lead: str
    box: Box
    note: str = ""  # instead of its facts
    again: bool = False  # it stands above already


def tree_lines(picture: Picture, *, colour: bool, depth: int | None = None, width: int | None = None) -> Iterator[str]:
    """The lines. `depth` is how many levels below the roots are unfolded, `width` the characters of a line."""
    rows = _rows(replace(picture, boxes=tuple(map(_plain, picture.boxes))), depth)
    longest = max((len(row.lead) + len(row.box.label) for row in rows), default=0)
    states = max((len(row.box.state) for row in rows), default=0)
    for row in rows:
        box = row.box
        pad = " " * (longest - len(row.lead) - len(box.label))
        state = f"{box.state:<{states}}"
        facts = row.note or "  ".join([*box.facts(), *([box.reason] if box.reason else [])])
        if width is not None:  # a name is never cut, a reason may be
            room = max(0, width - longest - states - 4)
            if len(facts) > room:
                facts = "…" if row.note else facts[: max(0, room - 1)] + "…"
        if colour:
            lead, facts = f"\x1b[2m{row.lead}\x1b[0m", facts and f"\x1b[2m{facts}\x1b[0m"
            name = box.label if row.again else f"\x1b[1m{box.name}\x1b[0m{box.label[len(box.name) :]}"
            yield f"{lead}{name}{pad}  \x1b[{_COLOURS[box.state]}m{state}\x1b[0m  {facts}".rstrip()
        else:
            yield f"{row.lead}{box.label}{pad}  {state}  {facts}".rstrip()


def _plain(box: Box) -> Box:
    """The box without what would move a cursor or break a line."""
    reason = " ".join(harmless(box.reason).split())
    return replace(box, version=" ".join(harmless(box.version).split()), reason=reason)


def _rows(picture: Picture, depth: int | None) -> list[_Row]:
    boxes = {box.name: box for box in picture.boxes}
    needs = needs_of(picture)
    rows: list[_Row] = []
    seen: set[str] = set()
    todo: list[tuple[str, str, str, int]] = [(root, "", "", 0) for root in reversed(picture.roots)]
    while todo:
        name, lead, below, level = todo.pop()
        more = needs.get(name, [])
        if name in seen:
            rows.append(_Row(lead=lead, box=boxes[name], note="… as above", again=True))
            continue
        if more and level == depth:
            rows.append(_Row(lead=lead, box=boxes[name], note=_more(len(more))))
            continue
        rows.append(_Row(lead=lead, box=boxes[name]))
        seen.add(name)
        children: list[tuple[str, str, str, int]] = []
        for index, edge in enumerate(more):
            last = index == len(more) - 1
            head = f"{below}{'└' if last else '├'}{_BRANCH[edge.kind]}"
            children.append((edge.target, head, below + ("   " if last else "│  "), level + 1))
        todo += reversed(children)
    return rows


def _more(count: int) -> str:
    return f"… needs {count} more" if count > 1 else "… needs one more"


def key_line(picture: Picture) -> str:
    """What the branches mean, of those kinds that are there."""
    words: Sequence[tuple[str, str]] = (
        ("runtime", "runs with"),
        ("build", "only built with"),
        ("check", "checked with"),
    )
    kinds = {edge.kind for edges in needs_of(picture).values() for edge in edges}
    return "   ".join(f"{_BRANCH[kind].strip()}{_BRANCH[kind]}{text}" for kind, text in words if kind in kinds)
