"""The live view: its tree, its rows on terminals of all sizes, its honesty, what it writes; and JSON lines."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orchestrator.cli.fetches import Fetches
from orchestrator.cli.view.foreseen import Foreseen, foreseen, node_of
from orchestrator.cli.view.json_lines import JsonView
from orchestrator.cli.view.live import frame_of
from orchestrator.cli.view.rows import tree_rows
from orchestrator.cli.view.screen import Line, Screen, cut, fit
from orchestrator.cli.view.state import State
from orchestrator.events import (
    FetchProgress,
    Notice,
    StepFinished,
    StepOutput,
    StepPhase,
    StepsAdded,
    StepStarted,
)
from orchestrator.graph.derivation import Graph, Node, Source


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(running: list[str], wanted_by: dict[str, str], ended: frozenset[str] = frozenset()) -> list[str]:
    return [f"{row.prefix}{' › '.join(row.nodes)}" for row in tree_rows(running, wanted_by, ended.__contains__)]


def texts(frame: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in frame]


# -- the tree -------------------------------------------------------------------------------------------------------


def test_what_runs_stands_under_what_waits_for_it() -> None:
    wanted_by = {"rdma": "ucx", "numa": "ucx", "ucx": "nixl", "cuda": "nixl"}
    assert drawn(["rdma", "cuda", "numa"], wanted_by) == ["nixl", "├─ ucx", "│  ├─ rdma", "│  └─ numa", "└─ cuda"]


def test_a_chain_that_waits_for_one_thing_is_one_line() -> None:
    assert drawn(["d"], {"d": "c", "c": "b", "b": "a"}) == ["a › b › c", "└─ d"]


def test_what_ended_waits_for_nothing() -> None:
    assert drawn(["c"], {"c": "b", "b": "a"}, frozenset({"b"})) == ["a", "└─ c"]
    assert drawn(["c"], {"c": "b", "b": "a"}, frozenset({"a", "b"})) == ["c"]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh")))
def test_whatever_waits_for_whom_each_that_runs_has_one_line(wanted_by: dict[str, str], running: set[str]) -> None:
    rows = tree_rows(sorted(running), wanted_by, lambda node: False)
    assert sorted(row.nodes[0] for row in rows if row.runs) == sorted(running)
    named = [node for row in rows for node in row.nodes]
    assert len(named) == len(set(named))


def node(name: str, *needs: str, runtime: tuple[str, ...] = ()) -> Node:
    return Node(
        name=name,
        version="1",
        origin="source",
        platform="x86_64-linux",
        summary="",
        builder="script",
        is_base=False,
        options=(),
        flags=(),
        sources=(),
        patches=(),
        files=(),
        script="",
        build=needs,
        runtime=runtime,
    )


def test_the_nearest_dependent_waits() -> None:
    from orchestrator.build.plan import Plan, Step

    nodes = (node("base"), node("rdma", "base"), node("ucx", "rdma", "base"), node("stub", "base"))
    nodes = (*nodes, node("nixl", "ucx", "rdma", "base", runtime=("stub", "base")))
    graph = Graph(goals=("nixl",), nodes=nodes, options=())
    plan = Plan(steps=tuple(Step(action="build", node=one) for one in nodes[1:]), fetch=(), done=())
    found = foreseen(plan, graph, image="demo")
    assert found.wanted_by == {"rdma": "ucx", "ucx": "nixl", "stub": "nixl", "nixl": "demo"}
    assert found.steps == {"build rdma", "build ucx", "build stub", "build nixl", "image demo"}


# -- the rows -------------------------------------------------------------------------------------------------------


def state(count: int = 2, **more: object) -> State:
    clock = Clock()
    wanted_by = {f"node-{n}": "goal" for n in range(count)}
    steps = frozenset({*(f"build node-{n}" for n in range(count)), "build goal"})
    expected = Foreseen(steps=steps, wanted_by=wanted_by, **more)  # type: ignore[arg-type]
    made = State(expected, Fetches([], clock=clock), clock)
    for n in range(count):
        made.take(StepStarted(step=f"build node-{n}"))
        made.take(StepPhase(step=f"build node-{n}", phase="configure"))
        made.take(StepOutput(step=f"build node-{n}", line=f"checking for thing {n}\tin \x1b[31mplace"))
    clock.now = 65.0
    return made


def test_a_wide_terminal() -> None:
    one = state(seconds={"build node-0": 120.0, "build node-1": 30.0}, maybe=frozenset({"check goal"}))
    assert texts(frame_of(one, "at least 55 s left", 100, 30)) == [
        "goal",
        "├─ node-0  configure  1 min 05 s of ~2 min  checking for thing 0 in place",
        "└─ node-1  configure   1 min 05 s of ~30 s  checking for thing 1 in place",
        "0 of 3 done (perhaps 1 more), 2 running, 1 min 05 s, at least 55 s left",
    ]


def test_what_takes_longer_than_last_time_is_marked() -> None:
    frame = frame_of(state(seconds={"build node-0": 120.0, "build node-1": 30.0}), "", 100, 30)
    assert [line[3][1] for line in frame[1:3]] == ["", "yellow"]


@pytest.mark.parametrize("columns", [20, 32, 40, 60, 80, 200])
@pytest.mark.parametrize("rows", [5, 10, 24])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_it_fits_and_tells_how_many_run(columns: int, rows: int, count: int) -> None:
    frame = frame_of(state(count), "about 3 min left", columns, rows)
    assert len(frame) <= max(4, rows * 2 // 3)
    assert all(fit(line, columns - 1).cell_len < columns for line in frame)
    shown = sum(re.match("(?:[├└]─ )?no", text) is not None for text in texts(frame))
    more = re.search(r"and (\d+) more running", "\n".join(texts(frame)))
    assert shown + (int(more[1]) if more else 0) == count
    assert not any("\x1b" in text or "\t" in text for text in texts(frame))


def test_a_narrow_terminal_keeps_name_phase_time_and_total() -> None:
    assert texts(frame_of(state(), "about 3 min left", 40, 15)) == [
        "goal",
        "├─ node-0  configure  1 min 05 s",
        "└─ node-1  configure  1 min 05 s",
        "0 of 3, 1 min 05 s, about 3 min left",
    ]


def test_a_fetch_is_a_row_with_bytes_and_rate() -> None:
    clock = Clock()
    wanted = [("ucx", Source(name=f"pypi:x/{n}.whl", file_name=f"{n}.whl", size=20_000_000)) for n in range(2)]
    one = State(Foreseen(steps=frozenset({"build ucx"})), Fetches(wanted, clock=clock), clock)
    for second in range(1, 4):
        clock.now = float(second)
        one.take(FetchProgress(source="pypi:x/0.whl", done=second * 4_000_000, total=20_000_000))
    assert texts(frame_of(one, "", 100, 30)) == [
        "ucx  fetch 12 MB of 40 MB  2 s  4.0 MB/s, 0 of 2 sources",
        "0 of 1 done, 1 running, 3 s",
    ]


def test_what_failed_is_not_done_and_layers_join_when_they_are_known() -> None:
    one = State(Foreseen(steps=frozenset({"build a", "image demo"})), Fetches([]), Clock())
    one.take(StepsAdded(steps=("layer a", "layer b"), wanted_by="demo"))
    one.take(StepStarted(step="image demo"))
    one.take(StepStarted(step="layer a"))
    assert one.take(StepFinished(step="build a", outcome="failed")) == [("build FAILED    a", "bold red")]
    assert texts(frame_of(one, "", 80, 24)) == [
        "demo        image  0 s",
        "└─ layer a  pack   0 s",
        "0 of 4 done, 1 failed, 2 running, 0 s",
    ]


def test_steps_and_their_nodes() -> None:
    assert [node_of(step) for step in ("build a", "check a", "layer a b", "run x")] == ["a", "a", "layer a b", "x"]


# -- the terminal ---------------------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.integers(0, 30))
def test_cut_text_is_never_too_wide(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width


class Terminal(io.StringIO):
    """What is written to it, and the rows that a person would see."""

    encoding = "utf-8"

    def rows(self) -> list[str]:
        lines, at = [""], 0
        for part in re.findall(r"\x1b\[\??[0-9;]*[A-Za-z]|[^\x1b\n\r]+|\n|\r", self.getvalue()):
            if part == "\n":
                at += 1
                lines += [""] * (at + 1 - len(lines))
            elif part.startswith("\x1b"):
                if part.endswith("A"):
                    at -= int(part[2:-1])
                elif part.endswith("K"):
                    lines[at] = ""
            elif part != "\r":
                lines[at] += part
        return lines


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def to(columns: int) -> None:
        monkeypatch.setattr(Screen, "size", lambda self: (columns, 24))

    to(80)
    return to


@pytest.mark.usefixtures("sized")
def test_what_is_said_scrolls_up_and_nothing_else_stays() -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    screen.draw([], [[("one", "")], [("two", "bold")]])
    screen.draw([("said", "red")], [[("three", "")], [("four", "")], [("five", "")]])
    assert terminal.rows() == ["said", "three", "four", "five"]
    before = terminal.getvalue()
    screen.draw([], [[("three", "")], [("four", "")], [("five", "")]])
    assert terminal.getvalue() == before  # the same again is not written
    screen.draw([], [[("six", "")]])
    screen.close([("the end", "")])
    assert [row for row in terminal.rows() if row] == ["said", "the end"]
    assert terminal.getvalue().endswith("\x1b[?25h\x1b[?2026l")  # the cursor is there again


def test_a_terminal_made_narrower_has_broken_lines(sized: Callable[[int], None]) -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    screen.draw([], [[("x" * 70, "bold")], [("y" * 30, "")]])
    sized(40)
    screen.draw([], [[("z", "")]])
    taken_back = terminal.getvalue().rpartition("\r")[2].removesuffix("z\x1b[?2026l")
    assert taken_back == "\x1b[2K" + 2 * "\x1b[1A\x1b[2K"  # 70 columns are two rows now


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("COLORTERM", "truecolor")])
def test_colours_where_they_are_wanted_and_can_be(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("NO_COLOR", "COLORTERM", "FORCE_COLOR"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    Screen(terminal).draw([], [[("bad", "bold red")]])
    coloured = re.search(r"\x1b\[[0-9;]*31m", terminal.getvalue()) is not None
    assert coloured == (name == "COLORTERM")


@pytest.mark.usefixtures("sized")
def test_a_draw_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    written: list[str] = []
    monkeypatch.setattr(terminal, "write", written.append)
    screen.draw([("said", "green"), ("more", "")], [[("one", "dim")], [("two", "bold")]])
    assert len(written) == 1


def test_a_terminal_of_another_encoding(sized: Callable[[int], None]) -> None:
    terminal = Terminal()
    terminal.encoding = "ISO-8859-1"  # type: ignore[misc]
    Screen(terminal).draw([], [[("├─ a › b… 漢é", "")]])
    assert terminal.rows() == ["|- a > b~ ?é"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BrokenPipeError()])
def test_a_terminal_that_is_gone_stops_nothing(error: OSError, sized: Callable[[int], None]) -> None:
    class Gone(Terminal):
        def flush(self) -> None:
            raise error

    screen = Screen(Gone())
    screen.draw([("a", "")], [[("b", "")]])
    screen.close([])


def test_a_size_of_nothing_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((0, 0)))
    monkeypatch.setattr(Terminal, "fileno", lambda self: 2, raising=False)
    monkeypatch.setenv("LINES", "20")
    monkeypatch.setenv("COLUMNS", "60")
    assert Screen(Terminal()).size() == (60, 20)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((50, 10)))
    assert Screen(Terminal()).size() == (50, 10)  # what it is now, whatever was exported


# -- JSON lines -----------------------------------------------------------------------------------------------------


def test_json_lines() -> None:
    said: list[str] = []
    expected = Foreseen(steps=frozenset({"build a"}), seconds={"build a": 4.0}, reasons={"build a": "never built here"})
    view = JsonView("1 to build", expected, said.append)
    view(StepStarted(step="build a"))
    view(StepOutput(step="build a", line="two\nlines\x1b[31m"))
    view(StepFinished(step="build a", outcome="built", seconds=1.5))
    view(StepsAdded(steps=("layer a",), wanted_by="demo"))
    view(Notice(text="a thing"))
    assert not any("\n" in line for line in said)
    documents = [json.loads(line) for line in said]
    assert all(document["schema"] == 1 and document["time"] > 0 for document in documents)
    assert [document["event"] for document in documents] == [
        "run-started",
        "step-started",
        "step-output",
        "step-finished",
        "steps-added",
        "notice",
    ]
    assert documents[0]["steps"] == ["build a"]
    assert (documents[1]["expected"], documents[1]["reason"]) == (4.0, "never built here")
    assert (documents[3]["outcome"], documents[3]["seconds"]) == ("built", 1.5)


def test_every_event_has_a_name() -> None:
    from typing import get_args

    from orchestrator.cli.view.json_lines import _NAMES
    from orchestrator.events import Event

    assert set(_NAMES) == set(get_args(Event))
