"""The store as the planner sees it: questions only, answered by a few stats and small reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import store  # what of it is needed is imported when it is: see there
from orchestrator.digest import Digest
from orchestrator.digest.kept import Moment
from orchestrator.digest.looks import Looks
from orchestrator.frozen import field, frozen
from orchestrator.graph.derivation import Source

if TYPE_CHECKING:
    from orchestrator.store import Layout, Realisation


def remembered_outputs(layout: Layout, moment: Moment | None) -> Looks | None:
    """What the records of a store led to when they were last read, as far as they are still as they were."""
    if moment is None:
        return None
    return Looks(f"{layout.root}/index/outputs", str(layout.realisations), moment, whole=True)


@frozen
class StoreKnown:
    """`plan.Known` over one store."""

    layout: Layout
    outputs: Looks | None = None  # what records led to when they were last read
    _newest: dict[str, Realisation] = field(default_factory=dict, repr=False, compare=False)  # those that were read

    def output(self, key: Digest) -> Digest | None:
        remembered = self.outputs.get(key.hex) if self.outputs is not None else None
        if remembered is not None:
            return Digest("blake3", remembered.decode())
        found = store.read_realisation(self.layout, key)
        output = found.output if found is not None else None
        if output is not None and self.outputs is not None:
            self.outputs.add(key.hex, [f"{key.hex}.json"], output.hex.encode())
        return output

    def untold(self, recorded: Sequence[tuple[str, str] | None]) -> list[int]:
        if self.outputs is None:
            return list(range(len(recorded)))
        keys = [one[0] if one is not None else "" for one in recorded]
        return self.outputs.unlike(keys, [one[1].encode() if one is not None else None for one in recorded])

    def present(self, digest: Digest) -> bool:
        try:  # an object is there as a whole or not at all, and whoever uses it looks again
            tree = os.stat(f"{self.layout.root}/objects/{digest.hex}/tree")  # noqa: PTH116
        except OSError:
            return store.has_object(self.layout, digest)
        return stat.S_ISDIR(tree.st_mode)

    def absent(self, objects: Sequence[str]) -> list[int]:
        try:  # a directory is asked about with less work than a stat takes
            top = os.open(self.layout.objects, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return list(range(len(objects)))
        try:
            return [place for place, name in enumerate(objects) if not os.access(f"{name}/tree/", os.F_OK, dir_fd=top)]
        finally:
            os.close(top)

    def note(self, key: str, output: Digest) -> None:
        """Remember what the record of a key (hex) leads to, which this process has written."""
        if self.outputs is not None:
            self.outputs.add(key, [f"{key}.json"], output.hex.encode())

    def save(self) -> None:
        """Let what was read now be remembered."""
        if self.outputs is not None:
            self.outputs.save()

    def checked(self, key: Digest) -> bool:
        return store.read_check(self.layout, key) is not None

    def goal(self, key: Digest) -> Digest | None:
        goal = store.read_goal(self.layout, key)
        if goal is None:
            return None
        whole = all(store.has_object(self.layout, item.digest) for item in goal.closure)
        return goal.output if whole else None

    def documents(self, name: str) -> Iterable[Mapping[str, Any]]:
        for found in store.recent_realisations(self.layout, name):
            self._newest.setdefault(name, found)
            yield found.document

    def newest(self, name: str) -> Realisation | None:
        """A recipe's last success, as it was when this was asked about first."""
        if name not in self._newest:
            return store.latest_realisation(self.layout, name)
        return self._newest[name]

    def goal_checks(self, goal: str, options: tuple[tuple[str, str], ...]) -> Iterable[Mapping[str, Any]]:
        for one in store.recent_goals(self.layout, goal, options):
            document = store.read_goal_document(self.layout, one.key)
            if document is not None:
                yield document["checks"]

    def source(self, source: Source) -> bool:
        if source.sha256 is None:
            return source.tree is not None and store.tree_source(self.layout, source.tree) is not None
        return store.source_file(self.layout, source.sha256) is not None
