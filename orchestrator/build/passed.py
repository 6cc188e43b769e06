"""Which checks of a graph have passed in this store, as far as records tell."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.digest import key_of
from orchestrator.graph.closure import check_mounts
from orchestrator.graph.derivation import Graph
from orchestrator.graph.keys import check_document, derivation_keys
from orchestrator.store import Layout, Realisation, read_check, read_realisation


def passed_checks(graph: Graph, layout: Layout) -> Iterator[Realisation]:
    """The record of every check that has passed with the outputs that records lead to. Raise MachineError only if a
    record may not be read."""
    keys = derivation_keys(graph)
    for node in graph.nodes:
        if node.check is None:
            continue
        names = (node.name, *check_mounts(graph, node))
        made = {name: read_realisation(layout, keys[name]) for name in names}
        outputs = {name: one.output for name, one in made.items() if one is not None and one.output is not None}
        if len(outputs) == len(made):
            found = read_check(layout, key_of(check_document(graph, node, outputs[node.name], outputs)))
            if found is not None:
                yield found
