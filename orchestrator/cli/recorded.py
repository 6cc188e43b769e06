"""Keeps the record of a run that does something, however it ends; history, reasons and estimates are read from it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.errors import MachineError, OrchError

if TYPE_CHECKING:
    import argparse

    from orchestrator.build.make import Report
    from orchestrator.build.plan import Plan
    from orchestrator.build.realise import RunOptions
    from orchestrator.cli.estimate import Estimate
    from orchestrator.events import Monitor
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Layout


@dataclass(slots=True)
class Run:
    """A run that goes on: its monitor, and what it came to so far."""

    monitor: Monitor
    report: Report | None = None
    outputs: dict[str, str] = field(default_factory=dict)


@contextmanager
def recorded(
    verb: str,
    arguments: argparse.Namespace,
    plan: Plan,
    forecast: Estimate,
    options: RunOptions,
    graph: Graph,
    layout: Layout,
    monitor: Monitor,
) -> Iterator[Run]:
    """A run whose record is written when the block ends, by an exception too."""
    from orchestrator.build.recorder import Asked, Recorder

    asked = Asked(
        verb=verb,
        goals=(arguments.name,) if verb == "image" else tuple(graph.goals),
        words=arguments.words,
        jobs=options.jobs,
        cores=options.cores,
        seconds=forecast.left(),
        expected=forecast.steps(),
        reasons={step.name: step.reason for step in plan.steps if step.reason},
    )
    recorder = Recorder(asked, graph, layout, monitor)
    run = Run(recorder)
    ending: Literal["done", "failed", "interrupted"] = "interrupted"
    try:
        yield run
        ending = "failed" if run.report is not None and run.report.failures else "done"
    except OrchError:
        ending = "failed"
        raise
    finally:
        done = {} if run.report is None else {goal: str(digest) for goal, digest in run.report.outputs.items()}
        try:
            recorder.write(ending, {**done, **run.outputs})
        except MachineError as error:  # the work itself is done and kept
            print(f"note: the record of this run was not kept: {error.what}", file=sys.stderr)
