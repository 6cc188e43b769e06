"""Progress on stderr: a live view on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.cli.plan import headline
from orchestrator.events import (
    Event,
    FetchProgress,
    Monitor,
    Notice,
    StepFinished,
    StepOutput,
    StepPhase,
    StepStarted,
    StepWaiting,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from orchestrator.build.plan import Plan

QUIET_FETCHES = ("fetch ",)  # a base has hundreds of sources: plain lines count them instead of naming them


@dataclass(slots=True)
class Running:
    """A step that is running: since when, in which phase, what it printed last."""

    began: float
    phase: str = ""
    line: str = ""


class View(Protocol):
    def __call__(self, event: Event) -> None: ...


def finished_text(event: StepFinished) -> str:
    """`built libfabric in 2 min 05 s (same bytes as before)`."""
    step, _, name = event.step.partition(" ")
    words = {"built": "built", "same": "same bytes", "checked": "check passed", "failed": f"{step} FAILED",
             "identical": "identical again", "differs": "DIFFERS"}  # fmt: skip
    text = f"{words.get(event.outcome, event.outcome):<15} {name}"
    if event.seconds >= 0.05:
        text += f"  {seconds_text(event.seconds)}"
    return f"{text}  ({event.detail})" if event.detail else text


class PlainView:
    """One line an event, no colour, no control characters: logs and CI."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched = 0

    def _print(self, text: str) -> None:
        with self._lock:
            print(text, file=sys.stderr, flush=True)

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted():
                self._print(f"{event.step} ...")
            case StepPhase():
                self._print(f"{event.step}: {event.phase}")
            case StepWaiting():
                self._print(f"{event.step}: waiting for another process that makes it")
            case StepFinished():
                self._print(finished_text(event))
            case Notice():
                self._print(f"note: {event.text}")
            case _:
                pass


class LiveView:
    """Running steps with phase, time and last line, redrawn in place; what is finished scrolls up."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._fetches: dict[str, FetchProgress] = {}
        self._finished = 0
        self._expected = plan.count("build") + plan.count("check")
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case StepStarted():
                self._running[event.step] = Running(began=time.monotonic())
            case StepPhase() if event.step in self._running:
                self._running[event.step].phase = event.phase
            case StepOutput() if event.step in self._running:
                self._running[event.step].line = event.line
            case StepWaiting():
                waiting = Running(began=time.monotonic(), phase="waits for another process")
                self._running[event.step] = waiting
            case FetchProgress():
                self._fetches[event.source] = event
                if event.total is not None and event.done >= event.total:
                    del self._fetches[event.source]
            case StepFinished():
                self._running.pop(event.step, None)
                self._finished += 1
                style = "bold red" if event.outcome in ("failed", "differs") else "green"
                self._console.print(finished_text(event), style=style, markup=False, highlight=False)
            case Notice():
                self._console.print(f"note: {event.text}", style="yellow", markup=False, highlight=False)
            case _:
                pass

    def __rich__(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, style="dim", ratio=1, overflow="ellipsis")
        now = time.monotonic()
        with self._lock:
            for step, running in self._running.items():
                since = seconds_text(now - running.began)
                table.add_row(Text(step), Text(running.phase), since, Text(running.line))
            fetches = list(self._fetches.values())
            done = f"{self._finished} of {self._expected} done" if self._finished <= self._expected else ""
        if fetches:
            total = sum(fetch.total or 0 for fetch in fetches)
            table.add_row(
                f"fetch {len(fetches)} source{'s' if len(fetches) > 1 else ''}", "",
                "", f"{bytes_text(sum(f.done for f in fetches))} of {bytes_text(total)}",
            )  # fmt: skip
        table.add_row(Text(done, style="bold"), "", seconds_text(now - self._began), "")
        return table


@contextmanager
def progress(plan: Plan) -> Iterator[Monitor]:
    """The Monitor that suits stderr, shown while the block runs."""
    if not sys.stderr.isatty():
        print(headline(plan), file=sys.stderr)
        yield PlainView()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    console.print(headline(plan), style="bold", highlight=False)
    view = LiveView(console, plan)
    with Live(view, console=console, refresh_per_second=8, transient=True):
        yield view
