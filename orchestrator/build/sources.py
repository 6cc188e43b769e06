"""A source as a build uses it: fetched if need be, hashed each time, fetched once more if its copy is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.events import Monitor, Notice
from orchestrator.graph.derivation import Node, Source
from orchestrator.store import Layout, hold, quarantine_source, tree_source, verify_source

Fetch = Callable[[Node, Source, Callable[[], bool]], Path]  # the last says whether to give up


def intact_source(
    layout: Layout, node: Node, source: Source, *, fetch: Fetch, stopped: Callable[[], bool], monitor: Monitor
) -> Path:
    """The stored file of `source`, whose content was hashed now. Raises what `fetch` raises."""
    path = fetch(node, source, stopped)
    if verify_source(layout, path.name):
        return path
    quarantine_source(layout, path.name, "its content has another sha256")
    monitor(Notice(text=f"{source.name}: the stored copy is damaged; put aside and fetched again"))
    return fetch(node, source, stopped)


def hold_sources(layout: Layout, nodes: Iterable[Node]) -> None:
    """Write down that a run may need every source of `nodes`, so that gc leaves them (store/held.py). Raise
    MachineError."""
    sources = [source for node in nodes for source in node.sources]
    hold(layout, "source", *(source.sha256 for source in sources if source.sha256 is not None))
    for source in sources:
        if source.sha256 is None and source.tree is not None:
            tree_source(layout, source.tree)  # which holds what was supplied for it
