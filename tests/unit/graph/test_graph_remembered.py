"""A graph that is remembered and brought up to date is the graph that would be resolved, or is not given at all."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_graph_resolve import CUDA, NIXL, UCX

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import OrchError
from orchestrator.graph.choose import Chooser
from orchestrator.graph.closure import closure_document
from orchestrator.graph.derivation import Graph
from orchestrator.graph.keys import derivation_keys, key_form
from orchestrator.graph.options import parse_settings
from orchestrator.graph.remembered import after_run, keep, recall, worth_keeping
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import GlobalOption, Recipe
from orchestrator.recipe.index import Prints, prints

RecipesOf = Callable[[Mapping[str, str]], dict[str, Recipe]]
CONTENT = {  # of a recipe, what only its own output is made of
    "a script": ("ucx", 'script = "make"', 'script = "make all"'),
    "a check's script": ("nixl", 'script = "test"', 'script = "test -v"'),
    "a flag of an option": ("ucx", "--no-verbs", "--without-verbs"),
    "a flag": ("ucx", "--prefix", "--prefix=/usr"),
    "a source": ("ucx", 'sha256 = "aa"', 'sha256 = "ab"'),
    "a loader path": ("cuda", "/usr/local/cuda/lib64", "/usr/local/cuda/lib"),
    "a patch": ("ucx", 'patches = ["fix.patch"]', "patches = []"),
    "a summary": ("ucx", "[inputs]", 'summary = "UCX"\n[inputs]'),
}
FORM = {  # what decides about other nodes, or which version is chosen
    "an input": ("nixl", '"ucx", "cuda"]', '"ucx"]'),
    "a build input of an option": ("ucx", 'build = ["rdma"]', "build = []"),
    "a brought version": ("nixl", 'ucx = "1.22"', 'ucx = "1.13"'),
    "a default": ("ucx", 'default = "off"', 'default = "on"'),
    "when a version is there": ("cuda", '{ cuda = "12" }', '{ cuda = "13" }'),
    "a check's inputs": ("nixl", '"builder", "tool"]', '"builder"]'),
    "no check": ("nixl", '[check]\nscript = "test"\nfiles = ["check.c"]', ""),
    "a check": ("ucx", "[build]", '[check]\nscript = "x"\n[build]'),
    "locked": ("ucx", 'origin = "vendor"\nreads', 'origin = "vendor"\nlocked = false\nreads'),
    "an origin": ("cuda", 'origin = "vendor"\nwhen = { cuda = "12" }', 'origin = "source"\nwhen = { cuda = "12" }'),
    "what is required": (
        "nixl", 'brings = { ucx = "1.22" }',
        'brings = { ucx = "1.22" }\nrequires = [{ recipe = "gone", version = ">=1", reason = "x" }]',
    ),
    "what is met": (
        "nixl", 'brings = { ucx = "1.22" }',
        'brings = { ucx = "1.22" }\nrequires = [{ recipe = "cuda", version = ">=99", reason = "x" }]',
    ),
    "an order": ("nixl", '[versions."1.4"]', '[versions."1.5"]'),
    "an unknown input": ("ucx", '"builder", "cuda"]', '"builder", "cuda", "nobody"]'),
}  # fmt: skip
EDITS = CONTENT | FORM
SETTINGS = [(), ("cuda=13",), ("ucx.version=1.13", "ucx.verbs=on"), ("origin=source",)]


class Printed(dict[str, Recipe]):
    """Recipes that count how many of them are read."""

    def __init__(self, recipes: Mapping[str, Recipe]) -> None:
        super().__init__(recipes)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Recipe:
        self.read.add(name)
        return super().__getitem__(name)

    def prints(self, name: str) -> Prints:
        return prints(super().__getitem__(name))

    def unlike(self, names: Sequence[str], were: Sequence[Prints]) -> list[int]:
        return [place for place, name in enumerate(names) if self.prints(name) != were[place]]


@pytest.fixture
def bodies(plain: str) -> dict[str, str]:
    tool = plain.replace('runtime = ["base"]', 'runtime = ["base", "rdma"]')
    return {"cuda": CUDA, "ucx": UCX, "nixl": NIXL, "rdma": plain + "[check]\nscript = 'x'\n", "tool": tool}


def edited(bodies: Mapping[str, str], names: list[str]) -> dict[str, str]:
    found = dict(bodies)
    for name, old, new in (EDITS[edit] for edit in dict.fromkeys(names)):
        found[name] = found[name].replace(old, new, 1)
    return found


class Question:
    """One goal and one list of settings, over different recipes."""

    def __init__(self, recipes_of: RecipesOf, option: GlobalOption, texts: tuple[str, ...]) -> None:
        self.recipes_of, self.option, self.texts = recipes_of, option, texts

    def resolved(self, bodies: Mapping[str, str]) -> Graph:
        recipes = self.recipes_of(bodies)
        parsed = parse_settings(self.texts, recipes, [self.option])
        graph = resolve(recipes, [self.option], ("nixl",), parsed, "x86_64-linux")
        derivation_keys(graph)
        return graph

    def recalled(self, kept: Any, recipes: Printed) -> Graph | None:
        parsed = parse_settings(self.texts, dict(recipes), [self.option])
        values = {"cuda": parsed.get("cuda") or self.option.default}
        plain = marshal.loads(marshal.dumps(tuple(kept)))
        return recall(plain, recipes, Chooser(parsed, values), ("nixl",), "x86_64-linux")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.sampled_from(SETTINGS),
    before=st.lists(st.sampled_from(sorted(EDITS)), max_size=2, unique=True),
    after=st.lists(st.sampled_from(sorted(EDITS)), max_size=3, unique=True),
)
def test_it_is_what_would_be_resolved(
    texts: tuple[str, ...],
    before: list[str],
    after: list[str],
    recipes_of: RecipesOf,
    cuda: GlobalOption,
    bodies: dict[str, str],
) -> None:
    question = Question(recipes_of, cuda, texts)
    later = edited(bodies, [*before, *after])
    try:
        recipes_of(later)
        first = question.resolved(edited(bodies, before))
    except OrchError:
        return  # nothing was remembered, or there is nothing that could be read
    kept = keep(first, Printed(recipes_of(edited(bodies, before))), {})
    try:
        wanted = question.resolved(later)
    except OrchError:
        assert question.recalled(kept, Printed(recipes_of(later))) is None
        return
    found = question.recalled(kept, Printed(recipes_of(later)))
    if found is None:
        assert set(after) & set(FORM)
        return
    # Before any of its nodes is looked into:
    assert [found.brief(name) for name in found.names] == [wanted.brief(name) for name in found.names]
    documents = [closure_document(one, "nixl", one.known_keys) for one in (found, wanted)]
    assert documents[0] == documents[1]
    assert found == wanted.__class__(goals=found.goals, nodes=found.nodes, options=wanted.options)
    assert list(found.nodes) == list(wanted.nodes)
    assert found.names == wanted.names
    assert found.known_keys == wanted.known_keys
    again = keep(found, Printed(recipes_of(later)), {})
    assert question.recalled(again, Printed(recipes_of(later))).known_keys == wanted.known_keys  # type: ignore[union-attr]


@pytest.mark.parametrize("edit", CONTENT)
def test_an_edit_of_the_content_reads_one_recipe(
    edit: str, recipes_of: RecipesOf, cuda: GlobalOption, bodies: dict[str, str]
) -> None:
    question = Question(recipes_of, cuda, ())
    kept = keep(question.resolved(bodies), Printed(recipes_of(bodies)), {})
    recipes = Printed(recipes_of(edited(bodies, [edit])))
    found = question.recalled(kept, recipes)
    assert found is not None
    assert found.past is not None
    assert len(recipes.read) == len(found.past.fresh) == 1


@pytest.mark.parametrize("edit", sorted(FORM))
def test_an_edit_of_the_form_is_resolved_anew(
    edit: str, recipes_of: RecipesOf, cuda: GlobalOption, bodies: dict[str, str]
) -> None:
    question = Question(recipes_of, cuda, ())
    kept = keep(question.resolved(bodies), Printed(recipes_of(bodies)), {})
    assert question.recalled(kept, Printed(recipes_of(edited(bodies, [edit])))) is None


def test_a_recipe_that_is_only_required_has_to_be_there(
    recipes_of: RecipesOf, cuda: GlobalOption, bodies: dict[str, str], plain: str
) -> None:
    needing = {**edited(bodies, ["what is required"]), "gone": plain}
    question = Question(recipes_of, cuda, ())
    kept = keep(question.resolved(needing), Printed(recipes_of(needing)), {})
    assert question.recalled(kept, Printed(recipes_of(needing))) is not None
    del needing["gone"]
    assert question.recalled(kept, Printed(recipes_of(needing))) is None


def test_records_are_kept_with_it_and_it_is_kept_again_when_they_have_moved(
    recipes_of: RecipesOf, cuda: GlobalOption, bodies: dict[str, str]
) -> None:
    question = Question(recipes_of, cuda, ())
    first = question.resolved(bodies)
    recorded = {name: (blake3_bytes(name.encode()).hex, Digest("blake3", "ab" * 32)) for name in first.names}
    assert worth_keeping(first, recorded)
    found = question.recalled(keep(first, Printed(recipes_of(bodies)), recorded), Printed(recipes_of(bodies)))
    assert found is not None
    assert found.past is not None
    assert found.past.recorded == tuple((recorded[name][0], "ab" * 32) for name in found.names)
    assert not worth_keeping(found, recorded)
    moved = {name: (blake3_bytes(key.encode()).hex, output) for name, (key, output) in recorded.items()}
    assert worth_keeping(found, moved)
    assert not worth_keeping(found, {})


def test_what_was_looked_up_with_other_bytes_of_an_input_is_not_kept(
    recipes_of: RecipesOf, cuda: GlobalOption, bodies: dict[str, str]
) -> None:
    graph = Question(recipes_of, cuda, ()).resolved(bodies)

    def found(outputs: Mapping[str, Digest]) -> dict[str, tuple[str, Digest]]:
        texts = {name: str(output) for name, output in outputs.items()}
        return {name: (key_form(graph, name).key(texts).hex, outputs[name]) for name in graph.names}

    outputs = {name: blake3_bytes(name.encode()) for name in graph.names}
    planned = found(outputs)
    assert after_run(graph, planned, {}) == planned
    assert after_run(graph, planned, {"cuda": planned["cuda"]}) == planned  # made again with the same bytes
    moved = found({**outputs, "cuda": blake3_bytes(b"other bytes")})
    later = after_run(graph, planned, {"cuda": moved["cuda"]})
    assert later["cuda"] == moved["cuda"]
    above = {node.name for node in graph.nodes if "cuda" in node.build}
    assert above
    assert planned.keys() - later.keys() == above
    assert after_run(graph, planned, {name: moved[name] for name in (*above, "cuda")}) == moved
    assert "ucx" not in after_run(graph, planned, {"ucx": (derivation_keys(graph)["ucx"].hex, outputs["ucx"])})
