"""What is going on in a run, gathered from its events: which steps run, in which phase, what ended, what was fetched.

Not for several threads at once; it draws nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.cli.fetches import Fetches
from orchestrator.cli.view.foreseen import Foreseen, node_of
from orchestrator.cli.view.said import BAD, finished_text
from orchestrator.events import (
    Event,
    Fetched,
    FetchProgress,
    Notice,
    StepFinished,
    StepOutput,
    StepPhase,
    StepsAdded,
    StepStarted,
    StepWaiting,
)

Said = tuple[str, str]  # a line that is said once, and its style, as rich calls it


@dataclass(slots=True)
class Running:
    """A step that is running: since when, in which phase, what it printed last."""

    began: float
    phase: str = ""
    line: str = ""


class State:
    """A run as far as its events told."""

    def __init__(self, foreseen: Foreseen, fetches: Fetches, clock: Callable[[], float] = time.monotonic) -> None:
        self.foreseen = foreseen
        self.fetches = fetches
        self.clock = clock
        self.began = clock()
        self.running: dict[str, Running] = {}
        self.expected = set(foreseen.steps)
        self.ended: set[str] = set()
        self.failed: set[str] = set()
        self.wanted_by = dict(foreseen.wanted_by)

    def take(self, event: Event) -> list[Said]:
        """Note an event; what is to be said because of it."""
        match event:
            case StepOutput():
                if event.step in self.running:
                    self.running[event.step].line = event.line
            case FetchProgress():
                self.fetches.take(event)
            case Fetched():
                return [(line, "green") for line in self.fetches.here(event.source)]
            case StepsAdded():
                self.expected.update(event.steps)
                if event.wanted_by:
                    self.wanted_by |= {node_of(step): event.wanted_by for step in event.steps}
            case StepStarted():
                self.running[event.step] = Running(began=self.clock())
                self.expected.add(event.step)
            case StepPhase():
                if event.step in self.running:
                    self.running[event.step].phase = event.phase
            case StepWaiting():
                self.running[event.step] = Running(began=self.clock(), phase="elsewhere")
            case StepFinished():
                self.running.pop(event.step, None)
                self.ended.add(event.step)
                if event.outcome == "failed":
                    self.failed.add(event.step)
                return [(finished_text(event), "bold red" if event.outcome in BAD else "green")]
            case Notice():
                return [(f"note: {event.text}", "yellow")]
        return []

    def has_ended(self, node: str) -> bool:
        """Whether nothing more is expected of a node."""
        steps = {f"{kind} {node}" for kind in ("build", "substitute", "check", "image")}
        steps &= self.expected | self.foreseen.maybe
        return bool(steps) and steps <= self.ended

    @property
    def done(self) -> int:
        """How many of the expected steps ended well."""
        return len((self.ended & self.expected) - self.failed)

    @property
    def perhaps(self) -> int:
        """How many steps more may turn out necessary."""
        return len(self.foreseen.maybe - self.expected - self.ended)

    def times(self) -> tuple[frozenset[str], dict[str, float], int]:
        """What an estimate is asked with: the steps that ended, the seconds of those that run, the bytes fetched."""
        now = self.clock()
        return frozenset(self.ended), {step: now - one.began for step, one in self.running.items()}, self.fetches.came

    def is_overdue(self, step: str) -> bool:
        """Whether a running step takes longer than was forecast."""
        seconds = self.foreseen.seconds.get(step)
        return seconds is not None and self.clock() - self.running[step].began > seconds
