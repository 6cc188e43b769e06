"""One line an event, no colour, no control characters: logs and CI. What steps print is in it, marked as theirs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from orchestrator.cli.complaint import harmless
from orchestrator.cli.fetches import Fetches
from orchestrator.cli.view.said import plain_line
from orchestrator.events import Event, Fetched, FetchProgress


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class PlainView:
    """A Monitor that says lines."""

    def __init__(self, fetches: Fetches, say: Callable[[str], None] = _print) -> None:
        self._lock = threading.Lock()
        self._fetches = fetches
        self._say = say

    def __call__(self, event: Event) -> None:
        match event:
            case FetchProgress():
                with self._lock:
                    lines = self._fetches.take(event)
            case Fetched():
                with self._lock:
                    lines = self._fetches.here(event.source)
            case _:
                lines = [plain_line(event)]
        for line in lines:
            if line:
                self._say(harmless(line))
