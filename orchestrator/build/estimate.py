"""How long a plan will take, and which of its steps everything else waits for longest. Pure: durations are given.

The forecast carries the plan out in thought, as the engine will: of the steps that are ready, the one with the longest
path to the end begins first, at most so many at once. A forecast, and it says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.build.plan import Plan, Step

if TYPE_CHECKING:
    from orchestrator.build.accuracy import Accuracy

SAID_FROM = 5.0  # seconds; less is not worth a word
UNKNOWN = "time unknown"
_NEVER_MEASURED = 1.0  # seconds, where no step of the plan is known: any number will do, so that chains count


class Estimate:
    """The steps of a plan with the seconds that they took before, by step (`build ucx`, `check nixl`).

    `rate` is bytes a second of past fetches, None if nobody knows; `tail` the seconds that follow the last step;
    `accuracy` says how good the last estimates were, when asked. A step that runs only if an input's bytes change
    counts for the order, not for the time.
    """

    def __init__(
        self,
        plan: Plan,
        seconds: Mapping[str, float],
        jobs: int,
        *,
        rate: float | None = None,
        tail: float = 0.0,
        accuracy: Callable[[], Accuracy | None] = lambda: None,
    ) -> None:
        steps = plan.steps
        names = {step.name for step in steps}
        self.accuracy = accuracy
        self._plan = plan
        self._jobs = jobs
        self._rate = rate
        self._tail = tail
        self._certain = [step for step in steps if not step.maybe]
        self._needs = {step.name: [need for need in _needs(step) if need in names] for step in steps}
        self._seconds = {name: seconds[name] for name in names if name in seconds}
        self._urgency, self._follows = _urgency(self._needs, self._weights(steps))
        self._after = self._dependents()

    def _weights(self, steps: Iterable[Step]) -> dict[str, float]:
        """Seconds for every step; where nothing is known, the median of its kind."""
        known: dict[str, list[float]] = {}
        for step in steps:
            if step.name in self._seconds:
                known.setdefault(_kind(step), []).append(self._seconds[step.name])
        every = [seconds for some in known.values() for seconds in some] or [_NEVER_MEASURED]
        usual = {kind: median(some) for kind, some in known.items()}
        return {step.name: self._seconds.get(step.name, usual.get(_kind(step), median(every))) for step in steps}

    def _dependents(self) -> dict[str, list[str]]:
        """For each certain step, the certain ones that wait for it; what another of their needs implies is left out."""
        certain = {step.name for step in self._certain}
        after: dict[str, list[str]] = {name: [] for name in certain}
        for step in self._certain:
            implied: set[str] = set()
            for need in self._needs[step.name]:  # what is mounted on top comes first, so it implies what is below
                if need in certain and need not in implied:
                    implied.update(self._needs[need])
                    after[need].append(step.name)
        return after

    # -- what is told ----------------------------------------------------------------------------------------------

    def urgency(self) -> dict[str, float]:
        """Seconds from the start of each step, and of each fetch by its source's name, to the end of all that waits for
        it: the longest path. What is started first should have the most."""
        found = dict(self._urgency)
        for step in self._plan.steps:
            if step.action == "build":
                for source in step.node.sources:
                    found[source.name] = max(found.get(source.name, 0.0), found[step.name])
        return found

    def after(self) -> dict[str, float]:
        """For each step that others wait for, the most that `urgency` says of one of those."""
        return dict(self._follows)

    def steps(self) -> dict[str, float]:
        """The seconds forecast for each step, by its name (`build ucx`), where they are known."""
        return dict(self._seconds)

    @property
    def known(self) -> bool:
        """Whether there is anything to tell of the time: something is known, or nothing is left to do."""
        return bool(self._seconds.keys() & self._after.keys()) or not self._certain

    @property
    def complete(self) -> bool:
        """Whether the time of every build is known that is certain to be done."""
        return all(step.name in self._seconds for step in self._certain if step.action == "build")

    @property
    def fetch_bytes(self) -> int:
        """The size of what is fetched over the network, as far as it is known."""
        return sum(source.size or 0 for source in self._plan.fetch if not source.at_hand)

    def left(
        self, ended: frozenset[str] = frozenset(), running: Mapping[str, float] | None = None, fetched: int = 0
    ) -> float:
        """Seconds until all is done; a step of which nothing is known counts as none.

        `ended` are steps that are done, `running` maps others to the seconds that they have taken so far, `fetched` is
        in bytes. What runs longer than it did before is taken to end now.
        """
        running = running or {}
        own = {
            step.name: max(0.0, self._seconds.get(step.name, 0.0) - running.get(step.name, 0.0))
            for step in self._certain
            if step.name not in ended
        }
        if not own:
            return self._tail
        return self._run(own, running.keys() & own.keys(), self._arrivals(fetched)) + self._tail

    def text(
        self, ended: frozenset[str] = frozenset(), running: Mapping[str, float] | None = None, fetched: int = 0
    ) -> str:
        """`about 4 min`; `at least 4 min` if of some build nothing is known, or one is slower than it was; `time
        unknown` if nothing is known of any; empty if there is too little to tell."""
        left = self.left(ended, running, fetched)
        builds = {step.name for step in self._certain if step.action == "build"} - ended
        unknown = builds - self._seconds.keys()
        slower = {name for name, took in (running or {}).items() if took > self._seconds.get(name, took) + SAID_FROM}
        if left < SAID_FROM:
            return UNKNOWN if unknown else ""
        return f"{'at least' if unknown or slower - ended else 'about'} {rough(left)}"

    # -- the run in thought ----------------------------------------------------------------------------------------

    def _arrivals(self, fetched: int) -> dict[str, float]:
        """When, in seconds from now, the last source of each build is here: fetched one after the other, those first
        that the longest path waits for."""
        if not self._rate or not self._plan.fetch:
            return {}
        urgency = self.urgency()
        here: dict[str, float] = {}
        so_far = -fetched
        for source in sorted(self._plan.fetch, key=lambda source: -urgency.get(source.name, 0.0)):
            so_far += source.size or 0
            here[source.name] = max(0.0, so_far / self._rate)
        builds = [step for step in self._certain if step.action == "build"]
        return {step.name: max((here.get(s.name, 0.0) for s in step.node.sources), default=0.0) for step in builds}

    def _run(self, own: Mapping[str, float], running: Iterable[str], arrivals: Mapping[str, float]) -> float:
        """Seconds until all of `own` (step -> seconds that it still takes) has ended; `running` have begun."""
        missing = dict.fromkeys(own, 0)
        for name in own:
            for later in self._after[name]:
                if later in missing:
                    missing[later] += 1
        now, free = 0.0, self._jobs
        ready: list[tuple[float, str]] = []  # most urgent first
        ahead: list[tuple[float, str, bool]] = []  # (when, step, whether it ends then: else its sources are here)
        for name in running:
            heapq.heappush(ahead, (own[name], name, True))
            missing[name] = -1
            free -= 1
        for name in [name for name, count in missing.items() if count == 0]:
            heapq.heappush(ahead, (arrivals.get(name, 0.0), name, False))
        while ahead:
            now, name, ends = heapq.heappop(ahead)
            if not ends:
                heapq.heappush(ready, (-self._urgency[name], name))
            else:
                free += 1
                for later in self._after[name]:
                    if later in missing:
                        missing[later] -= 1
                        if missing[later] == 0:
                            heapq.heappush(ahead, (max(now, arrivals.get(later, 0.0)), later, False))
            if ahead and ahead[0][0] == now:
                continue  # what is ready at the same moment is compared first
            while ready and free > 0:
                _, name = heapq.heappop(ready)
                heapq.heappush(ahead, (now + own[name], name, True))
                free -= 1
        return now


def _kind(step: Step) -> str:
    return step.node.builder if step.action == "build" else step.action


def _needs(step: Step) -> list[str]:
    """The builds that a step waits for, if they are to be done."""
    node = step.node
    if step.action == "build":
        return [f"build {name}" for name in node.build]
    if step.action == "substitute":
        return []
    inputs = node.check.inputs if node.check is not None else ()
    names = dict.fromkeys((node.name, *inputs, *node.runtime))
    return [f"{how} {name}" for name in names for how in ("build", "substitute")]


def _urgency(needs: Mapping[str, list[str]], weights: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The longest path from the start of each step, and from its end."""
    waiting = dict.fromkeys(needs, 0)  # how many of the steps that need it are not done with here
    for name in waiting:
        for need in needs[name]:
            waiting[need] += 1
    after: dict[str, float] = {}
    found: dict[str, float] = {}
    last = [name for name, count in waiting.items() if count == 0]
    while last:
        name = last.pop()
        urgency = found[name] = weights[name] + after.get(name, 0.0)
        for need in needs[name]:
            after[need] = max(after.get(need, 0.0), urgency)
            waiting[need] -= 1
            if waiting[need] == 0:
                last.append(need)
    return found, after


def median(values: Sequence[float]) -> float:
    """The middle one of `values`, of which there are some, or the mean of the two there."""
    ordered = sorted(values)  # the module `statistics` takes longer to import than a plan to make
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def rough(seconds: float) -> str:
    """`45 s`, `4 min`, `1 h 07 min`: a forecast has no more digits."""
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
