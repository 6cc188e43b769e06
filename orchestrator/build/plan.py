"""What a goal needs done, and why, as data. Pure: it asks the store through `Known` and changes nothing.

A plan is a forecast: whether a step whose inputs are built again really runs is known only once their bytes are (early
cutoff), so such a step is `maybe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from orchestrator.digest import Digest, key_of
from orchestrator.graph.closure import check_mounts, checks_of, closure_key
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys, explain


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


Action = Literal["reuse", "build", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a plan. `maybe` steps run only if an input's bytes turn out different."""

    action: Action
    node: Node
    maybe: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.action} {self.node.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in an order that works; `fetch` is what the certain builds lack. `done` maps finished goals to outputs."""

    steps: tuple[Step, ...]
    fetch: tuple[Source, ...]
    done: tuple[tuple[str, Digest], ...]

    def count(self, action: Action, *, maybe: bool = False) -> int:
        return sum(1 for step in self.steps if step.action == action and step.maybe == maybe)


class _Planner:
    def __init__(self, graph: Graph, known: Known) -> None:
        self.graph = graph
        self.known = known
        self.keys = derivation_keys(graph)
        self.steps: dict[str, Step] = {}
        self._digests: dict[str, Digest | None] = {}

    def digest(self, name: str) -> Digest | None:
        """The output's digest as far as it is known without building."""
        if name not in self._digests:
            self._digests[name] = self._find(name)
        return self._digests[name]

    def _find(self, name: str) -> Digest | None:
        node = self.graph[name]
        inputs = {i: self.digest(i) for i in node.build}
        certain = {i: d for i, d in inputs.items() if d is not None}
        if len(certain) < len(inputs):
            return self.known.output(self.keys[name])
        return self.known.output(key_of(derivation_document(node, certain)))

    def demand(self, name: str, *, maybe: bool = False) -> None:
        """Plan for the object of `name` to be in the store."""
        before = self.steps.get(f"object {name}")
        if before is not None and (not before.maybe or maybe):
            return
        node = self.graph[name]
        digest = self.digest(name)
        if digest is not None and self.known.present(digest):
            self.steps[f"object {name}"] = Step(action="reuse", node=node)
            return
        unknown = [i for i in node.build if self.digest(i) is None]
        last = self._nearest(node)
        # It was built before and only inputs moved: it will be cut off if their bytes turn out the same.
        doubtful = maybe or (digest is None and bool(unknown) and last is not None and self._only_inputs(node, last))
        for i in node.build:
            self.demand(i, maybe=maybe or (doubtful and i not in unknown))
        self.steps.pop(f"object {name}", None)
        reason = self._reason(node, digest, last)
        self.steps[f"object {name}"] = Step(action="build", node=node, maybe=doubtful, reason=reason)

    def _document(self, node: Node) -> dict[str, Any]:
        return derivation_document(node, {i: self.keys[i] for i in node.build})

    def _nearest(self, node: Node) -> Mapping[str, Any] | None:
        """Of the last successes of this recipe, the one that differs least from what is asked for now."""
        now = self._document(node)
        return min(self.known.documents(node.name), key=lambda before: len(explain(before, now)), default=None)

    def _only_inputs(self, node: Node, last: Mapping[str, Any]) -> bool:
        now = self._document(node)
        return all(now.get(field) == last.get(field) for field in {*now, *last} - {"inputs"})

    def _reason(self, node: Node, digest: Digest | None, last: Mapping[str, Any] | None) -> str:
        if digest is not None:
            return "its output is no longer in the store"
        if last is None:
            return "never built here"
        return "; ".join(explain(last, self._document(node))) or "built before, its record is gone"

    def check(self, name: str) -> None:
        """Plan for the check of `name` to have passed."""
        node = self.graph[name]
        assert node.check is not None
        digest = self.digest(name)
        others = {i: self.digest(i) for i in check_mounts(self.graph, node)}
        certain = {i: d for i, d in others.items() if d is not None}
        pending = [s.node.name for k, s in self.steps.items() if k.startswith("object ") and s.action == "build"]
        maybe = False
        reason = "not checked yet"
        if digest is not None and len(certain) == len(others):
            if self.known.checked(key_of(check_document(self.graph, node, digest, certain))):
                return
        else:
            changed = [i for i in others if i in pending]
            steps = [self.steps[f"object {i}"] for i in changed]
            maybe = all(s.maybe or self._nearest(s.node) is not None for s in steps)
            reason = "if the bytes change of " + ", ".join(changed) if maybe else reason
        for i in node.check.inputs:
            self.demand(i, maybe=maybe)
        self.steps[f"check {name}"] = Step(action="check", node=node, maybe=maybe, reason=reason)


def make_plan(graph: Graph, known: Known, objects: Iterable[str] = ()) -> Plan:
    """The plan that realises every goal of `graph`, passes its checks and has the outputs of the nodes named in
    `objects`, given what the store has."""
    planner = _Planner(graph, known)
    done: list[tuple[str, Digest]] = []
    for goal in graph.goals:
        output = known.goal(closure_key(graph, goal, planner.keys))
        if output is not None:
            done.append((goal, output))
            continue
        node = graph[goal]
        for name in (*reversed(node.runtime), goal):
            planner.demand(name)
        for name in checks_of(graph, goal):
            planner.check(name)
    for name in objects:
        planner.demand(name)
    steps = tuple(planner.steps.values())
    fetch: dict[str, Source] = {}
    for step in steps:
        if step.action == "build" and not step.maybe:
            fetch.update({s.name: s for s in step.node.sources if not known.source(s)})
    return Plan(steps=steps, fetch=tuple(fetch.values()), done=tuple(done))
