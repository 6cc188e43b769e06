"""Which edges are drawn: as few as say all, and what groups and depths leave of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.drawing.picture import Box, Edge, Picture, edges_of, grouped, strongest, to_depth
from orchestrator.graph.derivation import Check, Graph, Node


def node(name: str, build: tuple[str, ...] = (), runtime: tuple[str, ...] = (), check: tuple[str, ...] = ()) -> Node:
    return Node(
        name=name,
        version="1",
        origin="source",
        platform="x86_64-linux",
        summary="",
        builder="script",
        is_base=False,
        options=(),
        flags=(),
        sources=(),
        patches=(),
        files=(),
        script="",
        build=build,
        runtime=runtime,
        check=Check(script="", inputs=check) if check else None,
    )


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Nodes whose inputs are closed under what runs with them, as the resolver makes them."""
    runtime: dict[str, tuple[str, ...]] = {}
    nodes = []
    for number in range(draw(st.integers(1, 12))):
        sets = []
        for _ in range(3):
            chosen = draw(st.sets(st.sampled_from(sorted(runtime)))) if runtime else set()
            sets.append(chosen | {below for name in chosen for below in runtime[name]})
        one = node(f"n{number:02}", *(tuple(sorted(names, reverse=True)) for names in sets))
        runtime[one.name] = one.runtime
        nodes.append(one)
    return Graph(goals=(nodes[-1].name,), nodes=tuple(nodes), options=())


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_what_is_mounted_can_be_told_from_the_edges(graph: Graph) -> None:
    edges = edges_of(graph)

    def runs_with(name: str) -> set[str]:
        direct = {edge.target for edge in edges if edge.source == name and edge.kind == "runtime"}
        return direct | {below for one in direct for below in runs_with(one)}

    for one in graph.nodes:
        assert runs_with(one.name) == set(one.runtime)
        for kind, mounted in (("build", one.build), ("check", one.check.inputs if one.check else ())):
            direct = {edge.target for edge in edges if edge.source == one.name and edge.kind == kind}
            assert direct | {below for name in direct for below in runs_with(name)} == set(mounted)
            for name in direct:  # and none could be left out
                assert name not in {below for other in direct - {name} for below in runs_with(other)}


def test_all_edges() -> None:
    graph = Graph(
        goals=("app",),
        nodes=(
            node("base"),
            node("lib", runtime=("base",)),
            node("app", runtime=("lib", "base"), build=("lib", "base")),
        ),
        options=(),
    )
    assert len(edges_of(graph)) == 3
    assert len(edges_of(graph, everything=True)) == 5
    assert [edge.kind for edge in strongest(edges_of(graph))] == ["runtime", "runtime"]


def picture() -> Picture:
    edges = [("image", "bytecode"), ("image", "w1"), ("image", "w2"), ("bytecode", "w1"), ("bytecode", "w2")]
    return Picture(
        title="image",
        roots=("image",),
        boxes=tuple(Box(name=name, state="in store") for name in ("image", "bytecode", "w1", "w2")),
        edges=tuple(Edge(source=a, target=b, kind="runtime") for a, b in edges),
    )


def test_a_group_takes_the_place_of_its_members() -> None:
    one = grouped(picture(), ["w1", "w2"], Box(name="2 wheels", state="in store", holds=("w1", "w2")))
    assert [box.name for box in one.boxes] == ["image", "bytecode", "2 wheels"]
    assert [(edge.source, edge.target) for edge in one.edges] == [
        ("image", "bytecode"),
        ("image", "2 wheels"),
        ("bytecode", "2 wheels"),
    ]
    assert one.summary() == "4 in store"


def test_depth() -> None:
    chain = Picture(
        title="",
        roots=("a",),
        boxes=tuple(Box(name=name) for name in "abcd"),
        edges=tuple(Edge(source=s, target=t, kind="build") for s, t in ("ab", "bc", "cd", "ad")),
    )
    part = to_depth(chain, 1)
    assert [box.name for box in part.boxes] == ["a", "b", "d"]
    assert [(edge.source, edge.target) for edge in part.edges] == [("a", "b"), ("a", "d")]
    assert to_depth(chain, 3) == chain
