"""`orch cache push`: put what goals are made of into a cache that a team shares, signed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import add_set_argument, open_project
from orchestrator.errors import MachineError, UsageError

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Layout
    from orchestrator.store.cache_directory import Pushed
    from orchestrator.store.signature import SecretKey

TEXTS = {"push": "put what goals are made of into a directory that others copy from, signed"}
EPILOGS = {
    "push": """\
All that is in the store of what the goals are made of goes there: they themselves, what they run with
and what they were built with. DIR may be served by any server of static files.

examples:
  orch cache push /srv/orch nixl --key ~/.config/orch/acme.key
  orch cache push /srv/orch nixl ucx --set cuda=13 --key acme.key
  orch build nixl --substitute https://cache.example.com/orch     what others do then
"""
}
_WHY = {
    "other": "its key leads to other bytes there, which stay",
    "absent": "not in the store",
    "unknown": "what it was built with is not recorded here: it was copied or imported itself",
    "dirty": "made of somebody's own directory",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("directory", metavar="DIR", help="the cache: made if it is not there")
    parser.add_argument("goals", nargs="+", metavar="GOAL", help="a recipe's name")
    parser.add_argument(
        "--key", required=True, type=Path, metavar="FILE", help="what signs: orch cache keygen makes it"
    )
    add_set_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Push; a line an output."""
    from orchestrator.store import holding, object_tree
    from orchestrator.store.cache_directory import open_cache

    if "://" in arguments.directory:
        raise UsageError(
            f"cannot push to {arguments.directory}",
            why="a server of static files is only read",
            hint="push to the directory that it serves, on its machine or mounted here",
        )
    key = _read_key(arguments.key)
    opened = open_project(arguments)
    graph = opened.graph(arguments.goals, arguments.settings)
    layout = opened.store(create=False)
    with holding(opened.store()):
        outputs = _refuse_unbuilt(graph, layout)
        cache = open_cache(Path(arguments.directory).expanduser().absolute())
        pushed = _push_all(graph, layout, cache, key, arguments)
        checks = _push_checks(graph, layout, cache, key)
    written = sum(one.size for one in pushed)
    fresh = sum(one.outcome == "pushed" for one in pushed)
    there = sum(one.outcome == "there" for one in pushed)
    if arguments.json:
        from orchestrator.cli.document import print_document

        content = [{"name": one.name, "outcome": one.outcome, "bytes": one.size} for one in pushed]
        goals = {goal: str(object_tree(layout, digest)) for goal, digest in outputs.items()}
        print_document(
            "cache push",
            {"pushed": content, "checks": checks, "bytes": written, "goals": goals, "key": key.name},
        )
    else:
        more = f", {checks} checks" if checks else ""
        print(f"{fresh} pushed{more}, {bytes_text(written)} written; {there} there already; signed by {key.name}")
    return 0


def _read_key(path: Path) -> SecretKey:
    from orchestrator.store.signature import SecretKey
    from orchestrator.tree import disk

    with disk("read the key", path):
        data = path.expanduser().read_bytes()
    try:
        return SecretKey.parse(data.decode("ascii"))
    except ValueError as error:
        raise UsageError(
            f"{path} holds no secret key",
            where="--key",
            why="it is not text" if isinstance(error, UnicodeDecodeError) else str(error),
            hint="orch cache keygen NAME FILE makes one",
        ) from error


def _refuse_unbuilt(graph: Graph, layout: Layout) -> dict[str, Digest]:
    """The outputs of the goals, which have to be finished and there."""
    from orchestrator.build.known import StoreKnown
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys

    known, keys = StoreKnown(layout=layout), derivation_keys(graph)
    found: dict[str, Digest] = {}
    for goal in graph.goals:
        output = known.goal(closure_key(graph, goal, keys))
        if output is None:
            settings = "".join(f" --set {name}={value}" for name, value in graph.options)
            raise MachineError(
                f"{goal} is not built in this store with these options",
                where=str(layout.root),
                hint=f"orch build {goal}{settings}",
            )
        found[goal] = output
    return found


def _push_all(graph: Graph, layout: Layout, cache: Path, key: SecretKey, arguments: argparse.Namespace) -> list[Pushed]:
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.store import read_realisation
    from orchestrator.store.cache_directory import push

    keys = derivation_keys(graph)
    threads = len(os.sched_getaffinity(0))
    found: list[Pushed] = []
    for node in graph.nodes:
        made = read_realisation(layout, keys[node.name])
        if made is None:
            continue
        one = push(layout, cache, made, key, threads=threads)
        if not arguments.json:
            said = (
                f"pushed, {bytes_text(one.size)}" if one.outcome == "pushed" else _WHY.get(one.outcome, "there already")
            )
            print(f"{node.label}: {said}", file=sys.stderr)
        found.append(one)
    return found


def _push_checks(graph: Graph, layout: Layout, cache: Path, key: SecretKey) -> int:
    """How many checks that passed are new there."""
    from orchestrator.build.passed import passed_checks
    from orchestrator.store.cache_directory import push_check

    dirty = {node.name for node in graph.nodes if node.origin == "dirty"}
    checks = [check for check in passed_checks(graph, layout) if check.name not in dirty and check.origin != "dirty"]
    return sum(push_check(cache, check, key) for check in checks)
