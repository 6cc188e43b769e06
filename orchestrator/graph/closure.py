"""Closures of a resolved graph: what a goal runs with, which checks decide it, and the key of it all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.digest import Digest, blake3_bytes, canonical_field, canonical_json, canonical_text
from orchestrator.graph.derivation import Graph, Node

SCHEMA = 1  # of the closure document


def runtime_closure(graph: Graph, goals: Iterable[str]) -> tuple[str, ...]:
    """The goals and all that runs with them, dependencies before dependents."""
    names = {name for goal in goals for name in (goal, *graph[goal].runtime)}
    return tuple(name for name in graph.names if name in names)


def build_closure(graph: Graph, goals: Iterable[str]) -> tuple[str, ...]:
    """The goals, what is mounted while they are built, what that is built with: dependencies before dependents."""
    names: set[str] = set()
    todo = list(goals)
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo += graph[name].build
    return tuple(name for name in graph.names if name in names)


def checks_of(graph: Graph, goal: str) -> tuple[str, ...]:
    """The nodes whose checks decide `goal`, dependencies first: it and its runtime closure, where they have one."""
    nodes = graph.not_bare(runtime_closure(graph, [goal]))
    return tuple(name for name, node in nodes.items() if node.check is not None)


def check_mounts(graph: Graph, node: Node) -> tuple[str, ...]:
    """All that the check of `node` sees, its own output too: top first, the one base last."""
    inputs = node.check.inputs if node.check else ()
    names = tuple(dict.fromkeys((*inputs, node.name, *node.runtime)))
    bases = [name for name in names if graph[name].is_base]
    return (*(name for name in names if name not in bases), *bases[:1])


def _check(node: Node, keys: Mapping[str, Digest]) -> dict[str, Any]:
    assert node.check is not None
    return {
        "script": node.check.script,
        "files": [
            {"name": file.name, "sha256": file.sha256, "executable": file.executable} for file in node.check.files
        ],
        "inputs": {name: str(keys[name]) for name in node.check.inputs},
    }


def closure_document(graph: Graph, goal: str, keys: Mapping[str, Digest]) -> dict[str, Any]:
    """What is hashed for a finished goal: all that could make any of its builds or checks run again."""
    names = runtime_closure(graph, [goal])
    some = _parts(graph.not_bare(names), keys)
    none: dict[str, list[Any]] = {name: [] for name in names}
    return {
        "schema": SCHEMA,
        "kind": "closure",
        "goal": goal,
        # What is built: the goal and what runs with it.
        "nodes": {name: str(keys[name]) for name in names},
        # What is checked. Version, flags and options, which a check also sees, are in the node's derivation key.
        "checks": some["checks"],
        # What a check runs in, besides the files.
        "environment": none | some["environment"],
        "ldconf": none | some["ldconf"],
    }


def _parts(nodes: Mapping[str, Node], keys: Mapping[str, Digest]) -> dict[str, dict[str, Any]]:
    """What a closure document says of nodes besides their keys: of bare ones nothing."""
    return {
        "checks": {name: _check(node, keys) for name, node in nodes.items() if node.check is not None},
        "environment": {name: [list(pair) for pair in node.environment] for name, node in nodes.items()},
        "ldconf": {name: list(node.ldconf) for name, node in nodes.items()},
    }


def closure_key(graph: Graph, goal: str, keys: Mapping[str, Digest]) -> Digest:
    """The key of a finished goal; `keys` are derivation keys. One lookup of it says if there is nothing to do.

    It is `key_of(closure_document(graph, goal, keys))`, in a third of the time where most nodes are bare.
    """
    names = sorted(runtime_closure(graph, [goal]))
    nodes = graph.not_bare(names)
    some = _parts(nodes, keys)
    made = ",".join([f'{canonical_field(name)}"{keys[name]}"' for name in names])
    return blake3_bytes(
        f'{{"checks":{canonical_json(some["checks"]).decode()},"environment":{_table(names, some["environment"])},'
        f'"goal":{canonical_text(goal)},"kind":"closure","ldconf":{_table(names, some["ldconf"])},'
        f'"nodes":{{{made}}},"schema":{SCHEMA}}}'.encode()
    )


def _table(names: Iterable[str], some: Mapping[str, Any]) -> str:
    """What a canonical document says of `names`, where those that are not in `some` have an empty list."""
    said = {name: canonical_json({name: value}).decode()[1:-1] for name, value in some.items()}
    return f"{{{','.join([said.get(name) or f'{canonical_field(name)}[]' for name in names])}}}"
