"""Plans of graphs that are long or dense: no depth is too much, no diamond is walked once for each way through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from test_build_plan import Store, node

from orchestrator.build.plan import make_plan
from orchestrator.digest import Digest, key_of
from orchestrator.graph.derivation import Check, Graph, Node, Past
from orchestrator.graph.keys import derivation_document


def graph_of(nodes: list[Node], *goals: str) -> Graph:
    return Graph(goals=goals or (nodes[-1].name,), options=(), nodes=tuple(nodes))


def edited(graph: Graph, *names: str) -> Graph:
    nodes = (replace(one, script=f"{one.script} again") if one.name in names else one for one in graph.nodes)
    return Graph(goals=graph.goals, options=(), nodes=tuple(nodes))


def chain(length: int) -> Graph:
    nodes = [node("base")]
    for number in range(length):
        nodes.append(node(f"n{number}", build=(*([f"n{number - 1}"] if number else []), "base"), runtime=("base",)))
    return graph_of(nodes)


def test_a_chain_of_thousands_is_planned() -> None:
    graph, store = chain(5_000), Store()
    assert len(make_plan(graph, store).steps) == 5_001
    store.realise(graph)
    store.goals.clear()
    plan = make_plan(graph, store)
    assert (plan.steps, set(plan.there)) == ((), {"base", *graph.goals})
    plan = make_plan(edited(graph, "n0"), store)
    assert (plan.count("build"), plan.count("build", maybe=True)) == (1, 4_999)
    assert [step.node.name for step in plan.steps[:4]] == ["n0", "n1", "n2", "n3"]


def test_each_recipe_is_looked_at_once_however_many_ways_lead_to_it() -> None:
    """Everything is built with all before it: of 40 nodes there are 2^38 ways down."""
    names = [f"n{number}" for number in range(40)]
    nodes = [node("base")]
    for number, name in enumerate(names):
        below = (*reversed(names[:number]), "base")
        nodes.append(node(name, build=below, runtime=below, check="look"))
    graph, store = graph_of(nodes), Asked()
    store.realise(graph)
    store.goals.clear()
    plan = make_plan(edited(graph, "n0"), store)
    assert (plan.count("build"), plan.count("build", maybe=True)) == (1, 39)
    assert plan.count("check", maybe=True) == 40
    assert store.asked <= 40


class Asked(Store):
    """A store that counts how often it is asked for what was built before."""

    asked = 0

    def documents(self, name: str):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().documents(name)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    nodes = [node("base")]
    for number in range(draw(st.integers(1, 7))):
        before = [one.name for one in nodes[1:]]
        some = st.lists(st.sampled_from(before), unique=True, max_size=3) if before else st.just([])
        closures = {one.name: {one.name, *one.runtime} - {"base"} for one in nodes}
        runtime = {name for chosen in draw(some) for name in closures[chosen]}
        build = {name for chosen in draw(some) for name in closures[chosen]}
        check = Check(script="look", inputs=tuple(draw(some))) if draw(st.booleans()) else None
        made = node(
            f"n{number}",
            build=(*(name for name in reversed(before) if name in build), "base"),
            runtime=(*(name for name in reversed(before) if name in runtime), "base"),
        )
        nodes.append(replace(made, check=check))
    names = [one.name for one in nodes[1:]]
    return graph_of(nodes, *draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=2)))


def early(graph: Graph, steps: Iterator[Node]) -> Iterator[str]:
    """Builds that come before a build of something that they need."""
    order = [node.name for node in steps]
    for position, name in enumerate(order):
        yield from (name for need in graph[name].build if need in order[position + 1 :])


@settings(max_examples=300, deadline=None)
@given(graph=graphs(), data=st.data())
def test_what_is_needed_comes_first(graph: Graph, data: st.DataObject) -> None:
    store = Store()
    store.realise(graph)
    store.goals.clear()
    for known in (store.objects, store.checks):
        known -= set(data.draw(st.lists(st.sampled_from(sorted(known)), max_size=3))) if known else set()
    names = [one.name for one in graph.nodes]
    changed = edited(graph, *data.draw(st.lists(st.sampled_from(names), max_size=3)))
    plan = make_plan(changed, store)
    assert not list(early(changed, (step.node for step in plan.steps if step.action == "build")))
    certain = {step.node.name for step in plan.steps if step.action == "build" and not step.maybe}
    planned = {*plan.there, *(step.node.name for step in plan.steps if step.action != "check")}
    for name in certain:  # what surely runs has all that it needs, or a plan for it
        assert set(changed[name].build) <= planned


class Telling(Store):
    """A store that can be asked in bulk, as the real one."""

    def untold(self, recorded: Sequence[tuple[str, str] | None]) -> list[int]:
        told = [self.outputs.get(Digest("blake3", one[0])) if one else None for one in recorded]
        pairs = enumerate(zip(recorded, told, strict=True))
        return [place for place, (one, made) in pairs if not (one and made and made.hex == one[1])]

    def absent(self, objects: Sequence[str]) -> list[int]:
        return [place for place, one in enumerate(objects) if Digest("blake3", one) not in self.objects]


@settings(max_examples=300, deadline=None)
@given(graph=graphs(), data=st.data())
def test_a_remembered_graph_has_the_same_plan(graph: Graph, data: st.DataObject) -> None:
    """What is remembered of a graph saves questions, and changes no answer, no reason and no doubt."""
    store = Telling()
    digests = store.realise(graph)
    store.goals.clear()
    for known in (store.objects, store.checks, store.outputs):
        lost = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True)) if known else []
        for one in lost:
            known.pop(one) if isinstance(known, dict) else known.discard(one)
    names = [one.name for one in graph.nodes]
    changed = edited(graph, *data.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
    builds = [key_of(derivation_document(node, {i: digests[i] for i in node.build})) for node in graph.nodes]
    past = Past(
        builds=tuple(tuple(map(graph.place, node.build)) for node in graph.nodes),
        recorded=tuple((key.hex, digests[name].hex) for key, name in zip(builds, names, strict=True)),
        required=(),
        fresh=frozenset(place for place, node in enumerate(changed.nodes) if node != graph.nodes[place]),
    )
    remembered = Graph(goals=graph.goals, options=(), nodes=changed.nodes, past=past)
    plain, told = (make_plan(one, store) for one in (changed, remembered))
    assert told == replace(plain, recorded=told.recorded)
