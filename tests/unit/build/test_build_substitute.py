"""What a plan says of what a cache has. The store and the cache are small real classes; nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from test_build_plan import GRAPH, Store, node

from orchestrator.build.plan import Plan, make_plan
from orchestrator.build.substitute import Offers
from orchestrator.digest import Digest, blake3_bytes, key_of
from orchestrator.fetch.substituter import Substituter
from orchestrator.fetch.substituters import Substituters
from orchestrator.graph.closure import check_mounts
from orchestrator.graph.derivation import Graph
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys
from orchestrator.store.entries import CacheEntry, CheckEntry, check_bytes, check_name, entry_bytes, entry_name
from orchestrator.store.signature import SecretKey

KEY = SecretKey.new("team-1")


@dataclass
class Cache:
    """A directory that somebody pushed a graph to."""

    directory: Path
    outputs: dict[str, Digest] = field(default_factory=dict)

    def push(self, graph: Graph, *names: str, salt: str = "", **changes: object) -> None:
        keys = derivation_keys(graph)
        for one in graph.nodes:
            self.outputs[one.name] = blake3_bytes(f"output of {one.name}{salt if one.name in names else ''}".encode())
        for one in graph.nodes:
            inputs = {name: self.outputs[name] for name in one.build}
            entry = CacheEntry(
                derivation=keys[one.name],
                build=key_of(derivation_document(one, inputs)),
                output=self.outputs[one.name],
                inputs={name: str(digest) for name, digest in inputs.items()},
                sha256="ab" * 32, size=1000, unpacked=1, name=one.name, version="1", origin="source",
                seconds=1.0, finished=1.0, sandbox=1,
            )  # fmt: skip
            if one.name in names:
                self.write(entry_name(keys[one.name]), entry_bytes(replace(entry, **changes), KEY))  # type: ignore[arg-type]
                self.write(entry_name(entry.build), entry_bytes(replace(entry, **changes), KEY))  # type: ignore[arg-type]

    def push_check(self, graph: Graph, name: str) -> None:
        others = {one: self.outputs[one] for one in check_mounts(graph, graph[name])}
        key = key_of(check_document(graph, graph[name], self.outputs[name], others))
        entry = CheckEntry(key=key, name=name, version="1", seconds=1.0, finished=1.0)
        self.write(check_name(key), check_bytes(entry, KEY))

    def write(self, name: str, data: bytes) -> None:
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_bytes(data)

    def offers(self, graph: Graph, store: Store, key: SecretKey = KEY) -> Offers:
        return Offers(graph, Substituters([Substituter(str(self.directory), [key.public])]), store.output)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    (tmp_path / "cache").mkdir()
    return Cache(tmp_path / "cache")


STACK = Graph(
    goals=("app",),
    options=(),
    nodes=(
        node("base"),
        node("compiler", build=("base",)),
        node("library", build=("base", "compiler"), runtime=("base",)),
        node("app", build=("base", "compiler", "library"), runtime=("library", "base"), check="try it"),
    ),
)


def said(plan: Plan) -> list[str]:
    return [f"{step.name}{'?' if step.maybe else ''}" for step in plan.steps]


def test_a_compiler_of_what_is_copied_is_neither_built_nor_copied(cache: Cache) -> None:
    cache.push(STACK, "base", "compiler", "library", "app")
    plan = make_plan(STACK, Store(), offers=cache.offers(STACK, Store()))
    assert said(plan) == ["substitute base", "substitute library", "substitute app", "check app"]
    assert plan.fetch == ()
    assert plan.copy_bytes == 3000


def test_a_hit_needs_no_entry_of_its_inputs(cache: Cache) -> None:
    cache.push(STACK, "library", "app")
    plan = make_plan(STACK, Store(), offers=cache.offers(STACK, Store()))
    assert [name for name in said(plan) if "compiler" in name] == []
    assert "substitute app" in said(plan)
    assert "build base" in said(plan)


def test_a_check_that_passed_elsewhere_is_not_run(cache: Cache) -> None:
    cache.push(STACK, "base", "library", "app")
    cache.push_check(STACK, "app")
    plan = make_plan(STACK, Store(), offers=cache.offers(STACK, Store()))
    assert said(plan) == ["substitute base", "substitute library", "substitute app"]


def test_what_the_store_has_is_not_asked_for(cache: Cache) -> None:
    store = Store()
    store.realise(STACK)
    offers = cache.offers(STACK, store)
    assert said(make_plan(STACK, store, offers=offers)) == []
    assert offers.why_not("app") == ""


def test_what_only_a_record_is_left_of_is_copied_if_it_is_the_same(cache: Cache) -> None:
    store = Store()
    store.realise(STACK)
    store.objects.clear()
    store.goals.clear()
    cache.push(STACK, "app", "library", salt="")
    steps = said(make_plan(STACK, store, offers=cache.offers(STACK, store)))
    assert "substitute app" in steps
    assert "build base" in steps
    cache.push(STACK, "app", salt=" made elsewhere")
    plan = make_plan(STACK, store, offers=cache.offers(STACK, store))
    (step,) = [step for step in plan.steps if step.name == "build app"]
    assert "here the record says" in step.reason


def test_an_input_with_other_bytes_here_makes_it_a_miss(cache: Cache) -> None:
    store = Store()
    store.realise(Graph(goals=("library",), options=(), nodes=STACK.nodes[:3]))
    cache.push(STACK, "library", "app", salt=" made elsewhere")
    plan = make_plan(STACK, store, offers=cache.offers(STACK, store))
    (step,) = [step for step in plan.steps if step.name == "build app"]
    assert "it was built with another output of library" in step.reason


def test_the_build_key_finds_what_the_derivation_key_does_not(cache: Cache) -> None:
    """Early cutoff: an input moved, but its bytes did not."""
    before = Graph(
        goals=("app",), options=(), nodes=(STACK.nodes[0], replace(STACK.nodes[1], script="older"), *STACK.nodes[2:])
    )
    cache.push(before, "library", "app")
    store = Store()
    keys = derivation_keys(STACK)
    for name in ("base", "compiler"):
        store.outputs[keys[name]] = cache.outputs[name]
        store.objects.add(cache.outputs[name])
    compiled = {"base": cache.outputs["base"]}
    store.outputs[key_of(derivation_document(STACK["compiler"], compiled))] = cache.outputs["compiler"]
    store.outputs[key_of(derivation_document(STACK["base"], {}))] = cache.outputs["base"]
    plan = make_plan(STACK, store, offers=cache.offers(STACK, store))
    assert "substitute library" in said(plan)
    assert "substitute app" in said(plan)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sandbox": 99}, "sandbox of schema 99"),
        ({"inputs": {}}, "names other inputs"),
        ({"name": "other"}, "its entry is of other"),
        ({"build": blake3_bytes(b"x")}, "its build key is not that"),
    ],
)
def test_a_signed_entry_that_does_not_fit_is_a_miss(cache: Cache, changes: dict[str, object], why: str) -> None:
    cache.push(STACK, "app", **changes)
    plan = make_plan(STACK, Store(), offers=cache.offers(STACK, Store()))
    (step,) = [step for step in plan.steps if step.name == "build app"]
    assert why in step.reason


def test_an_unknown_key_is_told_in_the_plan(cache: Cache) -> None:
    cache.push(STACK, "app")
    plan = make_plan(STACK, Store(), offers=cache.offers(STACK, Store(), key=SecretKey.new("else")))
    (step,) = [step for step in plan.steps if step.name == "build app"]
    assert step.reason.startswith("never built here; not substituted: signature by an unknown key 'team-1'")


def test_dirty_is_never_asked_for(cache: Cache) -> None:
    dirty = Graph(
        goals=("app",), options=(), nodes=(*STACK.nodes[:2], *(replace(one, origin="dirty") for one in STACK.nodes[2:]))
    )
    cache.push(dirty, "library", "app")
    cache.push_check(dirty, "app")
    plan = make_plan(dirty, Store(), offers=cache.offers(dirty, Store()))
    assert {"build app", "build library", "check app"} <= set(said(plan))
    assert all("not substituted" not in step.reason for step in plan.steps if step.node.origin == "dirty")


def test_without_a_cache_nothing_is_said_of_one() -> None:
    plan = make_plan(GRAPH, Store())
    assert all("substituted" not in step.reason for step in plan.steps)
