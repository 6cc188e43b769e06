"""What a goal needs done, and why, as data. Pure: it asks the store through `Known` and changes nothing.

A plan is a forecast: whether a step whose inputs are built again really runs is known only once their bytes are (early
cutoff), so such a step is `maybe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from orchestrator.digest import Digest, key_of
from orchestrator.frozen import field, frozen
from orchestrator.graph.closure import check_mounts, checks_of, closure_document, closure_key
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys, explain, key_form

if TYPE_CHECKING:
    from orchestrator.build.substitute import Offers
    from orchestrator.fetch.substituters import Found


class Known(Protocol):
    """What the store has, without changing it."""

    def output(self, key: Digest) -> Digest | None:
        """The output recorded for a derivation key or build key."""

    def present(self, digest: Digest) -> bool:
        """Whether an object is in the store."""

    def checked(self, key: Digest) -> bool:
        """Whether the check of this key has passed."""

    def goal(self, key: Digest) -> Digest | None:
        """The output of a finished goal whose whole closure is present."""

    def documents(self, name: str) -> Iterable[Mapping[str, Any]]:
        """The derivation documents of a recipe's last successes, newest first."""

    def source(self, source: Source) -> bool:
        """Whether a source is in the store."""


@runtime_checkable
class Recalls(Known, Protocol):
    """A `Known` that can also say what was checked. Without it a check that changed is told as one never run."""

    def goal_checks(self, goal: str, options: tuple[tuple[str, str], ...]) -> Iterable[Mapping[str, Any]]:
        """`checks` of the closure documents of a goal's last successes with these options, newest first."""


@runtime_checkable
class Tells(Known, Protocol):
    """A `Known` that can be asked of many records or objects in one go."""

    def absent(self, objects: Sequence[str]) -> list[int]:
        """The places of those objects (hex) that are not in the store."""

    def untold(self, recorded: Sequence[tuple[str, str] | None]) -> list[int]:
        """The places of all but those (key, output; hex) of which a record surely tells that output for that key."""


NOT_SUBSTITUTED = "; not substituted: "  # in a reason, before why a cache did not help
_BYTES = "if the bytes change of "
_SHOWN = 4  # changes or names of a reason in a line of text
Action = Literal["substitute", "build", "check"]


@frozen
class Step:
    """One line of a plan. `maybe` steps run only if an input's bytes turn out different."""

    action: Action
    node: Node
    maybe: bool = False
    reason: str = ""
    size: int = 0  # bytes that a substitution moves

    @property
    def name(self) -> str:
        return f"{self.action} {self.node.name}"


def short_reason(reason: str, goal: str) -> str:
    """A reason for a line of text: of many changes or names the first, and who has the others."""
    if not reason:
        return reason
    said, not_substituted, why_not = reason.partition(NOT_SUBSTITUTED)
    between = ", " if said.startswith(_BYTES) else "; "
    parts = said.split(between)
    if len(parts) > _SHOWN:
        more = len(parts) - _SHOWN + 1
        said = f"{between.join(parts[: _SHOWN - 1])}{between}... and {more} more: orch why {goal}, or --json"
    return said + not_substituted + why_not


@frozen
class Plan:
    """Steps in an order that works; `fetch` is what the certain builds lack. `done` maps finished goals to outputs,
    `there` names what the steps and the other goals need and the store has. `recorded` says of nodes by which key (hex)
    a record was found, and which output that tells."""

    steps: tuple[Step, ...]
    fetch: tuple[Source, ...]
    done: tuple[tuple[str, Digest], ...]
    there: tuple[str, ...] = ()
    recorded: Mapping[str, tuple[str, Digest]] = field(default_factory=dict)

    def count(self, action: Action, *, maybe: bool = False) -> int:
        return sum(1 for step in self.steps if step.action == action and step.maybe == maybe)

    @property
    def copy_bytes(self) -> int:
        """What the certain substitutions move."""
        return sum(step.size for step in self.steps if not step.maybe)


_Demand = tuple[str, bool]  # a name, and whether only perhaps


