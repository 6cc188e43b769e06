"""What is told while something runs: plain lines, the live view, what is fetched, how long it will take."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
from cli_project import REPOSITORY

from orchestrator.build.plan import Plan, Step
from orchestrator.cli.fetches import Fetches
from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.cli.plan import headline
from orchestrator.cli.view.plain import PlainView
from orchestrator.cli.view.said import finished_text
from orchestrator.events import (
    Event,
    Fetched,
    FetchProgress,
    Notice,
    StepFinished,
    StepOutput,
    StepPhase,
    StepStarted,
    StepWaiting,
)
from orchestrator.graph.derivation import Node, Source


def node(name: str, *needs: str, version: str = "1", script: str = "make") -> Node:
    return Node(
        name=name,
        version=version,
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
        script=script,
        build=needs,
        runtime=(),
    )


def plan(*steps: Step, fetch: tuple[Source, ...] = (), there: tuple[str, ...] = ()) -> Plan:
    return Plan(steps=steps, fetch=fetch, done=(), there=there)


def build(name: str, *needs: str, maybe: bool = False) -> Step:
    return Step(action="build", node=node(name, *needs), maybe=maybe)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_headline() -> None:
    size = Source(name="pypi:a/a.whl", file_name="a.whl", size=41_000_000)
    beside = Source(name="file:a.txt", file_name="a.txt")
    check = Step(action="check", node=node("a"))
    steps = (build("a"), build("b"), build("c", maybe=True), check)
    assert headline(plan(*steps, fetch=(size, beside), there=("d",)), "about 4 min") == (
        "2 to build, perhaps 1 more, 1 to check, about 4 min; 1 there already; 1 to fetch, 41 MB"
    )
    assert headline(plan()) == "nothing to do"


@pytest.mark.parametrize(
    ("seconds", "text", "whole"),
    [
        (0.04, "0.0 s", "0 s"),
        (9.94, "9.9 s", "10 s"),
        (9.96, "10 s", "10 s"),
        (59.7, "1 min 00 s", "1 min 00 s"),
        (185, "3 min 05 s", "3 min 05 s"),
        (3720, "1 h 02 min", "1 h 02 min"),
        (3_599_999, "999 h 59 min", "999 h 59 min"),
        (3_600_000, "> 1000 h", "> 1000 h"),
        (1e308, "> 1000 h", "> 1000 h"),
        (1e308 * 10, "> 1000 h", "> 1000 h"),
    ],
)
def test_seconds(seconds: float, text: str, whole: str) -> None:
    assert (seconds_text(seconds), seconds_text(seconds, tenths=False)) == (text, whole)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (41_000_000, "41 MB")])
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


# -- what is fetched ------------------------------------------------------------------------------------------------


def debs(count: int, size: int = 1_000_000) -> list[tuple[str, Source]]:
    return [("base", Source(name=f"debian:p/{n}.deb", file_name=f"{n}.deb", size=size)) for n in range(count)]


def test_many_sources_are_two_lines() -> None:
    clock = Clock()
    fetches = Fetches(debs(93), clock=clock)
    said = []
    for number in range(93):
        clock.now += 0.25
        name = f"debian:p/{number}.deb"
        for done in (500_000, 1_000_000):
            said += fetches.take(FetchProgress(source=name, done=done, total=1_000_000))
        assert fetches.running
        said += fetches.here(name)
        said += fetches.here(name)  # told twice: two steps want it
    assert said == ["fetch base: 93 sources, 93 MB ...", "fetched         base  23 s  (93 sources, 93 MB)"]
    assert not fetches.running


def test_bytes_and_rate() -> None:
    clock = Clock()
    fetches = Fetches(debs(3, size=8_000_000), clock=clock)
    for second in range(1, 4):
        clock.now = float(second)
        fetches.take(FetchProgress(source="debian:p/0.deb", done=second * 2_000_000, total=8_000_000))
    (group,) = fetches.groups_running()
    assert (group.bytes_text, round(group.rate(clock.now), -5), fetches.came) == (
        "6.0 MB of 24 MB",
        2_000_000,
        6_000_000,
    )
    fetches.here("debian:p/0.deb")
    clock.now = 60.0
    assert (len(group.here), group.rate(clock.now)) == (1, 0)  # nothing came for long


def test_what_another_process_fetched_or_lies_beside_is_nothing_to_tell() -> None:
    beside = ("lib", Source(name="file:lib.txt", file_name="lib.txt"))
    fetches = Fetches([*debs(1), beside])
    assert [*fetches.here("debian:p/0.deb"), *fetches.here("file:lib.txt"), *fetches.here("pypi:x/x.whl")] == []
    assert not fetches.running


def test_what_nobody_foresaw_is_told_by_its_name() -> None:
    fetches = Fetches([])
    assert fetches.take(FetchProgress(source="pypi:x/x.whl", done=5, total=10)) == ["fetch x.whl: 1 source, 10 B ..."]
    assert fetches.here("pypi:x/x.whl")[0].endswith("(1 source, 10 B)")


# -- views ----------------------------------------------------------------------------------------------------------

EVENTS: list[Event] = [
    FetchProgress(source="debian:p/0.deb", done=1_000_000, total=1_000_000),
    Fetched(source="debian:p/0.deb"),
    StepStarted(step="build a"),
    StepWaiting(step="build b"),
    StepPhase(step="build a", phase="configure"),
    StepOutput(step="build a", line="\x1b[31mchecking\x1b[0m\tfor \x07cc"),
    Notice(text="a thing \x1b[2Jto know"),
    StepFinished(step="build a", outcome="built", seconds=125.0),
    StepFinished(step="build b", outcome="same", detail="made by another process"),
    StepStarted(step="check a"),
    StepOutput(step="check a", line="ok"),
    StepFinished(step="check a", outcome="checked", seconds=0.7),
    StepFinished(step="fetch x.whl", outcome="failed", detail="cannot fetch x.whl"),
    StepFinished(step="rebuild a", outcome="differs", detail="1 file"),
]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView(Fetches(debs(1), clock=Clock()))
    for event in EVENTS:
        view(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err
        == """\
