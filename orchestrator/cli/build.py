"""Build goals and everything they need, run their checks, and print each goal's place in the store."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.opening import (
    DEFAULT_JOBS,
    Opened,
    add_goal_arguments,
    add_place_arguments,
    open_project,
    positive,
    stay,
)
from orchestrator.cli.progress import add_log_format_argument
from orchestrator.cli.substituting import add_substitute_argument, offers_of
from orchestrator.errors import AnswerIsNo, MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.build.make import Report
    from orchestrator.build.rebuild import Verdict
    from orchestrator.build.run_options import RunOptions
    from orchestrator.build.substitute import Offers
    from orchestrator.cli.recorded import Run
    from orchestrator.digest import Digest
    from orchestrator.events import Monitor
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Layout

EPILOG = """\
examples:
  orch build nixl                        the default version, for the default CUDA
  orch build nixl --set cuda=13          everything below it for CUDA 13
  orch build ucx --set ucx.version=1.13.1
  orch build nixl -o result              and a link that keeps it
  orch build nixl --rebuild              build all of it again and compare every byte
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_goal_arguments(parser)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "-j",
        "--jobs",
        type=positive,
        default=DEFAULT_JOBS,
        metavar="N",
        help=f"builds at once (default {DEFAULT_JOBS})",
    )
    parser.add_argument(
        "--cores", type=positive, default=cores, metavar="N", help=f"cores shared among them (default {cores}: all)"
    )
    parser.add_argument("--keep-going", action="store_true", help="after a failure, go on with what does not need it")
    parser.add_argument("--keep-failed", action="store_true", help="keep a failed build's directory")
    parser.add_argument("--rebuild", action="store_true", help="build what exists again, elsewhere, and compare")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add_substitute_argument(parser)
    parser.add_argument("-o", "--out", type=Path, metavar="LINK", help="make LINK point to the result and keep it")
    add_log_format_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build; the goals' paths go to stdout, all else to stderr."""
    began = time.monotonic()
    if arguments.out is not None and len(arguments.goals) > 1:
        raise UsageError("-o takes one goal", why=f"{len(arguments.goals)} were given", hint="one command per link")
    opened = open_project(arguments)
    graph = opened.graph(arguments.goals, arguments.settings)
    stay(opened, graph)
    layout = opened.store(create=not arguments.dry_run)
    if arguments.out is not None:
        from orchestrator.store import refuse_link

        refuse_link(layout, arguments.out.absolute())  # now, not after the build
    offers = offers_of(opened, graph, layout, arguments)
    done = opened.finished(graph, layout)
    if not arguments.dry_run and (len(done) < len(graph.goals) or arguments.rebuild):
        run, verdicts = _work(opened, graph, layout, done, arguments, offers)
        report = run.report
        assert report is not None
        if report.failures:
            from orchestrator.cli.ending import tell_failures

            return tell_failures(run, arguments, verb="build")
        for verdict in verdicts:
            if isinstance(verdict.error, MachineError):
                raise verdict.error  # no answer, neither yes nor no
        if any(not verdict.same for verdict in verdicts):
            raise _not_the_same(verdicts)
        _finish(arguments, graph, layout, {**done, **report.outputs}, report, time.monotonic() - began)
        return 0
    plan = opened.plan(graph, layout, offers, done=done)
    if arguments.dry_run:
        from orchestrator.build.past import estimate
        from orchestrator.cli.plan import show_plan

        jobs = min(arguments.jobs, arguments.cores)
        forecast = estimate(plan, layout, jobs, cores=arguments.cores, newest=opened.known(layout).newest)
        show_plan(graph, plan, forecast, as_json=arguments.json, verb="build")
        return 0
    _finish(arguments, graph, layout, done, None, time.monotonic() - began)
    plain = arguments.out is None and not (arguments.json or opened.own_sources)
    _remember(opened, graph, layout, arguments.words if plain else None)
    return 0


def _remember(opened: Opened, graph: Graph, layout: Layout, words: Sequence[str] | None) -> None:
    """Let the same command be answered at once as long as nothing changes; where that cannot be, or without `words`,
    note at least that the goals were asked for."""
    from orchestrator.cli.remember import save
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.store import note_asked, object_tree, read_goal

    keys = derivation_keys(graph)
    goals = [read_goal(layout, closure_key(graph, goal, keys)) for goal in graph.goals]
    there = [goal for goal in goals if goal is not None]
    if len(there) == len(goals):
        watched = [*opened.looked_at(), *(f"{layout.goals}/{goal.key.hex}.json" for goal in there)]
        homes = [f"{layout.objects}/{item.digest.hex}" for goal in there for item in goal.closure]
        required = (f"{home}/{part}" for home in homes for part in ("tree", "manifest.json"))
        out = "".join(f"{object_tree(layout, goal.output)}\n" for goal in there)
        if words is None or not save(layout, words, watched=watched, required=required, out=out):
            note_asked(layout, (goal.key for goal in there))


