"""Progress on stderr: a live view on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import seconds_text
from orchestrator.events import (
    Event,
    Fetched,
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
    from orchestrator.cli.estimate import Estimate
    from orchestrator.cli.fetches import Fetches

_BAD = ("failed", "differs")
_OUTCOMES = {
    "built": "built",
    "packed": "packed",
    "same": "same bytes",
    "checked": "check passed",
    "identical": "identical again",
    "differs": "DIFFERS",
}


def finished_text(event: StepFinished) -> str:
    """`built           libfabric  2 min 05 s  (why)`. Why something failed is told at the end, in full."""
    kind, _, name = event.step.partition(" ")
    text = f"{_OUTCOMES.get(event.outcome, f'{kind} FAILED'):<15} {name}"
    if event.seconds >= 0.05:
        text += f"  {seconds_text(event.seconds)}"
    return f"{text}  ({event.detail})" if event.detail and event.outcome != "failed" else text


class PlainView:
    """One line an event, no colour, no control characters: logs and CI."""

    def __init__(self, fetches: Fetches) -> None:
        self._lock = threading.Lock()
        self._fetches = fetches

    def __call__(self, event: Event) -> None:
        with self._lock:
            for line in self._lines(event):
                print(harmless(line), file=sys.stderr, flush=True)

    def _lines(self, event: Event) -> list[str]:
        match event:
            case FetchProgress():
                return self._fetches.take(event)
            case Fetched():
                return self._fetches.here(event.source)
            case StepStarted():
                return [f"{event.step} ..."]
            case StepPhase():
                return [f"{event.step}: {event.phase}"]
            case StepWaiting():
                return [f"{event.step}: waiting for another process that makes it"]
            case StepFinished():
                return [finished_text(event)]
            case Notice():
                return [f"note: {event.text}"]
        return []


@dataclass(slots=True)
class Running:
    """A step that is running: since when, in which phase, what it printed last."""

    began: float
    phase: str = ""
    line: str = ""


class LiveView:
    """Running steps with phase, time and last line, redrawn in place; what is finished scrolls up."""

    def __init__(self, console: Console, fetches: Fetches, expected: set[str], estimate: Estimate | None) -> None:
        self._console = console
        self._fetches = fetches
        self._estimate = estimate
        self._expected = expected
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._ended: set[str] = set()
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        with self._lock:
            said = self._take(event)
        # Not under the lock: printing waits for the thread that draws, which waits for the lock.
        for line, style in said:
            self._console.print(harmless(line), style=style, markup=False, highlight=False, soft_wrap=True)

    def _take(self, event: Event) -> list[tuple[str, str]]:
        """Note the event; what scrolls up because of it, with its style."""
        match event:
            case FetchProgress():
                self._fetches.take(event)
            case Fetched():
                return [(line, "green") for line in self._fetches.here(event.source)]
            case StepStarted():
                self._running[event.step] = Running(began=time.monotonic())
                self._expected.add(event.step)
            case StepPhase() if event.step in self._running:
                self._running[event.step].phase = harmless(event.phase)
            case StepOutput() if event.step in self._running:
                self._running[event.step].line = event.line
            case StepWaiting():
                self._running[event.step] = Running(began=time.monotonic(), phase="waits for another process")
            case StepFinished():
                self._running.pop(event.step, None)
                self._ended.add(event.step)
                return [(finished_text(event), "bold red" if event.outcome in _BAD else "green")]
            case Notice():
                return [(f"note: {event.text}", "yellow")]
        return []

    def _left(self, now: float) -> str:
        if self._estimate is None:
            return ""
        ended = frozenset(step.removeprefix("build ") for step in self._ended)
        running = {step.removeprefix("build "): now - one.began for step, one in self._running.items()}
        text = self._estimate.text(ended, running)
        return f", {text} of building left" if text else ""

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        def line(text: str, style: str = "") -> Text:
            return Text(text, style=style, no_wrap=True, overflow="ellipsis")

        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, overflow="ellipsis", style="cyan")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        now = time.monotonic()
        with self._lock:
            for step, one in self._running.items():
                last = harmless(one.line).expandtabs(1)
                table.add_row(step, Text(one.phase), seconds_text(now - one.began, tenths=False), Text(last))
            rows: list[RenderableType] = [table] if self._running else []
            if self._fetches.running:
                rows.append(line(f"fetch  {self._fetches.text}"))
            done = len(self._ended & self._expected)
            count = f"{done} of {len(self._expected)} done in " if self._expected else ""
            took = seconds_text(now - self._began, tenths=False)
            rows.append(line(f"{count}{took}{self._left(now)}", "bold"))
        return Group(*rows)


def _is_live() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def view(headline: str, fetches: Fetches, expected: set[str], estimate: Estimate | None = None) -> Iterator[Monitor]:
    """The Monitor that suits stderr, shown while the block runs. `expected` holds the names of steps that will run."""
    if not headline:  # there is nothing to look at
        yield PlainView(fetches)
        return
    if not _is_live():
        print(headline, file=sys.stderr, flush=True)
        yield PlainView(fetches)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    console.print(headline, style="bold", highlight=False, markup=False, soft_wrap=True)
    live = LiveView(console, fetches, expected, estimate)
    with Live(live, console=console, refresh_per_second=8, transient=True, redirect_stdout=False):
        yield live


@contextmanager
def progress(plan: Plan, estimate: Estimate | None = None) -> Iterator[Monitor]:
    """The view of a plan that is carried out."""
    from orchestrator.cli.fetches import Fetches
    from orchestrator.cli.plan import headline

    missing = {source.name for source in plan.fetch}
    steps = [step for step in plan.steps if not step.maybe and step.action != "reuse"]
    builds = [step.node for step in steps if step.action == "build"]
    wanted = [(node.name, source) for node in builds for source in node.sources if source.name in missing]
    text = headline(plan, estimate.text() if estimate else "")
    with view(text, Fetches(wanted), {step.name for step in steps}, estimate) as monitor:
        yield monitor
