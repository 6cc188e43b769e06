"""The live view: a tree of what runs under what waits for it, with phase, time and last line, and a total below.

Events only change the state; a thread of the view's own draws it, eight times a second. So a step that prints much, or
a terminal that stands still, slows no build.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.cells import cell_len

from orchestrator.cli.complaint import harmless
from orchestrator.cli.fetches import Group
from orchestrator.cli.numbers import bytes_text, rough_text, seconds_text
from orchestrator.cli.view.foreseen import node_of
from orchestrator.cli.view.rows import Row, tree_rows
from orchestrator.cli.view.screen import Line, Screen, cut
from orchestrator.cli.view.state import Said, State
from orchestrator.events import Event

_APART = 0.125  # seconds between two drawings
_DRAWN_PER_FORECAST = 8
_LEAST_ROWS = 4
_WIDE = 60  # columns from which there is room for how long a step took last time
_LEAST_SAID = 15  # columns; less of what a step printed last says nothing


class LiveView:
    """A Monitor that draws. `close` takes the drawing away and leaves what was said."""

    def __init__(self, screen: Screen, state: State) -> None:
        self._screen = screen
        self._state = state
        self._lock = threading.Lock()
        self._said: list[Said] = []
        self._left = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_over, name="view", daemon=True)

    def __call__(self, event: Event) -> None:
        with self._lock:
            said = self._state.take(event)
            if said:
                self._said += said

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def close(self) -> None:
        """Draw no more; the terminal is as it was, with what was said."""
        self._over.set()
        self._thread.join()
        self._screen.close(self._take_said())

    def _take_said(self) -> list[Said]:
        with self._lock:
            said, self._said = self._said, []
        return [(harmless(text), style) for text, style in said]

    def _draw_until_over(self) -> None:
        drawn = 0
        while True:
            if drawn % _DRAWN_PER_FORECAST == 0:
                self._forecast()
            drawn += 1
            said = self._take_said()
            with self._lock:
                frame = frame_of(self._state, self._left, *self._screen.size())
            self._screen.draw(said, frame)
            if self._over.wait(_APART):
                return

    def _forecast(self) -> None:
        """Not under the lock: for thousands of steps it takes its time."""
        with self._lock:
            times = self._state.times()
        estimate = self._state.foreseen.estimate
        text = estimate.text(*times) if estimate is not None else ""
        self._left = f"{text} left" if text.startswith(("about", "at least")) else text


def frame_of(state: State, left: str, columns: int, rows: int) -> list[Line]:
    """What is drawn of a run's state on a terminal of this size: a tree that fits, else a list of what runs longest.

    `left` says how long it will still take.
    """
    room = max(_LEAST_ROWS, rows * 2 // 3) - 1  # beside the total
    steps = {node_of(step): step for step in state.running}  # of two of one node, the later
    groups = {group.name: group for group in state.fetches.groups_running()}
    names = list(dict.fromkeys((*steps, *groups)))
    tree = tree_rows(names, state.wanted_by, state.has_ended)
    more = 0
    if len(tree) > room:
        names.sort(key=lambda name: state.running[steps[name]].began if name in steps else groups[name].began or 0.0)
        kept = names if len(names) <= room else names[: room - 1]
        more = len(names) - len(kept)
        tree = [Row(prefix="", nodes=(name,), runs=True) for name in kept]
    cells = [_cells(row, state, steps, groups, wide=columns >= _WIDE) for row in tree]
    frame: list[Line] = list(_columns(cells, columns))
    if more:
        frame.append([(f"and {more} more running", "dim")])
    frame.append([(_total(state, left, len(names), columns - 1), "bold")])
    return frame


Cells = tuple[str, str, str, str, str]  # before the name, the name, phase, time, last line
_WAITING, _LATE = "waits", "late"


def _cells(row: Row, state: State, steps: dict[str, str], groups: dict[str, Group], *, wide: bool) -> tuple[Cells, str]:
    """The texts of a row, and what it is: waiting, late or neither."""
    node = row.nodes[-1]
    if not row.runs:
        chain = row.nodes if len(row.nodes) <= 3 else (row.nodes[0], f"{len(row.nodes) - 2} more", node)
        return (row.prefix, " › ".join(chain), "", "", ""), _WAITING
    now = state.clock()
    if node not in steps:
        group = groups[node]
        took = seconds_text(now - (group.began or now), tenths=False)
        detail = f"{bytes_text(round(group.rate(now)))}/s, {len(group.here)} of {len(group.sizes)} sources"
        came = group.bytes_text if wide else bytes_text(sum(group.done.values()))
        return (row.prefix, node, f"fetch {came}", took, detail), ""
    step = steps[node]
    kind, one = step.partition(" ")[0], state.running[step]
    phase = harmless(one.phase) or {"layer": "pack"}.get(kind, kind)
    if kind in ("check", "rebuild") and one.phase:
        phase = f"{kind}: {phase}"
    time = seconds_text(now - one.began, tenths=False)
    seconds = state.foreseen.seconds.get(step)
    if seconds is not None and wide and seconds >= 1:
        time += f" of ~{rough_text(seconds)}"
    cells = (row.prefix, node, phase, time, harmless(one.line).expandtabs(1).strip())
    return cells, _LATE if state.is_overdue(step) else ""


def _columns(rows: Sequence[tuple[Cells, str]], columns: int) -> list[Line]:
    """The rows with their columns aligned; names and phases give way where the terminal is narrow."""
    if not rows:
        return []
    working = [cells for cells, kind in rows if kind != _WAITING]
    names = max((cell_len(cells[0]) + cell_len(cells[1]) for cells in working), default=0)
    phases = max((cell_len(cells[2]) for cells in working), default=0)
    times = max((cell_len(cells[3]) for cells in working), default=0)
    spare = columns - 1 - times - 4
    phases = min(phases, 24, max(spare // 2, spare - names))
    names = min(names, 40, max(spare - phases, 6))
    says = spare - names - phases >= _LEAST_SAID
    lines: list[Line] = []
    for (prefix, name, phase, time, last), kind in rows:
        if kind == _WAITING:
            lines.append([(prefix, "dim"), (name, "dim")])
            continue
        name, phase = cut(name, names - cell_len(prefix)), cut(phase, phases)
        lines.append(
            [
                (prefix, "dim"),
                (name + " " * (names - cell_len(prefix) - cell_len(name) + 2), "bold"),
                (phase + " " * (phases - cell_len(phase) + 2), "cyan"),
                (time.rjust(times), "yellow" if kind == _LATE else ""),
                (f"  {last}" if last and says else "", "dim"),
            ]
        )
    return lines


def _total(state: State, left: str, running: int, width: int) -> str:
    """`3 of 12 done, 2 running, 1 min 05 s, about 3 min left`, or as much of it as there is room for."""
    took = seconds_text(state.clock() - state.began, tenths=False)
    ending = f"{took}, {left}" if left else took
    if not state.expected:
        return ending
    count = f"{state.done} of {len(state.expected)}"
    perhaps = f" (perhaps {state.perhaps} more)" if state.perhaps else ""
    runs = f", {running} running" if running else ""
    failed = f", {len(state.failed)} failed" if state.failed else ""
    texts = (
        f"{count} done{perhaps}{failed}{runs}, {ending}",
        f"{count} done{failed}{runs}, {ending}",
        f"{count} done{failed}, {ending}",
    )
    return next((text for text in texts if cell_len(text) <= width), f"{count}{failed}, {ending}")
