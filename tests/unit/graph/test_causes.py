"""Which nodes moved and why: causes, what is folded under them, and what is unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.graph.causes import NOT_ASKED, Causes, Side, causes, grouped, side_of
from orchestrator.graph.derivation import Graph
from orchestrator.graph.keys import derivation_keys

GraphOf = Callable[..., Graph]

LOW = """
[inputs]
build = ["builder"]
runtime = ["base"]
[versions.1]
origin = "source"
flags = ["--a"]
[versions.2]
origin = "source"
[build]
script = '''
make
make install
'''
"""
MIDDLE = LOW.replace('build = ["builder"]\nruntime = ["base"]', 'build = ["builder", "low"]\nruntime = ["base", "low"]')
TOP = """
[inputs]
build = ["builder", "middle"]
runtime = ["base", "middle"]
[versions.1]
origin = "source"
[runtime]
env = { TOP = "/top" }
ldconf = ["/top/lib"]
[build]
script = "make"
[check]
script = "top --version"
"""
BODIES = {"low": LOW, "middle": MIDDLE, "top": TOP}


def side(graph: Graph) -> Side:
    return side_of(graph, derivation_keys(graph))


def told(found: Causes) -> dict[str, tuple[str, list[str], tuple[str, ...]]]:
    """Kind, texts and causes by name."""
    return {
        one.name: (one.kind, [text for change in one.changes for text in change.texts], one.because)
        for one in found.nodes
    }


def moved(graph_of: GraphOf, goals: str, *settings: str, **bodies: str) -> Causes:
    """What moves when these bodies stand for those of before."""
    new = graph_of(goals, BODIES | bodies, *settings)
    return causes(side(graph_of(goals, BODIES)), side(new), new)


def test_nothing(graph_of: GraphOf) -> None:
    assert moved(graph_of, "top") == Causes(nodes=(), checks=())


def test_one_cause_and_all_that_stands_on_it(graph_of: GraphOf) -> None:
    found = moved(graph_of, "top", low=LOW.replace('"--a"', '"--a", "--b"'))
    assert told(found) == {
        "low": ("changed", ["flags: + --b"], ()),
        "middle": ("inputs", [], ("low",)),
        "top": ("inputs", [], ("low",)),
    }
    assert [one.name for one in found.roots] == ["low"]
    assert grouped(found.nodes) == {("low",): ("middle", "top")}
    assert grouped(found.checks) == {("low",): ("top",)}


def test_a_change_of_its_own_besides(graph_of: GraphOf) -> None:
    found = moved(graph_of, "top", low=LOW.replace('"--a"', '"--b"'), middle=MIDDLE.replace("install", "all"))
    assert told(found)["middle"] == ("changed", ["script line 2 changed"], ("low",))
    assert told(found)["top"] == ("inputs", [], ("low", "middle"))
    (change,) = next(one for one in found.nodes if one.name == "middle").changes
    assert change.lines == ("@@ -1,2 +1,2 @@", " make", "-make install", "+make all")


def test_another_version(graph_of: GraphOf) -> None:
    found = moved(graph_of, "top", "low.version=2")
    assert told(found)["low"] == ("changed", ["version: 1 -> 2", "flags: - --a"], ())
    assert [(one.before, one.after) for one in found.roots] == [("1", "2")]


def test_an_input_that_comes_or_goes(graph_of: GraphOf) -> None:
    extra = {"extra": LOW}
    new = graph_of("top", BODIES | extra | {"top": TOP.replace('"builder", "middle"', '"builder", "middle", "extra"')})
    old = graph_of("top", BODIES)
    assert told(causes(side(old), side(new), new)) == {
        "extra": ("new", [], ()),
        "top": ("changed", ["input extra added"], ()),
    }
    assert told(causes(side(new), side(old), old)) == {
        "top": ("changed", ["input extra removed"], ()),
        "extra": ("gone", [], ()),
    }


def test_what_an_input_runs_with_now_is_its_own_cause(graph_of: GraphOf) -> None:
    """low's key is the same: it is not built again, and all that is built with it is."""
    bodies = BODIES | {"extra": LOW, "low": LOW.replace('runtime = ["base"]', 'runtime = ["base", "extra"]')}
    old, new = graph_of("top", BODIES), graph_of("top", bodies)
    expected = {
        "low": ("runtime", ["runtime input extra added"], ()),
        "middle": ("inputs", [], ("low",)),
        "top": ("inputs", [], ("low",)),
    }
    assert told(causes(side(old), side(new), new)) == {"extra": ("new", [], ()), **expected}
    known = replace(side(new), runtime={node.name: frozenset(node.runtime) for node in new.nodes})
    back = told(causes(known, side(old), old))
    assert back.pop("extra") == ("gone", [], ())
    assert back == {**expected, "low": ("runtime", ["runtime input extra removed"], ())}
    unknown = told(causes(side(new), side(old), old))  # nobody knows what low ran with
    assert unknown["middle"] == ("changed", ["input extra removed"], ())


