"""Removes what no root keeps. Safe beside running commands, and safe to kill: what goes is moved away at once, whole,
while nobody looks, and only then taken apart; a next command removes what a killed one had moved."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.frozen import frozen
from orchestrator.store.goals import asked_note
from orchestrator.store.held import collecting, held
from orchestrator.store.index import Index, open_index
from orchestrator.store.keep import Root, find_roots
from orchestrator.store.layout import Layout
from orchestrator.store.records import read_record, text
from orchestrator.store.stage import staging, sweep
from orchestrator.store.survey import Candidate, Survey, survey
from orchestrator.tree import disk, remove_tree

_KEPT_BUILDS = 1000  # records of runs
_WRITING = 86400.0  # seconds in which a file of the index is surely written
_RECORDS = 30 * 86400.0  # seconds that a record outlives its object, so that `orch why` has something to compare with


@frozen
class Policy:
    """How far to go. Without any limit, all that no root keeps goes."""

    max_size: int | None = None  # bytes: only until the store is no bigger
    keep_free: int | None = None  # bytes: only until so much of the disk is free
    older_than: float | None = None  # seconds: only what was not used for so long; older results of goals too


@frozen
class Collected:
    """What went, or would go, oldest use first; what stays, and why."""

    survey: Survey
    removed: tuple[Candidate, ...]
    left: int  # bytes in the store afterwards
    missing: int  # bytes by which a limit is still not met

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(one.bytes for one in self.removed)


def collect(layout: Layout, policy: Policy, *, dry_run: bool = False) -> Collected:
    """Remove what no root keeps, as far as `policy` goes. Raise MachineError."""
    if dry_run:
        with open_index(layout) as index:
            found = survey(layout, index, _roots(layout, index, policy), held(layout))
        return _collected(found, *_choose(found, policy, layout))
    sweep(layout)
    with staging(layout, "trash") as trash:
        with collecting(layout) as in_use, open_index(layout) as index:
            found = survey(layout, index, _roots(layout, index, policy), in_use)
            chosen, missing = _choose(found, policy, layout)
            _move(layout, chosen, trash)
            _forget(layout, index, found)
        with suppress(MachineError):  # sweep tries again
            remove_tree(trash / "gone")
    return _collected(found, chosen, missing)


def _collected(found: Survey, chosen: list[Candidate], missing: int) -> Collected:
    left = found.total - sum(one.bytes for one in chosen)
    return Collected(survey=found, removed=tuple(chosen), left=left, missing=missing)


def _roots(layout: Layout, index: Index, policy: Policy) -> list[Root]:
    roots = find_roots(layout, index)
    if policy.older_than is None:
        return roots
    limit = time.time() - policy.older_than
    return [root for root in roots if root.kind != "goal" or root.age == 0 or root.used >= limit]


def _choose(found: Survey, policy: Policy, layout: Layout) -> tuple[list[Candidate], int]:
    candidates = sorted(found.candidates, key=lambda one: (one.used, one.path))
    if policy.older_than is not None:
        limit = time.time() - policy.older_than
        candidates = [one for one in candidates if one.used < limit]
    if policy.max_size is None and policy.keep_free is None:
        return candidates, 0
    wanted = 0
    if policy.max_size is not None:
        wanted = max(wanted, found.total - policy.max_size)
    if policy.keep_free is not None:
        with disk("read", layout.root):
            wanted = max(wanted, policy.keep_free - shutil.disk_usage(layout.root).free)
    chosen: list[Candidate] = []
    for one in candidates:
        if wanted <= 0:
            break
        chosen.append(one)
        wanted -= one.bytes
    return chosen, max(0, wanted)


def _move(layout: Layout, chosen: Sequence[Candidate], trash: Path) -> None:
    """Take the chosen out of the store: each in one step, a record that leads to it first."""
    gone = trash / "gone"
    with disk("collect", layout.root):
        gone.mkdir()
        lost = {one.path.name for one in chosen if one.kind == "blob"}
        _drop_images(layout, lost)
        for number, one in enumerate(chosen):
            if one.kind == "source":
                one.path.with_name(f"{one.path.name}.json").unlink(missing_ok=True)
            if one.kind == "object":
                (layout.root / "elf" / f"{one.path.name}.json").unlink(missing_ok=True)
                one.path.chmod(0o755)  # a directory can be moved by those only who may write to it
            with suppress(FileNotFoundError):
                one.path.rename(gone / str(number))


def _drop_images(layout: Layout, blobs: set[str]) -> None:
    """Remove the records of layers and images that would lead to blobs that are gone."""
    if not blobs:
        return
    for path in layout.layers.glob("*.json"):
        digest = read_record(layout, path, lambda one: text(one, "digest"))
        if digest is not None and digest.rpartition(":")[2] in blobs:
            path.unlink(missing_ok=True)
    for path in layout.images.glob("*.json"):
        used = read_record(layout, path, lambda one: {one["manifest"], *(layer["digest"] for layer in one["layers"])})
        if used is not None and any(str(digest).rpartition(":")[2] in blobs for digest in used):
            path.unlink(missing_ok=True)


def _forget(layout: Layout, index: Index, found: Survey) -> None:
    """Remove old records of things that are gone, the oldest records of runs, and what killed commands began to write
    into the index."""
    limit = time.time() - _RECORDS
    rooted = {root.record for root in found.roots}
    with disk("collect", layout.root):
        for path in (layout.root / directory / f"{name}.json" for directory, name in index.stale(limit)):
            if path not in rooted:
                path.unlink(missing_ok=True)
                (path.parent / "documents" / path.name).unlink(missing_ok=True)  # of a goal
                asked_note(layout, path.stem).unlink(missing_ok=True)
        runs = sorted(layout.builds.glob("*.json"))
        for path in runs[:-_KEPT_BUILDS]:
            path.unlink(missing_ok=True)
        for path in (layout.root / "index").glob("*.*-*"):  # NAME.PID-HEX: a file that was being written
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _WRITING:
                    path.unlink()