def _work(
    opened: Opened,
    graph: Graph,
    layout: Layout,
    done: Mapping[str, Digest],
    arguments: argparse.Namespace,
    offers: Offers | None,
) -> tuple[Run, tuple[Verdict, ...]]:
    from orchestrator.build.room import Room
    from orchestrator.store import sweep

    sweep(layout)
    with closing(Room(layout)) as room:
        room.begin()  # a sandbox comes up while all that follows is planned and imported
        # What is built again is looked at one by one: that a goal is done says nothing of what it is built with.
        plan = opened.plan(graph, layout, offers, done={} if arguments.rebuild else done, remember=False)
        if plan.fetch or arguments.keep_going:  # else the first step tells at once
            from orchestrator.sandbox.probe import probe

            probe()
        from orchestrator.build.past import estimate
        from orchestrator.build.realise import Engine
        from orchestrator.build.run_options import RunOptions
        from orchestrator.cli.main import leave
        from orchestrator.cli.recorded import recorded
        from orchestrator.graph.remembered import after_run

        jobs = min(arguments.jobs, arguments.cores)
        forecast = estimate(plan, layout, jobs, cores=arguments.cores, newest=opened.known(layout).newest)
        options = RunOptions(
            jobs=jobs,
            cores=arguments.cores,
            keep_going=arguments.keep_going,
            keep_failed=arguments.keep_failed,
            urgency=forecast.urgency(),
            after=forecast.after(),
        )
        verdicts: tuple[Verdict, ...] = ()
        with recorded("build", arguments, plan, forecast, options, graph, layout) as run:
            if opened.project.keep_free is not None:
                from orchestrator.cli.floor import keep_floor

                keep_floor(opened.project, graph, layout)
            fetch = opened.fetcher(layout, run.monitor)
            known = opened.known(layout)
            engine = Engine(
                graph, layout, options=options, fetch=fetch, monitor=run.monitor, output=known.output,
                recorded=plan.recorded, offers=offers, room=room,
            )  # fmt: skip
            report = run.report = engine.run(everything=arguments.rebuild, again=leave)
            for name, (key, output) in report.recorded.items():
                known.note(key, output)
                known.note(engine.keys[name].hex, output)
            known.save()
            opened.remember(graph, after_run(graph, plan.recorded, report.recorded))
            if arguments.rebuild and not report.failures:
                verdicts = _rebuild(opened, graph, layout, report, options, run.monitor)
        return run, verdicts


def _rebuild(
    opened: Opened, graph: Graph, layout: Layout, report: Report, options: RunOptions, monitor: Monitor
) -> tuple[Verdict, ...]:
    from orchestrator.build.rebuild import rebuild

    fetch = opened.fetcher(layout, monitor)
    return rebuild(graph, report.objects, layout, options=options, fetch=fetch, monitor=monitor)


def _not_the_same(verdicts: tuple[Verdict, ...]) -> AnswerIsNo:
    bad = [verdict for verdict in verdicts if not verdict.same]
    lines = []
    for verdict in bad:
        if verdict.error is not None:
            lines.append(f"{verdict.name}: {verdict.error.what} ({verdict.error.where})")
            continue
        shown = ", ".join(verdict.differences[:10])
        more = f" and {len(verdict.differences) - 10} more" if len(verdict.differences) > 10 else ""
        lines.append(f"{verdict.name}: {shown}{more} (the second tree: {verdict.kept})")
    names = ", ".join(verdict.name for verdict in bad)
    return AnswerIsNo(
        f"built again, {len(bad)} of {len(verdicts)} outputs are not the same: {names}",
        where="; ".join(lines),
        why="something that is not declared reaches the output: time, core count, kernel release, chance",
        hint="compare the two trees with diff -r; the stored one was not touched",
    )


def _finish(
    arguments: argparse.Namespace,
    graph: Graph,
    layout: Layout,
    outputs: Mapping[str, Digest],
    report: Report | None,
    seconds: float,
) -> None:
    from orchestrator.store import object_tree

    paths = {goal: object_tree(layout, outputs[goal]) for goal in graph.goals}
    if arguments.out is not None:
        from orchestrator.store import add_root

        (goal,) = graph.goals
        add_root(layout, arguments.out.absolute(), outputs[goal], goal)
    if not arguments.json:
        for goal in graph.goals:
            print(paths[goal])
        if arguments.own_sources:
            from orchestrator.graph.dirty import dirty_names

            print(f"dirty: {', '.join(dirty_names(graph))}", file=sys.stderr)
        return
    from orchestrator.cli.document import print_document

    goals = [
        {
            "name": goal,
            "version": graph[goal].version,
            "origin": graph[goal].origin,
            "digest": str(outputs[goal]),
            "path": str(paths[goal]),
        }
        for goal in graph.goals
    ]
    outcomes = report.outcomes if report is not None else {}
    print_document("build", {"goals": goals, "outcomes": outcomes, "seconds": round(seconds, 3)})
