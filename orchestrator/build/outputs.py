"""What records tell of a graph's outputs, so that they need not be built, and the record of a goal that is finished.
Knows no step and no sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from orchestrator.digest import Digest, key_of
from orchestrator.graph.closure import closure_document
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.keys import derivation_keys, key_form
from orchestrator.store import ClosureItem, Goal, Layout, read_realisation

Recorded = Mapping[str, tuple[str, Digest]]  # as Plan.recorded


def recorded_output(layout: Layout, key: Digest) -> Digest | None:
    """The output of the record of a derivation or build key, if there is one."""
    record = read_realisation(layout, key)
    return None if record is None else record.output


class Outputs:
    """The digests by node. `output` tells what the record of a key leads to; `planned` is what the plan found just now:
    with it, nothing is looked up before it is asked for."""

    def __init__(self, graph: Graph, output: Callable[[Digest], Digest | None], planned: Recorded | None) -> None:
        self._graph = graph
        self._keys = derivation_keys(graph)
        self._output = output
        self._planned = planned
        self._found: dict[str, Digest] = {}

    def forget(self) -> None:
        """Things have moved: nothing that was found holds."""
        self._planned = None
        self._found = {}

    @property
    def are_planned(self) -> bool:
        """Whether the plan found what records tell, and nothing has moved since."""
        return self._planned is not None

    def look_up(self, offer: Callable[[str, Mapping[str, Digest]], Digest | None]) -> None:
        """Find all that records tell. Where those of all inputs are known, the build key decides: what was built with
        other bytes of the same derivation is no answer. `offer` says what can be copied of a node that no record tells
        of, given its inputs' digests."""
        texts: dict[str, str] = {}
        for node in self._graph.nodes:  # inputs come first
            inputs = {i: self._found[i] for i in node.build if i in self._found}
            whole = len(inputs) == len(node.build)
            made = self._output(key_form(self._graph, node.name).key(texts) if whole else self._keys[node.name])
            found = made if made is not None and self._output(self._keys[node.name]) == made else None
            if made is None:
                found = offer(node.name, inputs)
            if found is not None:
                self._found[node.name] = found
                texts[node.name] = str(found)

    def get(self, name: str) -> Digest | None:
        """The digest of a node's output, if records tell it."""
        if name not in self._found and self._planned is not None and name in self._planned:
            _, made = self._planned[name]
            if self._output(self._keys[name]) == made:
                self._found[name] = made
        return self._found.get(name)

    def unknown(self) -> list[Node]:
        """The nodes of which no record tells, as far as was looked."""
        known = {*self._found, *self._plan}
        return [self._graph[name] for name in self._graph.names if name not in known]

    def needed(self, nodes: Iterable[Node]) -> list[Digest]:
        """The digests, as far as they are known, of what `nodes` are built with and the goals are run with."""
        goals = [self._graph[goal] for goal in self._graph.goals]
        names = [*(i for node in nodes for i in node.build), *(i for goal in goals for i in (*goal.runtime, goal.name))]
        known = {name: digest for name, (_, digest) in self._plan.items()} | self._found
        return [known[name] for name in names if name in known]

    @property
    def _plan(self) -> Recorded:
        return self._planned or {}


def finished_goal(graph: Graph, goal: str, digests: Mapping[str, Digest]) -> Goal:
    """The record of a goal whose checks have passed just now. `digests` are those of its runtime closure and, last, its
    own."""
    keys = derivation_keys(graph)
    document = closure_document(graph, goal, keys)
    items = ((graph[name], digest) for name, digest in digests.items())
    return Goal(
        key=key_of(document),
        goal=goal,
        options=graph.options,
        output=digests[goal],
        closure=tuple(ClosureItem(one.name, one.version, one.origin, digest, keys[one.name]) for one, digest in items),
        finished=time.time(),
        document=document,
    )
