"""The layered layout: nothing overlaps, edges lead to the right, what shares a way is drawn once."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.drawing.layers import lay_out
from orchestrator.cli.drawing.picture import Edge, Kind

SIZE = (120.0, 42.0)


def point(x: float, y: float) -> tuple[int, int]:
    """A place, to a hundredth of a pixel."""
    return round(100 * x), round(100 * y)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[Edge]]:
    """Sizes and edges without a circle: from a lower number to a higher one."""
    count = draw(st.integers(1, 24))
    sizes = {str(number): (draw(st.floats(20, 300)), draw(st.floats(10, 80))) for number in range(count)}
    pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60))
    kinds: list[Kind] = ["runtime", "build", "check"]
    edges = {(a, b): Edge(source=str(a), target=str(b), kind=draw(st.sampled_from(kinds))) for a, b in pairs if a < b}
    return sizes, list(edges.values())


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_lie_in_the_drawing(graph: tuple[dict[str, tuple[float, float]], list[Edge]]) -> None:
    sizes, edges = graph
    drawing = lay_out(sizes, edges)
    assert drawing.boxes.keys() == sizes.keys()
    for name, (x, y, width, height) in drawing.boxes.items():
        assert width >= sizes[name][0]
        assert height == sizes[name][1]
        assert x >= 0
        assert y >= 0
        assert x + width <= drawing.width
        assert y + height <= drawing.height + 0.01
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in combinations(drawing.boxes.values(), 2):
        apart = x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 + 0.01 or y2 + h2 <= y1 + 0.01
        assert apart


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_every_edge_can_be_followed_to_the_right(graph: tuple[dict[str, tuple[float, float]], list[Edge]]) -> None:
    sizes, edges = graph
    drawing = lay_out(sizes, edges)
    following: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for line in drawing.lines:
        assert line.start[0] < line.end[0]
        following.setdefault(point(*line.start), set()).add(point(*line.end))
    for edge in edges:
        x, y, width, height = drawing.boxes[edge.source]
        target_x, target_y, _, target_height = drawing.boxes[edge.target]
        reached, todo = set(), [point(x + width, y + height / 2)]
        while todo:
            at = todo.pop()
            if at not in reached:
                reached.add(at)
                todo += (
                    end for x in (-1, 0, 1) for y in (-1, 0, 1) for end in following.get((at[0] + x, at[1] + y), ())
                )
        end = point(target_x, target_y + target_height / 2)
        assert any(abs(end[0] - x) <= 1 and abs(end[1] - y) <= 1 for x, y in reached), "hundredths: they are rounded"


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_no_line_passes_through_a_box(graph: tuple[dict[str, tuple[float, float]], list[Edge]]) -> None:
    sizes, edges = graph
    drawing = lay_out(sizes, edges)
    for line in drawing.lines:
        (x1, y1), (x2, _) = line.start, line.end
        for x, y, width, height in drawing.boxes.values():
            if x1 < x + width and x < x2 and y1 == line.end[1]:  # the straight parts lie in columns
                assert not y < y1 < y + height or x2 <= x or x + width <= x1


def test_a_base_that_all_need_costs_one_way() -> None:
    # a chain of ten, each of which needs the base: without sharing, 45 lines would pass columns
    names = [f"n{number}" for number in range(10)]
    chain = [Edge(source=a, target=b, kind="runtime") for a, b in pairwise(names)]
    base = [Edge(source=name, target="base", kind="build") for name in names]
    drawing = lay_out(dict.fromkeys([*names, "base"], SIZE), [*chain, *base])
    through = [line for line in drawing.lines if line.kind == "build" and not line.tip and line.start[1] == line.end[1]]
    assert len([line for line in through if line.target == "base"]) <= 2 * 9
    ends = [line for line in drawing.lines if line.kind == "build" and line.tip]
    assert len(ends) == 2  # the way's, and that of the last of the chain


def test_a_crowd_is_spread_over_columns_and_shares_its_way() -> None:
    crowd = [f"wheel{number}" for number in range(200)]
    edges = [Edge(source="bytecode", target=name, kind="build") for name in crowd]
    drawing = lay_out(dict.fromkeys(["bytecode", *crowd], SIZE), edges)
    columns = {x for name, (x, _, _, _) in drawing.boxes.items() if name != "bytecode"}
    assert len(columns) == 5
    assert drawing.height < 60 * 45
    assert {line.source for line in drawing.lines if not line.target} == {"bytecode"}
    assert len(drawing.lines) == 200 + 2 * 4  # one to each, and the way through four columns


def test_crossings_that_need_not_be_are_undone() -> None:
    # a needs y, b needs x: drawn in the order given, the two cross
    edges = [Edge(source=s, target=t, kind="runtime") for s, t in [("r", "a"), ("r", "b"), ("a", "y"), ("b", "x")]]
    boxes = lay_out(dict.fromkeys(["r", "a", "b", "x", "y"], SIZE), edges).boxes
    assert (boxes["a"][1] < boxes["b"][1]) == (boxes["y"][1] < boxes["x"][1])


def test_a_thousand_boxes() -> None:
    names = [f"n{number}" for number in range(1000)]
    edges = [Edge(source=names[(i - 1) // 2], target=names[i], kind="runtime") for i in range(1, 1000)]
    edges += [Edge(source=names[i // 3], target=names[i], kind="build") for i in range(900, 1000)]
    drawing = lay_out(dict.fromkeys(names, SIZE), edges)
    assert len(drawing.boxes) == 1000
    assert sum(line.tip for line in drawing.lines) == len(edges)


def test_a_high_drawing_begins_at_the_top() -> None:
    def places(count: int) -> dict[str, tuple[float, float, float, float]]:
        names = [f"n{number}" for number in range(count)]
        edges = [Edge(source=names[(i - 1) // 2], target=names[i], kind="runtime") for i in range(1, count)]
        drawing = lay_out(dict.fromkeys(names, SIZE), edges)
        return {name: (x, y, y / drawing.height, height) for name, (x, y, _, height) in drawing.boxes.items()}

    assert places(255)["n0"][1] < 40
    assert 0.3 < places(31)["n0"][2] < 0.6


def test_nothing_to_draw() -> None:
    assert lay_out({}, []).boxes == {}
