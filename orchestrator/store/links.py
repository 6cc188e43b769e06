"""What leads from one derivation to another: what it was built with, and what it needs at run time. Pure, over facts.

Records of before do not tell what is needed at run time; then a finished goal's record does, if there is one, and else
nothing is known, which is None and never an empty answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

from orchestrator.frozen import frozen
from orchestrator.store.index import Facts, GoalFacts, Index
from orchestrator.store.questions import newest
from orchestrator.store.select import Chosen

Reason = Literal["runtime", "build"]


@frozen
class Link:
    """One step from a derivation to what it needs."""

    reason: Reason
    name: str  # the recipe of what is needed
    key: str  # its derivation key, hex


class Links:
    """Every derivation of a store, by key, with what it refers to."""

    def __init__(self, facts: Iterable[Facts], goals: Iterable[GoalFacts] = ()) -> None:
        self.facts: Mapping[str, Facts] = {one.key: one for one in facts}
        self.by_output = newest(self.facts.values())
        self._closures: dict[str, dict[str, str]] = {}  # what goals tell, by the goal's object
        for goal in goals:
            told = {
                name: key or self.by_output[digest].key
                for name, _, _, digest, key in goal.closure
                if (key or digest in self.by_output) and digest != goal.output
            }
            if len(told) == len(goal.closure) - 1:  # newest first: an older one tells no more
                self._closures.setdefault(goal.output, told)

    def key(self, chosen: Chosen) -> str | None:
        """The derivation key of an object: the one that was asked for, else the newest; None if no record tells."""
        if chosen.facts is not None and chosen.facts.key in self.facts:
            return chosen.facts.key
        newest_one = self.by_output.get(chosen.hex)
        return newest_one.key if newest_one is not None else None

    def runtime(self, key: str) -> dict[str, str] | None:
        """The runtime closure without the derivation itself: recipe -> key; None where nothing tells."""
        one = self.facts.get(key)
        if one is None:
            return None
        if one.origin:  # the record is of a time when records told
            return {name: other for name, other in one.runtime if other != key}
        return self._closures.get(one.output or "")

    def direct(self, key: str) -> tuple[list[Link], bool]:
        """What a derivation itself refers to, and whether that is known of what it needs at run time. Of its runtime
        closure it is what no other member needs; where it is not known what these need, it may be told of too much."""
        one = self.facts.get(key)
        closure = self.runtime(key)
        inner = [self.runtime(other) for other in (closure or {}).values()]
        found = []
        if closure:
            behind = {other for one in inner if one for other in one.values()}
            found = [Link(reason="runtime", name=name, key=other) for name, other in closure.items()]
            found = [link for link in found if link.key not in behind]
        if one is not None:
            found += [Link(reason="build", name=name, key=other) for name, other in one.inputs]
        return found, closure is not None and None not in inner

    def referrers(self, output: str) -> list[tuple[Facts, Reason]]:
        """What refers to an object directly, with the reason; what does for two reasons is there twice. Of several
        derivations that led to the same object the newest. Sorted by reason, recipe and age."""
        found = {(one.output or one.key, reason): (one, reason) for one, reason in self._referrers(output)}
        return sorted(found.values(), key=lambda pair: (pair[1] == "build", pair[0].name, -pair[0].finished))

    def _referrers(self, output: str) -> Iterator[tuple[Facts, Reason]]:
        """The oldest first."""
        keys = {key for key, one in self.facts.items() if one.output == output}
        for key, one in sorted(self.facts.items(), key=lambda item: item[1].finished):
            closure = self.runtime(key)
            near = keys & {other for _, other in one.inputs} or (closure and keys & set(closure.values()))
            if near and one.output != output:
                for link in self.direct(key)[0]:
                    if link.key in keys:
                        yield one, link.reason

    def build_closure(self, key: str) -> dict[str, str]:
        """All that a derivation was built with, and what that was built with: key -> recipe. Without itself."""
        found: dict[str, str] = {}
        todo = [key]
        while todo:
            one = self.facts.get(todo.pop())
            for name, other in one.inputs if one else ():
                if other not in found:
                    found[other] = name
                    todo.append(other)
        return found

    def why(self, key: str, outputs: Collection[str]) -> list[Link] | None:
        """The shortest way from a derivation to one of some objects, one that needs no build input if there is such a
        way; None if there is none. An empty one leads to itself."""
        for reasons in (("runtime",), ("runtime", "build")):
            found = self._way(key, outputs, reasons)
            if found is not None:
                return found
        return None

    def _way(self, key: str, outputs: Collection[str], reasons: tuple[str, ...]) -> list[Link] | None:
        ways: dict[str, list[Link]] = {key: []}
        todo = deque([key])
        while todo:
            here = todo.popleft()
            one = self.facts.get(here)
            if one is not None and one.output in outputs:
                return ways[here]
            for link in self.direct(here)[0]:
                if link.reason in reasons and link.key not in ways:
                    ways[link.key] = [*ways[here], link]
                    todo.append(link.key)
        return None


def read_links(index: Index) -> Links:
    """The links of a store."""
    facts = list(index.facts("derivation"))
    return Links(facts, index.goals() if any(not one.origin for one in facts) else ())