class _Planner:
    def __init__(self, graph: Graph, known: Known, offers: Offers | None) -> None:
        self.graph = graph
        self.known = known
        self.offers = offers
        self._offered: dict[str, Found] = {}
        self.keys = derivation_keys(graph)
        self.steps: dict[str, Step] = {}
        self.there: dict[str, None] = {}
        self.recorded: dict[str, tuple[str, Digest]] = {}
        self._digests: dict[str, Digest | None] = {}
        self._texts: dict[str, str] = {}  # those that are not None
        self._demands: dict[str, bool] = {}
        self._documents: dict[str, dict[str, Any]] = {}
        self._last: dict[str, Mapping[str, Any] | None] = {}
        self._checks: dict[str, tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]] = {}  # by goal: now, before

    def digest(self, name: str) -> Digest | None:
        """The output's digest as far as it is known without building."""
        if not self._digests:
            self._find_all()
        return self._digests[name]

    def _find_all(self) -> None:
        """Look up the outputs of all nodes. A node that is as it was when the graph was remembered, its inputs' outputs
        too, has the build key that it had."""
        past = self.graph.past
        moved: set[int] = set()
        told: set[int] = set()
        if past is not None:
            moved.update(past.fresh)
            if isinstance(self.known, Tells):
                told = set(range(len(past.recorded))).difference(self.known.untold(past.recorded), past.fresh)
        digests, recorded, texts = self._digests, self.recorded, self._texts
        for place, name in enumerate(self.graph.names):
            was = None
            if past is not None and place not in past.fresh and moved.isdisjoint(past.builds[place]):
                was = past.recorded[place]
                if was is not None and place in told:
                    key, output = was
                    digests[name] = there = Digest("blake3", output)
                    recorded[name] = key, there
                    texts[name] = f"blake3:{output}"
                    continue
            found = self._find(name) if was is None else self._find_again(name, *was)
            self._digests[name] = found
            if found is None or (past is not None and (found.hex,) != (past.recorded[place] or ("",))[1:]):
                moved.add(place)
            if found is not None:
                self._texts[name] = str(found)

    def _find_again(self, name: str, key: str, output: str) -> Digest | None:
        found = self.known.output(Digest("blake3", key))
        if found is None or found.hex != output:
            return self._find(name)
        self.recorded[name] = key, found
        return found

    def _find(self, name: str) -> Digest | None:
        node = self.graph[name]
        whole = all(i in self._texts for i in node.build)
        key = key_form(self.graph, name).key(self._texts) if whole else self.keys[name]
        found = self.known.output(key)
        if found is not None:
            self.recorded[name] = key.hex, found
        elif self.offers is not None:
            inputs = {i: digest for i in node.build if (digest := self._digests.get(i)) is not None}
            offer = self.offers.find(name, inputs)
            if offer is not None:
                self._offered[name] = offer
                found = offer.entry.output
        return found

    def look(self, names: Sequence[str]) -> None:
        """Find out which outputs are in the store, all in one go if that can be."""
        if not self._digests:
            self._find_all()
        found = {name: digest.hex for name in names if (digest := self._digests[name]) is not None}
        if isinstance(self.known, Tells):
            absent = set(self.known.absent(tuple(found.values())))
            self.there.update((name, None) for place, name in enumerate(found) if place not in absent)

    def demand(self, name: str, *, maybe: bool = False) -> None:
        """Plan for the object of `name` to be in the store: what it is built with comes before it."""
        todo: list[_Demand | Step] = [(name, maybe)]
        while todo:
            one = todo.pop()
            if isinstance(one, Step):  # all that it needs is planned
                self.steps[f"object {one.node.name}"] = one
            elif one[0] not in self.there:
                todo += self._demanded(*one)

    def _demanded(self, name: str, maybe: bool) -> list[_Demand | Step]:
        """What is left to do for the object of `name`, the first last."""
        if name in self._demands and self._demands[name] <= maybe:
            return []  # twice at most: perhaps, then for certain
        self._demands[name] = maybe
        digest = self.digest(name)
        if digest is not None and self.known.present(digest):
            self.there[name] = None
            return []
        node = self.graph[name]
        offer = self._offer(name, digest)
        if offer is not None:
            return [
                Step(
                    action="substitute", node=node, maybe=maybe, size=offer.entry.size,
                    reason=f"from {offer.place.shown}",
                )
            ]  # fmt: skip
        unknown = {i for i in node.build if self.digest(i) is None}
        # It was built before and only inputs moved: it will be cut off if their bytes turn out the same.
        doubtful = maybe or (digest is None and bool(unknown) and self._only_inputs(node))
        step = Step(action="build", node=node, maybe=doubtful, reason=self._reason(node, digest))
        needs = [i for i in reversed(node.build) if i not in self.there]
        return [step, *((i, maybe or (doubtful and i not in unknown)) for i in needs)]

    def _offer(self, name: str, digest: Digest | None) -> Found | None:
        if name in self._offered or digest is None or self.offers is None:
            return self._offered.get(name)
        return self.offers.find_output(name, digest)

    def _document(self, node: Node) -> dict[str, Any]:
        if node.name not in self._documents:
            self._documents[node.name] = derivation_document(node, self.keys)
        return self._documents[node.name]

    def _nearest(self, node: Node) -> Mapping[str, Any] | None:
        """Of the last successes of this recipe, the one that differs least from what is asked for now."""
        if node.name not in self._last:
            now, least = self._document(node), None
            for before in self.known.documents(node.name):
                changes = len(explain(before, now))
                if least is None or changes < least[0]:
                    least = changes, before
                if changes <= 1:  # none differs less
                    break
            self._last[node.name] = least and least[1]
        return self._last[node.name]

    def _only_inputs(self, node: Node) -> bool:
        now, last = self._document(node), self._nearest(node)
        return last is not None and all(now.get(field) == last.get(field) for field in {*now, *last} - {"inputs"})

    def _reason(self, node: Node, digest: Digest | None) -> str:
        why_not = self.offers.why_not(node.name) if self.offers is not None else ""
        reason = self._own_reason(node, digest)
        return f"{reason}{NOT_SUBSTITUTED}{why_not}" if why_not else reason

    def _own_reason(self, node: Node, digest: Digest | None) -> str:
        if digest is not None:
            return "its output is no longer in the store"
        last = self._nearest(node)
        if last is None:
            return "never built here"
        return "; ".join(explain(last, self._document(node))) or "built before, its record is gone"

    def _check_changes(self, name: str, goal: str) -> str:
        """What is different of the check itself, its nearest success of the same goal beside it; "" if nothing is or
        nobody knows."""
        if not isinstance(self.known, Recalls):
            return ""
        if goal not in self._checks:
            now = closure_document(self.graph, goal, self.keys)["checks"]
            self._checks[goal] = now, tuple(self.known.goal_checks(goal, self.graph.options))
        now, before = self._checks[goal]
        texts = [explain(_alone(checks[name]), _alone(now[name])) for checks in before if name in checks]
        return "; ".join(f"check {text}" for text in min(texts, key=len, default=[]))

    def check(self, name: str, goal: str) -> None:
        """Plan for the check of `name`, one of those of `goal`, to have passed."""
        node = self.graph[name]
        assert node.check is not None
        digest = self.digest(name)
        others = {i: self.digest(i) for i in check_mounts(self.graph, node)}
        certain = {i: d for i, d in others.items() if d is not None}
        maybe = False
        if digest is not None and len(certain) == len(others):
            key = key_of(check_document(self.graph, node, digest, certain))
            if self.known.checked(key) or (self.offers is not None and self.offers.check(name, key) is not None):
                return
        changed = self._check_changes(name, goal)
        reason = changed or "not checked yet"
        if not changed and (digest is None or len(certain) < len(others)):
            planned = {i: self.steps[f"object {i}"] for i in others if f"object {i}" in self.steps}
            steps = [step for step in planned.values() if step.action == "build"]
            maybe = all(s.maybe or self._nearest(s.node) is not None for s in steps)
            reason = _BYTES + ", ".join(s.node.name for s in steps) if maybe else reason
        for i in node.check.inputs:
            self.demand(i, maybe=maybe)
        self.steps[f"check {name}"] = Step(action="check", node=node, maybe=maybe, reason=reason)


