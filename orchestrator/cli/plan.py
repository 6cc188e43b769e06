"""Say what `orch build` would do with the same words, and why; nothing is changed."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text, rough_text
from orchestrator.cli.opening import DEFAULT_JOBS, add_goal_arguments, add_place_arguments, open_project, stay
from orchestrator.cli.substituting import add_substitute_argument, offers_of

if TYPE_CHECKING:
    from orchestrator.build.estimate import Estimate
    from orchestrator.build.plan import Plan, Step
    from orchestrator.graph.derivation import Graph

EPILOG = """\
A step marked `?` runs only if an input that is built again comes out with different bytes.

examples:
  orch plan nixl
  orch plan nixl --set cuda=13       what another CUDA would need
  orch plan nixl ucx --json          steps with their reasons, as data
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_goal_arguments(parser)
    add_substitute_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    from orchestrator.build.past import estimate

    opened = open_project(arguments)
    graph = opened.graph(arguments.goals, arguments.settings)
    layout = opened.store(create=False)
    plan = opened.plan(graph, layout, offers_of(opened, graph, layout, arguments))
    newest = opened.known(layout).newest
    forecast = estimate(plan, layout, DEFAULT_JOBS, cores=len(os.sched_getaffinity(0)), newest=newest)
    show_plan(graph, plan, forecast, as_json=arguments.json, verb="plan")
    stay(opened, graph, plan)
    return 0


def headline(plan: Plan, time_text: str = "") -> str:
    """`2 to copy, 41 MB, 3 to build, perhaps 1 more, 2 to check, about 4 min; 4 there already; 1 to fetch, 41 MB`."""
    parts = []
    if copies := plan.count("substitute"):
        parts.append(f"{copies} to copy, {bytes_text(plan.copy_bytes)}")
    if builds := plan.count("build"):
        parts.append(f"{builds} to build")
    if perhaps := plan.count("build", maybe=True):
        parts.append(f"perhaps {perhaps} {'more' if builds else 'to build'}")
    checks, perhaps = plan.count("check"), plan.count("check", maybe=True)
    if checks:
        parts.append(f"{checks} to check")
    if perhaps:
        parts.append(f"perhaps {perhaps} {'more to check' if checks else 'to check'}")
    if parts and time_text:
        parts.append(time_text)
    there = len(plan.there)
    said = [", ".join(parts), f"{there} there already" if there else ""]
    text = "; ".join(filter(None, said)) or "nothing to do"
    if away := [source for source in plan.fetch if not source.at_hand]:
        sizes = [source.size for source in away if source.size is not None]
        unknown = " or more" if len(sizes) < len(away) else ""
        total = f"{bytes_text(sum(sizes))}{unknown}" if sizes else "size unknown"
        text += f"; {len(away)} to fetch, {total}"
    return text


def _line_document(
    action: str,
    name: str,
    version: str,
    origin: str,
    *,
    maybe: bool = False,
    reason: str = "",
    copy_bytes: int = 0,
    expected: float | None = None,
) -> dict[str, Any]:
    return {
        "action": action,
        "name": name,
        "version": version,
        "origin": origin,
        "maybe": maybe,
        "reason": reason,
        "copy_bytes": copy_bytes,
        "expected_seconds": None if expected is None else round(expected, 3),
    }


def _step_document(step: Step, expected: float | None) -> dict[str, Any]:
    return _line_document(
        step.action, step.node.name, step.node.version, step.node.origin, maybe=step.maybe, reason=step.reason,
        copy_bytes=step.size, expected=expected,
    )  # fmt: skip


def _document(graph: Graph, plan: Plan, forecast: Estimate, base: str | None) -> dict[str, Any]:
    expected, judged = forecast.steps(), forecast.accuracy()
    return {
        "goals": list(graph.goals),
        "done": {goal: str(digest) for goal, digest in plan.done},
        "steps": [
            *(_line_document("reuse", name, *graph.brief(name)[:2]) for name in plan.there),
            *(_step_document(step, expected.get(step.name)) for step in plan.steps),
        ],
        "fetch": [
            *({"source": source.name, "bytes": source.size} for source in plan.fetch),
            *({"source": name, "bytes": None} for name in (base,) if name is not None),
        ],
        "fetch_bytes": forecast.fetch_bytes,
        "copy_bytes": plan.copy_bytes,
        "expected_seconds": round(forecast.left(), 3) if forecast.known else None,
        "expected_complete": forecast.complete,
        "accuracy": judged and {"runs": judged.runs, "median": judged.median_ratio, "worst": judged.worst_ratio},
    }


def show_plan(
    graph: Graph, plan: Plan, forecast: Estimate, *, as_json: bool, verb: str, image: str = "", base: str | None = None
) -> None:
    """Print a plan on stdout, of the goals or of the named image. `base` names an image that is fetched too; nobody
    knows its size yet."""
    if as_json:
        from orchestrator.cli.document import print_document

        print_document(verb, _document(graph, plan, forecast, base))
        return
    settings = " ".join(f"{name}={value}" for name, value in graph.options)
    time_text = forecast.text()
    judged = forecast.accuracy() if time_text else None
    said = f" ({judged.text})" if judged is not None else ""
    what = f"image {image} of " if image else ""
    print(f"{what}{', '.join(graph.goals)}{f' ({settings})' if settings else ''}: {headline(plan, time_text)}{said}")
    if base is not None:
        print(f"  fetch   {base}  the base image; its registry knows how big it is")
    from orchestrator.build.plan import short_reason

    asked = image or next(iter(graph.goals), "GOAL")
    expected = forecast.steps()
    times = [rough_text(expected[step.name]) if step.name in expected else "" for step in plan.steps]
    briefs = [(name, graph.brief(name)) for name in plan.there]
    there = [(f"{name} {version}", origin) for name, (version, origin, _) in briefs]
    labels = [*(step.node.label for step in plan.steps), *(label for label, _ in there)]
    label_width = max(map(len, labels), default=0)
    action_width = 10 if plan.count("substitute") or plan.count("substitute", maybe=True) else 7
    time_width = max(map(len, times), default=0)
    gap = "  " if time_width else ""
    # There may be thousands: one print for all.
    lines = [f"  {'reuse':<{action_width}} {label:<{label_width}}  {origin}" for label, origin in there]
    for step, took in zip(plan.steps, times, strict=True):
        action = f"{step.action}?" if step.maybe else step.action
        what = f"{action:<{action_width}} {step.node.label:<{label_width}}  {step.node.origin:<6}"
        lines.append(f"  {what}  {took:>{time_width}}{gap}{short_reason(step.reason, asked)}".rstrip())
    if lines:
        print("\n".join(lines))
    for goal, digest in plan.done:
        dirty = "  dirty" if graph[goal].origin == "dirty" else ""
        print(f"  done    {graph[goal].label}{dirty}  {digest}")
