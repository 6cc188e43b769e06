"""The store as the planner sees it: questions only, answered by a few stats and small reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.digest import Digest
from orchestrator.graph.derivation import Source
from orchestrator.store import (
    Layout,
    has_object,
    read_check,
    read_goal,
    read_realisation,
    recent_realisations,
    source_file,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKnown:
    """`plan.Known` over one store."""

    layout: Layout

    def output(self, key: Digest) -> Digest | None:
        found = read_realisation(self.layout, key)
        return found.output if found is not None else None

    def present(self, digest: Digest) -> bool:
        return has_object(self.layout, digest)

    def checked(self, key: Digest) -> bool:
        return read_check(self.layout, key) is not None

    def goal(self, key: Digest) -> Digest | None:
        goal = read_goal(self.layout, key)
        if goal is None:
            return None
        whole = all(has_object(self.layout, item.digest) for item in goal.closure)
        return goal.output if whole else None

    def documents(self, name: str) -> Iterable[Mapping[str, Any]]:
        return (found.document for found in recent_realisations(self.layout, name))

    def source(self, source: Source) -> bool:
        return source.sha256 is not None and source_file(self.layout, source.sha256) is not None
