"""The estimate of a plan from what a store remembers: the newest build of each recipe, the records of the last runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator import store
from orchestrator.build.core_use import cores_use
from orchestrator.build.estimate import Estimate
from orchestrator.build.plan import Plan, Step

if TYPE_CHECKING:
    from orchestrator.build.accuracy import Accuracy
    from orchestrator.store import BuildRecord, Layout, Realisation

RUNS = 8  # records of runs that are looked at: for checks, for the rate of fetches, for what follows an image's builds
_SERIAL = 0.5  # of a build that uses cores: what more of them do not shorten (unpacking, configure, linking)
_WORTH = 1 << 20  # bytes; a smaller fetch tells more of latency than of the rate


def estimate(
    plan: Plan,
    layout: Layout,
    jobs: int,
    *,
    cores: int = 1,
    image: str | None = None,
    newest: Callable[[str], Realisation | None] | None = None,
) -> Estimate:
    """The estimate for a plan that is carried out by so many jobs and cores, for the named image if one is. `newest`
    tells of a recipe's last success, if the caller has read some already."""
    if not plan.steps and image is None:
        return Estimate(plan, {}, jobs)
    newest = newest or partial(store.latest_realisation, layout)
    runs = cache(lambda: tuple(islice(store.recent_builds(layout), RUNS)))  # most plans ask for none
    share = max(1, cores // max(1, min(jobs, sum(1 for step in plan.steps if step.action == "build"))))
    seconds = {}
    for step in plan.steps:
        took = _built(newest(step.node.name), step, share) if step.action == "build" else _checked(runs(), step)
        if took is not None:
            seconds[step.name] = took
    return Estimate(
        plan,
        seconds,
        jobs,
        rate=_rate(runs()) if plan.fetch else None,
        tail=_tail(runs(), image) if image is not None else 0.0,
        accuracy=lambda: _accuracy(layout),
    )


def _accuracy(layout: Layout) -> Accuracy | None:
    from orchestrator.build.accuracy import accuracy

    return accuracy(store.recent_builds(layout))


def _built(newest: Realisation | None, step: Step, share: int) -> float | None:
    """What the build took last time, were it to have `share` cores."""
    node = step.node
    if newest is None:
        return None
    # Another version by the same script is as good; a compile says nothing about a vendor's binary.
    if newest.version != node.version and newest.document.get("script") != node.script:
        return None
    cores = newest.sandbox.get("cores")
    if not isinstance(cores, int) or cores_use(node) != "share":
        return newest.seconds
    return newest.seconds * (_SERIAL + (1 - _SERIAL) * cores / share)


def _checked(runs: Iterable[BuildRecord], step: Step) -> float | None:
    found = (past.seconds for run in runs for past in run.steps if past.step == step.name and past.outcome == "checked")
    return next(found, None)


def _rate(runs: Iterable[BuildRecord]) -> float | None:
    """Bytes a second of the newest fetch that was large enough to tell."""
    rates = (run.fetched / run.fetching for run in runs if run.fetched >= _WORTH and run.fetching > 0)
    return next(rates, None)


def _tail(runs: Iterable[BuildRecord], image: str) -> float:
    """Seconds that the last run of this image went on for after its builds and checks: layers and image checks."""
    for run in runs:
        if run.verb == "image" and run.goals == (image,) and run.ending == "done":
            ends = [step.began + step.seconds for step in run.steps if step.step.startswith(("build ", "check "))]
            return max(0.0, run.seconds - max(ends, default=0.0))
    return 0.0
