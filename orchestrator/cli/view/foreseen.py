"""What a run is expected to do, for those who show it: its steps, who waits for whom, how long each took last time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.frozen import field, frozen

if TYPE_CHECKING:
    from orchestrator.build.estimate import Estimate
    from orchestrator.build.plan import Plan
    from orchestrator.graph.derivation import Graph, Node

# Other steps stand for themselves: `layer ucx`.
_OF_NODES = ("build", "substitute", "check", "fetch", "rebuild", "image", "run")


@frozen
class Foreseen:
    """`wanted_by` leads from a node to the nearest one that waits for it; seconds are by step (`build ucx`)."""

    steps: frozenset[str] = frozenset()  # that will run
    maybe: frozenset[str] = frozenset()  # that may turn out unnecessary
    wanted_by: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)  # why the plan holds a step necessary
    estimate: Estimate | None = None


def node_of(step: str) -> str:
    """The node that a step works for: `ucx` of `check ucx`."""
    kind, _, name = step.partition(" ")
    return name if kind in _OF_NODES else step


def foreseen(plan: Plan, graph: Graph, estimate: Estimate | None = None, *, image: str = "") -> Foreseen:
    """What is expected of a plan that is carried out, for an image if one is named."""
    certain = {step.name for step in plan.steps if not step.maybe}
    if image:
        certain.add(f"image {image}")
    return Foreseen(
        steps=frozenset(certain),
        maybe=frozenset(step.name for step in plan.steps if step.maybe),
        wanted_by=_wanted_by([step.node for step in plan.steps], graph, image),
        seconds=estimate.steps() if estimate is not None else {},
        reasons={step.name: step.reason for step in plan.steps if step.reason},
        estimate=estimate,
    )


def _wanted_by(pending: Iterable[Node], graph: Graph, image: str) -> dict[str, str]:
    """Inputs hold their whole closures, so the first dependent in the graph's order is the nearest one."""
    found: dict[str, str] = {}
    names = {node.name for node in pending}
    nodes = [graph[name] for name in graph.names if name in names]  # dependencies before dependents
    goals = [node for node in nodes if node.name in graph.goals]

    def add(needs: Iterable[str], wanting: str) -> None:
        for need in needs:
            if need in names and need != wanting:
                found.setdefault(need, wanting)

    for node in nodes:
        add(node.build, node.name)
    for node in nodes:
        if node.check is not None:
            add(node.check.inputs, node.name)
    for goal in goals:
        add((*goal.runtime, *(name for name in names if name not in graph.goals and len(goals) == 1)), goal.name)
    if image:
        for node in nodes:
            found.setdefault(node.name, image)
    return found
