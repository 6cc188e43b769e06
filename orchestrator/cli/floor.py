"""The automatic floor: before work begins, what no root keeps goes until enough of the disk is free."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.graph.derivation import Graph
    from orchestrator.recipe import Project
    from orchestrator.store import Layout


def keep_floor(project: Project, graph: Graph, layout: Layout) -> None:
    """Collect if less is free than `[store] keep_free` says. Called by a run that holds what it needs (store/held.py):
    nothing of its own goes, nor of any other run. Raise MachineError."""
    if project.keep_free is None:
        return
    there = os.statvfs(layout.root)
    if there.f_bavail * there.f_frsize >= project.keep_free:
        return
    from orchestrator.build.sources import hold_sources
    from orchestrator.cli.numbers import bytes_text
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.store import has_object, read_realisation
    from orchestrator.store.gc import Policy, collect

    hold_sources(layout, graph.nodes)
    for key in derivation_keys(graph).values():
        made = read_realisation(layout, key)
        if made is not None and made.output is not None:
            has_object(layout, made.output)  # which holds it
    done = collect(layout, Policy(keep_free=project.keep_free))
    if done.freed:
        print(f"note: freed {bytes_text(done.freed)} to keep {bytes_text(project.keep_free)} free", file=sys.stderr)
    if done.missing:
        text = f"{bytes_text(done.missing)} less is free than orch.toml's store.keep_free asks for"
        print(f"note: {text}, and all that is left is kept: orch gc --dry-run says by what", file=sys.stderr)