def test_what_only_users_see(graph_of: GraphOf) -> None:
    changed = TOP.replace('TOP = "/top"', 'HOME = "/top"').replace("/top/lib", "/top/lib64")
    found = moved(graph_of, "top", top=changed)
    texts = ["environment HOME: unset -> /top", "environment TOP: /top -> unset"]
    texts += ["ldconf: - /top/lib", "ldconf: + /top/lib64"]
    assert told(found) == {"top": ("runtime", texts, ())}
    assert [(one.name, one.because) for one in found.checks] == [("top", ("top",))]


def test_a_check(graph_of: GraphOf) -> None:
    found = moved(graph_of, "top", top=TOP.replace("top --version", "top --help"))
    assert found.nodes == ()
    (check,) = found.checks
    assert [change.texts for change in check.changes] == [("script line 1 changed",)]
    gone = moved(graph_of, "top", top=TOP.partition("[check]")[0])
    assert [change.texts for one in gone.checks for change in one.changes] == [("it has no check any more",)]


def test_a_missing_record_is_unknown(graph_of: GraphOf) -> None:
    graph = graph_of("top", BODIES | {"low": LOW.replace('"--a"', '"--b"')})
    whole = side(graph_of("top", BODIES))
    without = {name: document for name, document in whole.documents.items() if name != "low"}
    old = replace(whole, documents=without, whole=False)
    found = told(causes(old, side(graph), graph))
    assert found["low"] == ("unknown", [], ())
    assert found["middle"] == ("inputs", [], ("low",))
    # What had the same key is unchanged, record or not; a name that nobody mentions is unknown where not all is known.
    keys = {name: key for name, key in whole.keys.items() if name != "middle"}
    found = told(causes(replace(old, keys=keys), side(graph), graph))
    assert found["middle"][0] == "unknown"
    assert "builder" not in found
    bare = replace(whole, closures={"top": {"nodes": whole.closures["top"]["nodes"]}})
    assert causes(bare, side(graph), graph).unrecorded == ("top",)


def test_a_record_of_another_key_is_no_reason_to_say_unchanged(graph_of: GraphOf) -> None:
    graph = graph_of("top", BODIES)
    new = side(graph)
    old = replace(new, keys={**new.keys, "low": "blake3:" + "0" * 64})
    assert told(causes(old, new, graph))["low"] == ("unknown", [], ())


@st.composite
def stacks(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Recipes, the same with some of them edited, and which."""
    count = draw(st.integers(2, 8))
    bodies: dict[str, str] = {}
    for index in range(count):
        below = [f"r{other}" for other in range(index)]
        build = draw(st.lists(st.sampled_from(below), unique=True)) if below else []
        runtime = draw(st.lists(st.sampled_from(below), unique=True)) if below else []
        bodies[f"r{index}"] = (
            f"[inputs]\nbuild = {['builder', *build]}\nruntime = {['base', *runtime]}\n"
            "[versions.1]\norigin = 'source'\n[build]\nscript = 'make'\n"
        )
    edited = draw(st.sets(st.sampled_from(sorted(bodies)), max_size=3))
    after = {name: body.replace("make", "make all") if name in edited else body for name, body in bodies.items()}
    return bodies, after, edited


@settings(max_examples=60, deadline=None)
@given(stack=stacks())
def test_the_causes_are_what_was_edited_and_all_else_goes_back_to_them(
    graph_of: GraphOf, stack: tuple[dict[str, str], dict[str, str], set[str]]
) -> None:
    bodies, after, edited = stack
    goals = " ".join(bodies)
    old, new = graph_of(goals, bodies), graph_of(goals, after)
    found = causes(side(old), side(new), new)
    keys: tuple[dict[str, Any], dict[str, Any]] = (dict(derivation_keys(old)), dict(derivation_keys(new)))
    assert {one.name for one in found.nodes} == {name for name in keys[1] if keys[0][name] != keys[1][name]}
    assert {one.name for one in found.roots} == edited
    for one in found.nodes:
        assert one.kind == ("changed" if one.name in edited else "inputs")
        assert one.because or one.name in edited
        assert set(one.because) <= edited


def test_a_check_that_only_left_the_goal(graph_of: GraphOf) -> None:
    """middle has its check still; top does not run with it any more."""
    check = '[check]\nscript = "true"\n'
    bodies = BODIES | {"middle": MIDDLE + check}
    old = graph_of("top", bodies)
    new = graph_of("top", bodies | {"top": TOP.replace('runtime = ["base", "middle"]', 'runtime = ["base"]')})
    found = causes(side(old), side(new), new)
    texts = {one.name: [text for change in one.changes for text in change.texts] for one in found.checks}
    assert texts["middle"] == [NOT_ASKED]
    none = graph_of("top", BODIES)
    (gone,) = [one for one in causes(side(old), side(none), none).checks if one.name == "middle"]
    assert gone.changes[0].texts == ("it has no check any more",)
