"""One JSON object an event and line on stderr, for programs. docs/running.md names the keys; they are only added to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.cli.view.foreseen import Foreseen
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
from orchestrator.frozen import names

SCHEMA = 1
_NAMES: Mapping[type[Event], str] = {
    StepStarted: "step-started",
    StepPhase: "step-phase",
    StepOutput: "step-output",
    StepWaiting: "step-waiting",
    StepFinished: "step-finished",
    StepsAdded: "steps-added",
    FetchProgress: "fetch-progress",
    Fetched: "fetched",
    Notice: "notice",
}


def _line(event: str, content: Mapping[str, Any]) -> str:
    """One object: its schema number, what it tells, when (seconds since 1970), and what belongs to it."""
    return json.dumps({"schema": SCHEMA, "event": event, "time": round(time.time(), 3), **content}, default=str)


def print_line(event: str, content: Mapping[str, Any]) -> None:
    """Print one object."""
    print(_line(event, content), file=sys.stderr, flush=True)


class JsonView:
    """A Monitor that says objects."""

    def __init__(self, headline: str, foreseen: Foreseen, say: Callable[[str], None]) -> None:
        self._say = say
        self._foreseen = foreseen
        estimate = foreseen.estimate
        content = {
            "headline": headline,
            "steps": sorted(foreseen.steps),
            "maybe": sorted(foreseen.maybe),
            "expected": (round(estimate.left(), 3) or None) if estimate is not None else None,
        }
        say(_line("run-started", content))

    def __call__(self, event: Event) -> None:
        content = {name: getattr(event, name) for name in names(event)}
        if isinstance(event, StepStarted):
            content["expected"] = self._foreseen.seconds.get(event.step)
            content["reason"] = event.reason or self._foreseen.reasons.get(event.step, "")
        self._say(_line(_NAMES[type(event)], content))
