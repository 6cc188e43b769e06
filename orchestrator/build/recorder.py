"""A Monitor that passes events on and remembers what a run's record needs. Any thread may call it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.events import Event, Fetched, FetchProgress, Monitor, StepFinished, StepStarted
from orchestrator.frozen import frozen
from orchestrator.graph.derivation import Graph
from orchestrator.store import BuildRecord, Layout, StepRecord, new_build_id, write_build
from orchestrator.store.builds import Ending

_WORK = ("built", "copied", "checked", "failed", "packed", "identical", "differs", "interrupted")  # worth a record


@frozen
class Asked:
    """What a run was asked for, and what was forecast. `expected` and `reasons` are by step (`build ucx`)."""

    verb: str
    goals: tuple[str, ...]
    words: Sequence[str]
    jobs: int
    cores: int
    seconds: float | None = None  # forecast for all of it
    expected: Mapping[str, float]
    reasons: Mapping[str, str]


class Recorder:
    """Collects the steps of one run over one graph."""

    def __init__(self, asked: Asked, graph: Graph, layout: Layout, monitor: Monitor) -> None:
        self._asked = asked
        self._graph = graph
        self._layout = layout
        self._monitor = monitor
        self._lock = threading.Lock()
        self._began = time.time()
        self._clock = time.monotonic()
        self._started: dict[str, tuple[float, Path | None]] = {}
        self._steps: list[StepRecord] = []
        self._first: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._coming: set[str] = set()
        self._fetching = 0.0
        self._heard = 0.0
        self.id = new_build_id(self._began)

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case StepStarted():
                    self._started[event.step] = (self._now(), event.log)
                case StepFinished():
                    self._end(event.step, event.outcome, event.seconds, event.detail)
                case FetchProgress():
                    self._count()
                    self._coming.add(event.source)
                    self._first.setdefault(event.source, event.done)  # what an earlier run had fetched of it
                    self._bytes[event.source] = event.done
                case Fetched():
                    self._count()
                    self._coming.discard(event.source)
        self._monitor(event)

    def _count(self) -> None:
        """Count the time since the last news of a fetch, if one was going on."""
        now = self._now()
        self._fetching += now - self._heard if self._coming else 0.0
        self._heard = now

    def _now(self) -> float:
        return time.monotonic() - self._clock

    def _end(self, step: str, outcome: str, seconds: float, detail: str) -> None:
        began, log = self._started.pop(step, (self._now() - seconds, None))
        name = step.partition(" ")[2]
        node = next((self._graph[one] for one in (name,) if one in self._graph), None)
        self._steps.append(
            StepRecord(
                step=step,
                node=node.name if node else "",
                version=node.version if node else "",
                outcome=outcome,
                began=round(max(0.0, began), 4),
                seconds=round(seconds or (self._now() - began if log else 0.0), 4),
                expected=self._asked.expected.get(step),
                reason=self._asked.reasons.get(step, ""),
                detail=detail,
                log=str(log.relative_to(self._layout.root)) if log else "",
            )
        )

    def write(self, ending: Ending, outputs: Mapping[str, str]) -> BuildRecord | None:
        """Write the run's record and return it; None if nothing was done. Raise MachineError."""
        with self._lock:
            for step, (began, _) in sorted(self._started.items()):
                self._end(step, "interrupted", self._now() - began, "")
            if not any(step.outcome in _WORK for step in self._steps):
                return None
            build = BuildRecord(
                id=self.id,
                verb=self._asked.verb,
                goals=self._asked.goals,
                options=self._graph.options,
                words=tuple(self._asked.words),
                began=self._began,
                seconds=round(self._now(), 4),
                ending=ending,
                expected=self._asked.seconds,
                jobs=self._asked.jobs,
                cores=self._asked.cores,
                fetched=sum(done - min(self._first[source], done) for source, done in self._bytes.items()),
                fetching=round(self._fetching, 4),
                steps=tuple(self._steps),
                outputs=dict(outputs),
            )
        write_build(self._layout, build)
        return build
