"""The graphs of the questions asked last, kept in the store's index: what a graph is, and when it still holds, is told
in graph/remembered.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.digest import blake3_bytes
from orchestrator.digest.kept import Moment, read_kept, write_kept
from orchestrator.graph.choose import Chooser
from orchestrator.graph.remembered import keep, recall, worth_keeping

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.graph.options import Settings
    from orchestrator.recipe import Project, Recipes

_FILES = 64  # questions; the oldest go
_PREFIX = "graph-"


class GraphMemory:
    """Graphs of one project, below `directory`."""

    def __init__(self, directory: Path, project: Project, moment: Moment, platform: str) -> None:
        self._directory = directory
        self._project = project
        self._moment = moment
        self._platform = platform

    def _question(self, goals: Sequence[str], settings: Sequence[tuple[str, str]]) -> tuple[Path, str]:
        """The file, and all besides the recipes that a graph depends on."""
        context = repr((str(self._project.root), self._project.options, self._platform, tuple(goals), tuple(settings)))
        name = blake3_bytes(context.encode("utf-8", "surrogatepass")).hex[:16]
        return self._directory / f"{_PREFIX}{name}", context

    def graph(self, recipes: Recipes, goals: tuple[str, ...], settings: Settings) -> Graph | None:
        """The graph of a question as it is now, if what is remembered of it leads there."""
        file, context = self._question(goals, settings.values)
        kept = read_kept(str(file), self._moment, context)
        if kept is None:
            return None
        values = {one.name: settings.get(one.name) or one.default for one in self._project.options}
        return recall(kept, recipes, Chooser(settings, values), goals, self._platform)

    def keep(self, graph: Graph, recipes: Recipes, recorded: Mapping[str, tuple[str, Digest]]) -> None:
        """Remember `graph`, with the records that were found, unless what is remembered of it is nearly the same."""
        if not worth_keeping(graph, recorded) or not all(
            name in recipes and graph[name].locked for name in graph.names
        ):
            return  # an image's graph has other nodes; one that is only shown may have what no build has
        file, context = self._question(graph.goals, graph.options)
        write_kept(str(file), self._moment, context, tuple(keep(graph, recipes, recorded)))
        with suppress(OSError):
            found = [entry for entry in os.scandir(self._directory) if entry.name.startswith(_PREFIX)]
            found.sort(key=lambda entry: entry.stat().st_mtime_ns)
            for entry in found[:-_FILES]:
                Path(entry.path).unlink()
