"""Say what `orch build` would do with the same words, and why; nothing is changed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import DEFAULT_JOBS, add_goal_arguments, add_place_arguments, open_project

if TYPE_CHECKING:
    from orchestrator.build.plan import Plan, Step
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Layout

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
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    from orchestrator.build.known import StoreKnown
    from orchestrator.build.plan import make_plan

    opened = open_project(arguments)
    graph = opened.graph(arguments.goals, arguments.settings)
    layout = opened.store(create=False)
    plan = make_plan(graph, StoreKnown(layout=layout))
    show_plan(graph, plan, layout, as_json=arguments.json, verb="plan")
    return 0


def headline(plan: Plan, time_text: str = "") -> str:
    """`3 to build (about 4 min), perhaps 1 more, 2 to check, 4 there already; 1 to fetch, 41 MB`."""
    parts = []
    if builds := plan.count("build"):
        parts.append(f"{builds} to build{f' ({time_text})' if time_text else ''}")
    if perhaps := plan.count("build", maybe=True):
        parts.append(f"perhaps {perhaps} {'more' if builds else 'to build'}")
    checks, perhaps = plan.count("check"), plan.count("check", maybe=True)
    if checks:
        parts.append(f"{checks} to check")
    if perhaps:
        parts.append(f"perhaps {perhaps} {'more to check' if checks else 'to check'}")
    if there := plan.count("reuse"):
        parts.append(f"{there} there already")
    text = ", ".join(parts) or "nothing to do"
    if away := [source for source in plan.fetch if not source.name.startswith("file:")]:
        sizes = [source.size for source in away if source.size is not None]
        unknown = " or more" if len(sizes) < len(away) else ""
        total = f"{bytes_text(sum(sizes))}{unknown}" if sizes else "size unknown"
        text += f"; {len(away)} to fetch, {total}"
    return text


def _step_document(step: Step) -> dict[str, Any]:
    node = step.node
    return {
        "action": step.action,
        "name": node.name,
        "version": node.version,
        "origin": node.origin,
        "maybe": step.maybe,
        "reason": step.reason,
    }


def show_plan(
    graph: Graph,
    plan: Plan,
    layout: Layout,
    *,
    as_json: bool,
    verb: str,
    jobs: int = DEFAULT_JOBS,
    base: str | None = None,
) -> None:
    """Print a plan on stdout. `base` names an image that is fetched too; nobody knows its size yet."""
    if as_json:
        from orchestrator.cli.document import print_document

        content = {
            "goals": list(graph.goals),
            "done": {goal: str(digest) for goal, digest in plan.done},
            "steps": [_step_document(step) for step in plan.steps],
            "fetch": [
                *({"source": source.name, "bytes": source.size} for source in plan.fetch),
                *({"source": name, "bytes": None} for name in (base,) if name is not None),
            ],
        }
        print_document(verb, content)
        return
    from orchestrator.cli.estimate import estimate

    text = estimate(plan, layout, jobs).text()
    settings = " ".join(f"{name}={value}" for name, value in graph.options)
    print(f"{', '.join(graph.goals)}{f' ({settings})' if settings else ''}: {headline(plan, text)}")
    if base is not None:
        print(f"  fetch   {base}  the base image; its registry knows how big it is")
    width = max((len(step.node.label) for step in plan.steps), default=0)
    for step in plan.steps:
        action = f"{step.action}?" if step.maybe else step.action
        line = f"  {action:<7} {step.node.label:<{width}}  {step.node.origin:<6}  {step.reason}"
        print(line.rstrip())
    for goal, digest in plan.done:
        print(f"  done    {graph[goal].label}  {digest}")
