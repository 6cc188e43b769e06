"""What a plan says, for every state that a store can be in. The store is a small real class; nothing is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.build.plan import Plan, make_plan, short_reason
from orchestrator.digest import Digest, blake3_bytes, key_of
from orchestrator.graph.closure import check_mounts, closure_document, closure_key
from orchestrator.graph.derivation import Check, Graph, Node, Source
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys


@dataclass
class Store:
    """A store that remembers what it is told."""

    outputs: dict[Digest, Digest] = field(default_factory=dict)
    objects: set[Digest] = field(default_factory=set)
    checks: set[Digest] = field(default_factory=set)
    goals: dict[Digest, Digest] = field(default_factory=dict)
    recent: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    were_checked: list[Mapping[str, Any]] = field(default_factory=list)

    def output(self, key: Digest) -> Digest | None:
        return self.outputs.get(key)

    def present(self, digest: Digest) -> bool:
        return digest in self.objects

    def checked(self, key: Digest) -> bool:
        return key in self.checks

    def goal(self, key: Digest) -> Digest | None:
        return self.goals.get(key)

    def documents(self, name: str) -> list[Mapping[str, Any]]:
        return self.recent.get(name, [])

    def goal_checks(self, goal: str, options: tuple[tuple[str, str], ...]) -> list[Mapping[str, Any]]:
        return self.were_checked

    def source(self, source: Source) -> bool:
        return source.name in self.sources

    def realise(self, graph: Graph) -> dict[str, Digest]:
        """Record everything as built and checked, each output named after its recipe."""
        keys = derivation_keys(graph)
        digests = {node.name: blake3_bytes(f"output of {node.name}".encode()) for node in graph.nodes}
        for node in graph.nodes:
            inputs = {name: digests[name] for name in node.build}
            self.outputs[keys[node.name]] = digests[node.name]
            self.outputs[key_of(derivation_document(node, inputs))] = digests[node.name]
            self.objects.add(digests[node.name])
            document = derivation_document(node, {name: keys[name] for name in node.build})
            self.recent.setdefault(node.name, []).insert(0, document)
            if node.check is not None:
                others = {name: digests[name] for name in check_mounts(graph, node)}
                self.checks.add(key_of(check_document(graph, node, digests[node.name], others)))
        for goal in graph.goals:
            self.goals[closure_key(graph, goal, keys)] = digests[goal]
            self.were_checked.insert(0, closure_document(graph, goal, keys)["checks"])
        return digests


def node(name: str, *, build: tuple[str, ...] = (), runtime: tuple[str, ...] = (), check: str = "") -> Node:
    return Node(
        name=name,
        version="1",
        origin="source",
        platform="x86_64-linux",
        summary="",
        builder="debian-base" if name == "base" else "script",
        is_base=name == "base",
        options=(),
        flags=(),
        sources=(Source(name=f"file:{name}", file_name=name, sha256="0" * 64, size=10),),
        patches=(),
        files=(),
        script=f"make {name}",
        build=build,
        runtime=runtime,
        check=Check(script=check) if check else None,
    )


GRAPH = Graph(
    goals=("app",),
    options=(),
    nodes=(
        node("base"),
        node("library", build=("base",), runtime=("base",)),
        node("plugin", build=("base",), runtime=("base",), check="run plugin"),
        node("app", build=("library", "base"), runtime=("library", "plugin", "base"), check="run app"),
    ),
)


def changed(name: str, **fields: Any) -> Graph:
    nodes = tuple(replace(n, **fields) if n.name == name else n for n in GRAPH.nodes)
    return Graph(goals=GRAPH.goals, options=(), nodes=nodes)


def steps(plan: Plan) -> list[str]:
    return [f"{s.action}{'?' if s.maybe else ''} {s.node.name}" for s in plan.steps]


def reason(plan: Plan, name: str) -> str:
    return next(s.reason for s in plan.steps if s.name == name)


def test_an_empty_store_needs_everything_in_an_order_that_works() -> None:
    plan = make_plan(GRAPH, Store())
    assert steps(plan) == ["build base", "build plugin", "build library", "build app", "check plugin", "check app"]
    assert reason(plan, "build app") == "never built here"
    assert {source.name for source in plan.fetch} == {"file:base", "file:library", "file:plugin", "file:app"}
    assert plan.done == ()


def test_sources_that_are_here_are_not_fetched() -> None:
    plan = make_plan(GRAPH, Store(sources={"file:base", "file:app"}))
    assert {source.name for source in plan.fetch} == {"file:library", "file:plugin"}


def test_a_finished_goal_needs_nothing() -> None:
    store = Store()
    digests = store.realise(GRAPH)
    plan = make_plan(GRAPH, store)
    assert plan.steps == ()
    assert plan.done == (("app", digests["app"]),)


def test_a_changed_script_builds_that_one_and_perhaps_what_uses_it() -> None:
    store = Store()
    store.realise(GRAPH)
    plan = make_plan(changed("library", script="make library twice"), store)
    assert steps(plan) == ["build library", "build? app", "check? app"]
    assert "script" in reason(plan, "build library")
    assert "library" in reason(plan, "build app")


def test_a_changed_runtime_input_is_checked_again_and_nothing_else_is_built() -> None:
    store = Store()
    store.realise(GRAPH)
    plan = make_plan(changed("plugin", script="make plugin twice"), store)
    assert steps(plan) == ["build plugin", "check? plugin", "check? app"]
    assert reason(plan, "check app") == "if the bytes change of plugin"


def test_a_changed_check_is_that_check_alone() -> None:
    store = Store()
    store.realise(GRAPH)
    plan = make_plan(changed("app", check=Check(script="run app harder")), store)
    assert steps(plan) == ["check app"]
    assert reason(plan, "check app") == "check script line 1 changed"


def test_a_changed_check_is_certain_whatever_the_bytes_turn_out_to_be() -> None:
    store = Store()
    store.realise(GRAPH)
    both = changed("app", check=Check(script="run app harder"), script="make app twice")
    plan = make_plan(both, store)
    assert steps(plan) == ["build app", "check app"]
    assert reason(plan, "check app") == "check script line 1 changed"
    assert steps(make_plan(changed("app", script="make app twice"), store)) == ["build app", "check? app"]
    plugged = changed("app", check=Check(script="run app", inputs=("plugin",)))
    assert reason(make_plan(plugged, Store()), "check app") == "not checked yet"


def test_a_check_that_was_taken_back_is_no_certain_one() -> None:
    store = Store()
    store.realise(GRAPH)
    store.realise(changed("app", check=Check(script="run app harder")))
    plan = make_plan(changed("app", script="make app twice"), store)
    assert steps(plan) == ["build app", "check? app"]


def test_of_a_long_reason_a_line_has_the_first() -> None:
    wheels = [f"input wheel-{i} changed" for i in range(12)]
    few = "; ".join(wheels[:4])
    assert short_reason(few, "app") == few
    assert short_reason("; ".join(wheels) + "; not substituted: it is dirty", "app") == (
        "input wheel-0 changed; input wheel-1 changed; input wheel-2 changed; ... and 9 more: orch why app, or --json"
        "; not substituted: it is dirty"
    )
    named = "if the bytes change of " + ", ".join(f"w{i}" for i in range(12))
    assert short_reason(named, "app") == ("if the bytes change of w0, w1, w2, ... and 9 more: orch why app, or --json")


def test_an_output_that_is_gone_is_that_one() -> None:
    store = Store()
    digests = store.realise(GRAPH)
    store.goals.clear()
    store.objects.discard(digests["library"])
    plan = make_plan(GRAPH, store)
    assert steps(plan) == ["build library"]
    assert reason(plan, "build library") == "its output is no longer in the store"


def test_a_compiler_that_is_gone_is_not_missed() -> None:
    store = Store()
    digests = store.realise(GRAPH)
    store.goals.clear()
    store.objects.discard(digests["base"])
    only_built_with = Graph(
        goals=("app",),
        options=(),
        nodes=tuple(replace(n, runtime=tuple(r for r in n.runtime if r != "base")) for n in GRAPH.nodes),
    )
    store.realise(only_built_with)
    store.goals.clear()
    store.objects.discard(digests["base"])
    assert steps(make_plan(only_built_with, store)) == []


def test_a_reason_is_told_against_the_success_that_is_nearest() -> None:
    store = Store()
    store.realise(GRAPH)
    store.realise(changed("library", flags=("--other",), script="make another library"))
    plan = make_plan(changed("library", script="make library twice"), store)
    assert reason(plan, "build library") == "script line 1 changed"


def test_what_was_built_with_bytes_that_are_no_longer_the_inputs_is_built_again() -> None:
    store = Store()
    store.realise(GRAPH)
    store.goals.clear()
    moved = blake3_bytes(b"other bytes of the same derivation")
    store.outputs[derivation_keys(GRAPH)["library"]] = moved
    store.outputs[key_of(derivation_document(GRAPH["library"], {"base": blake3_bytes(b"output of base")}))] = moved
    store.objects.add(moved)
    assert steps(make_plan(GRAPH, store)) == ["build app", "check? app"]


def test_objects_beside_the_goals_are_planned_too() -> None:
    store = Store()
    digests = store.realise(GRAPH)
    assert make_plan(GRAPH, store).steps == ()
    plan = make_plan(GRAPH, store, ("library",))
    assert (plan.steps, plan.there) == ((), ("library",))
    store.objects.discard(digests["library"])
    plan = make_plan(GRAPH, store, ("library",))
    assert steps(plan) == ["build library"]
    assert plan.done == (("app", digests["app"]),)
