"""How long the builds of a plan will take, judged by the newest build of each recipe. A forecast, and it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.build.plan import Plan
    from orchestrator.graph.derivation import Node
    from orchestrator.store import Layout

_SAID_FROM = 5.0  # seconds; less is not worth a word


class Estimate:
    """The certain builds of a plan, each with the seconds that it took last time, if it was built here before.

    Checks and downloads are not in it: the first are short, the second depend on the network.
    """

    def __init__(self, plan: Plan, seconds: Mapping[str, float], jobs: int) -> None:
        builds = [step.node for step in plan.steps if step.action == "build" and not step.maybe]
        self._needs = {node.name: node.build for node in builds}  # dependencies before dependents
        self._seconds = {name: seconds[name] for name in self._needs if name in seconds}
        self._jobs = jobs

    def left(self, ended: frozenset[str] = frozenset(), running: Mapping[str, float] | None = None) -> float:
        """Seconds until all is built: no less than the longest chain, nor than all of it shared out among the jobs.

        `ended` are recipes that are built, `running` maps others to the seconds that they have taken so far.
        """
        running = running or {}
        chains: dict[str, float] = {}
        total = 0.0
        for name, needs in self._needs.items():
            own = 0.0 if name in ended else max(0.0, self._seconds.get(name, 0.0) - running.get(name, 0.0))
            chains[name] = own + max((chains[need] for need in needs if need in chains), default=0.0)
            total += own
        return max([total / self._jobs, *chains.values()])

    def steps(self) -> dict[str, float]:
        """The seconds forecast for each step, by its name (`build ucx`)."""
        return {f"build {name}": seconds for name, seconds in self._seconds.items()}

    def text(self, ended: frozenset[str] = frozenset(), running: Mapping[str, float] | None = None) -> str:
        """`about 4 min`; `at least 4 min` if for some build nothing is known; empty if there is nothing to tell."""
        left = self.left(ended, running)
        if left < _SAID_FROM:
            return ""
        unknown = self._needs.keys() - self._seconds.keys() - ended
        return f"{'at least' if unknown else 'about'} {_rough(left)}"


def _rough(seconds: float) -> str:
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def estimate(plan: Plan, layout: Layout, jobs: int) -> Estimate:
    """The estimate for a plan, from the records of a store."""
    seconds = {}
    for step in plan.steps:
        if step.action == "build" and not step.maybe:
            took = _took(layout, step.node)
            if took is not None:
                seconds[step.node.name] = took
    return Estimate(plan, seconds, jobs)


def _took(layout: Layout, node: Node) -> float | None:
    from orchestrator.store import latest_realisation

    newest = latest_realisation(layout, node.name)
    if newest is None:
        return None
    # Another version by the same script is as good; a compile says nothing about a vendor's binary.
    alike = newest.version == node.version or newest.document.get("script") == node.script
    return newest.seconds if alike else None
