"""A source as a build uses it: fetched if need be, hashed each time, fetched once more if its copy is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.events import Monitor, Notice
from orchestrator.graph.derivation import Node, Source
from orchestrator.store import Layout, quarantine_source, verify_source

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