def _alone(check: Mapping[str, Any]) -> dict[str, Any]:
    """What of a check's part of a closure document is in its key whatever the bytes of its inputs are."""
    files = sorted(check["files"], key=lambda file: str(file["name"]))
    return {**check, "files": files, "inputs": dict.fromkeys(sorted(check["inputs"]))}


def finished(graph: Graph, known: Known) -> dict[str, Digest]:
    """The goals for which nothing is to do, and their outputs."""
    keys = derivation_keys(graph)
    found = {goal: known.goal(closure_key(graph, goal, keys)) for goal in graph.goals}
    return {goal: output for goal, output in found.items() if output is not None}


def make_plan(
    graph: Graph,
    known: Known,
    objects: Iterable[str] = (),
    offers: Offers | None = None,
    done: Mapping[str, Digest] | None = None,
) -> Plan:
    """The plan that realises every goal of `graph`, passes its checks and has the outputs of the nodes named in
    `objects`, given what the store has, and what `offers` has to copy. `done`: what is `finished`, if the caller has
    asked just now."""
    planner = _Planner(graph, known, offers)
    done = finished(graph, known) if done is None else done
    for goal in graph.goals:
        if goal in done:
            continue
        names = (*reversed(graph[goal].runtime), goal)
        planner.look(names)
        for name in names:
            if name not in planner.there:
                planner.demand(name)
        for name in checks_of(graph, goal):
            planner.check(name, goal)
    for name in objects:
        planner.demand(name)
    steps = tuple(planner.steps.values())
    fetch: dict[str, Source] = {}
    for step in steps:
        if step.action == "build" and not step.maybe:
            fetch.update({s.name: s for s in step.node.sources if not known.source(s)})
    return Plan(
        steps=steps,
        fetch=tuple(fetch.values()),
        done=tuple(done.items()),
        there=tuple(planner.there),
        recorded=planner.recorded,
    )
