"""Shows a run that does something and keeps its record, however it ends; history, reasons and estimates read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli.ending import say_ending
from orchestrator.cli.progress import progress
from orchestrator.errors import MachineError, OrchError
from orchestrator.events import Monitor, Notice, silent

if TYPE_CHECKING:
    import argparse

    from orchestrator.build.estimate import Estimate
    from orchestrator.build.make import Report
    from orchestrator.build.plan import Plan
    from orchestrator.build.recorder import Recorder
    from orchestrator.build.run_options import RunOptions
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import BuildRecord, Layout
    from orchestrator.store.builds import Ending


class Run:
    """A run that goes on: its monitor, and what it came to so far. `record` is there once it has ended; `unreached` are
    the certain steps of the plan that did not run."""

    def __init__(
        self, *, report: Report | None = None, record: BuildRecord | None = None, unreached: tuple[str, ...] = ()
    ) -> None:
        self.monitor: Monitor = silent
        self.outputs: dict[str, str] = {}
        self.report = report
        self.record = record
        self.unreached = unreached


@contextmanager
def recorded(
    verb: str,
    arguments: argparse.Namespace,
    plan: Plan,
    forecast: Estimate,
    options: RunOptions,
    graph: Graph,
    layout: Layout,
) -> Iterator[Run]:
    """A run that is shown while it goes on, and whose record is written when the block ends, by an exception too.

    What it did is said then, but for a run whose report has failures: whoever tells of these says it below them.
    """
    from orchestrator.build.recorder import Asked, Recorder
    from orchestrator.store import holding

    image = arguments.name if verb == "image" else ""
    asked = Asked(
        verb=verb,
        goals=(image,) if image else tuple(graph.goals),
        words=arguments.words,
        jobs=options.jobs,
        cores=options.cores,
        seconds=forecast.left(),
        expected=forecast.steps(),
        reasons={step.name: step.reason for step in plan.steps if step.reason},
    )
    run = Run()
    ending: Ending = "interrupted"
    try:
        with progress(plan, graph, forecast, image=image, log_format=arguments.log_format) as shown:
            run.monitor = recorder = Recorder(asked, graph, layout, shown)
            try:
                with holding(layout):  # gc leaves what this run finds and makes
                    yield run
                ending = "failed" if run.report is not None and run.report.failures else "done"
            except OrchError:
                ending = "failed"
                raise
            finally:
                _write(recorder, ending, run, shown, plan)
    finally:
        if run.report is None or not run.report.failures:
            say_ending(run, arguments)


def _write(recorder: Recorder, ending: Ending, run: Run, shown: Monitor, plan: Plan) -> None:
    done = {} if run.report is None else {goal: str(digest) for goal, digest in run.report.outputs.items()}
    try:
        run.record = recorder.write(ending, {**done, **run.outputs})
    except MachineError as error:  # the work itself is done and kept
        shown(Notice(text=f"the record of this run was not kept: {error.what}"))
    if run.record is not None and ending != "done":
        seen = {step.step for step in run.record.steps}
        certain = (step.name for step in plan.steps if not step.maybe)
        run.unreached = tuple(name for name in certain if name not in seen)