fetch base: 1 source, 1.0 MB ...
fetched         base  0.0 s  (1 source, 1.0 MB)
build a ...
build b: waiting for another process that makes it
build a: configure
a> checking\tfor cc
note: a thing to know
built           a  2 min 05 s
same bytes      b  (made by another process)
check a ...
check a> ok
check passed    a  0.7 s
fetch FAILED    x.whl
DIFFERS         a  (1 file)
"""
    )


def test_a_failure_is_told_in_full_at_the_end_only() -> None:
    assert finished_text(StepFinished(step="build a", outcome="failed", detail="why")) == "build FAILED    a"


LIVE = """
import sys, threading
from orchestrator.cli.fetches import Fetches
from orchestrator.cli.progress import view
from orchestrator.events import StepFinished, StepOutput, StepStarted
def work(number, tell):
    for turn in range(60):
        step = f"build {number}.{turn}"
        tell(StepStarted(step=step))
        for line in range(20):
            tell(StepOutput(step=step, line=f"{line}" * 50))
        tell(StepFinished(step=step, outcome="built", seconds=1))
with view("120 to build", Fetches([])) as monitor:
    threads = [threading.Thread(target=work, args=(n, monitor)) for n in (1, 2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("/a/path")
"""


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_on_a_terminal(term: str) -> None:
    """The view never stands still, whoever prints while it is drawn; stdout stays clean."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE],
        stdin=inner,
        stdout=subprocess.PIPE,
        stderr=inner,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": term, "COLUMNS": "60", "NO_COLOR": "1"},
    )
    os.close(inner)
    said = bytearray()

    def read() -> None:
        while True:
            try:
                said.extend(os.read(outer, 65536))
            except OSError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    reader.join()
    os.close(outer)
    assert (process.returncode, out) == (0, b"/a/path\n")
    text = said.decode()
    assert "120 to build" in text.partition("\n")[0]
    assert len(re.findall(r"built +\d\.\d+  1\.0 s", text)) == 120
    assert ("\x1b" in text) == (term != "dumb")
    assert "\x1b[3" not in text  # no colour where none is wanted
