"""Turns a source into a verified file in the store: asks each place in turn, and keeps nothing that is not it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import MachineError, OrchError, RecipeError, SourceError
from orchestrator.events import FetchProgress, Monitor, StepWaiting
from orchestrator.fetch import pypi
from orchestrator.fetch.developer import fetch_developer_tree, is_developer_tree, keep_tree, unpacked_tree
from orchestrator.fetch.download import Download
from orchestrator.fetch.git import git_archive
from orchestrator.fetch.places import Mirrors, joined, local_candidates, no_places, places_of
from orchestrator.fetch.settings import Machine, Place, certificates
from orchestrator.fetch.url import DebianName, GitName, Name, PypiName, parse_name, without_secrets
from orchestrator.fetch.web import Address, Missed, Patience, Web, web_of
from orchestrator.graph.derivation import Source
from orchestrator.store import (
    Layout,
    add_source,
    adopt_partial,
    locked,
    partial_path,
    source_file,
    staging,
    tree_source,
)

_EVENTS_APART = 0.2  # seconds


class _Wrong(Exception):
    """A place has a file of that name with other content; says what was expected and what was got."""


def fetch(
    layout: Layout,
    source: Source,
    *,
    mirrors: Mirrors,
    base: Path,
    monitor: Monitor,
    machine: Machine | None = None,
    patience: Patience | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """The file of `source` in the store, fetched unless it is there. `base` is the recipe's directory.

    Raise MachineError if no place gives it, SourceError if what they give is something else, RecipeError if the source
    names or pins nothing, KeyboardInterrupt soon after `stopped()` is true. Of two processes one fetches; what a broken
    connection left is gone on from.
    """
    present = _stored(layout, source)
    if present is not None:
        return present
    if is_developer_tree(source):
        return fetch_developer_tree(layout, source)
    name = parse_name(source.name, where=source.where)
    with locked(layout, _key(source), lambda: monitor(StepWaiting(step=f"fetch {source.name}")), stopped):
        present = _stored(layout, source)
        if present is not None:
            return present
        machine = machine or Machine.here()
        bundle = certificates(machine)
        web = web_of(bundle, patience or Patience())
        progress = _Progress(monitor, source, stopped)
        return _Fetch(layout, source, name, web, progress, base, bundle).from_any(places_of(name, mirrors, machine))


def _key(source: Source) -> Digest:
    if source.sha256 is not None:
        return Digest("sha256", source.sha256)
    if source.tree is not None:
        return Digest("blake3", source.tree)
    raise RecipeError(
        f"{source.name} is not locked: it has neither sha256 nor tree",
        where=source.where,
        hint="give it the sha256 of the file, or the tree digest of what it unpacks to",
    )


def _stored(layout: Layout, source: Source) -> Path | None:
    if source.sha256 is not None:
        return source_file(layout, source.sha256)
    return tree_source(layout, source.tree) if source.tree is not None else None


@dataclass(slots=True)
class _Progress:
    """Passes progress on, five times a second at most but for the last; the place where a download can be stopped."""

    monitor: Monitor
    source: Source
    stopped: Callable[[], bool]
    last: float = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        if self.stopped():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self.last >= _EVENTS_APART or done == total:
            self.last = now
            self.monitor(FetchProgress(source=self.source.name, done=done, total=total or self.source.size))


@dataclass(slots=True)
class _Fetch:
    """One source being fetched, with its lock held."""

    layout: Layout
    source: Source
    name: Name
    web: Web
    progress: _Progress
    base: Path
    certificates: str | None

    def from_any(self, places: tuple[Place, ...]) -> Path:
        """Ask every place until one has it; raise for what all of them said."""
        answers: list[str] = []
        wrong: list[str] = []
        for place in places:
            asked = f"{without_secrets(place.address)} (from {place.said_by})"
            try:
                return self._from_one(place)
            except Missed as missed:
                answers.append(f"{asked}: {missed.answer}")
            except _Wrong as error:
                wrong.append(f"{error}; {asked}")
        if wrong:
            raise self._mismatch(wrong)
        raise self._unreachable(answers or [no_places(self.name)])

    def _mismatch(self, wrong: list[str]) -> SourceError:
        return SourceError(
            f"{self.source.name} is not what is pinned",
            where=self.source.where,
            why="\n".join(wrong),
            hint="if the new content is right, write its sha256 into the recipe; else find out why it is another file",
        )

    def _unreachable(self, answers: list[str]) -> MachineError:
        by_hand = f"orch source add {self.source.file_name}"
        if isinstance(self.name, GitName):
            top = self.source.file_name.removesuffix(".tar")
            by_hand += f", made by git archive --prefix={top}/ -o {self.source.file_name} {self.name.commit}"
        return MachineError(
            f"cannot fetch {self.source.file_name}, {_key(self.source)}",
            where=self.source.where,
            why="\n".join([f"{self.source.name} was looked for in:", *answers]),
            hint=f"try again later, or supply it by hand: {by_hand}",
        )

    def _from_one(self, place: Place) -> Path:
        candidates = local_candidates(self.name, place, self.base)
        if candidates:
            if isinstance(self.name, PypiName):
                candidates += pypi.linked(candidates[0].with_name("index.html"), self.name)
            found = next((path for path in candidates if path.is_file()), None)
            if found is None:
                raise Missed(f"no file {' or '.join(str(path) for path in candidates)}")
            return self._keep_file(found, str(found))
        if isinstance(self.name, GitName):
            return self._clone(self.name)
        address = self._address(place)
        if self.source.sha256 is None:
            return self._download_tree(address)
        return self._download(address, self.source.sha256)

    def _clone(self, name: GitName) -> Path:
        with staging(self.layout, "git") as room:
            top = self.source.file_name.removesuffix(".tar")
            stopped, patience = self.progress.stopped, self.web.patience
            archive = git_archive(
                name, room, top=top, patience=patience, certificates=self.certificates, stopped=stopped
            )
            return self._keep_file(archive, f"{name.url} at {name.commit}")

    def _address(self, place: Place) -> Address:
        if isinstance(self.name, DebianName):
            archive = Address.of(place.address)
            return Address(joined(archive.url, self.name.path), archive.login)
        if not isinstance(self.name, PypiName):
            return Address.of(place.address)
        found = pypi.find(self.web, place.address, self.name)
        pinned = self.source.sha256
        if found.sha256 is not None and pinned is not None and found.sha256 != pinned:
            raise _Wrong(f"expected sha256:{pinned}, the index says sha256:{found.sha256}")
        return found.address

    def _download(self, address: Address, sha256: str) -> Path:
        partial = partial_path(self.layout, sha256)
        download = Download(self.web, address, partial, self.progress)
        download.run()
        for once_more in (download.resumed, False):
            try:
                return adopt_partial(self.layout, sha256, names=(self.source.name,))
            except SourceError as error:
                if not once_more:
                    raise _Wrong(f"{error.why}, from {without_secrets(address.url)}") from error
            download.run()  # what was there before may have been of another file: the store removed it
        raise AssertionError("unreachable: the second try returns or raises")

    def _download_tree(self, address: Address) -> Path:
        partial = partial_path(self.layout, _key(self.source).hex)
        Download(self.web, address, partial, self.progress).run()
        try:
            return self._keep_file(partial, without_secrets(address.url))
        finally:
            partial.unlink(missing_ok=True)

    def _keep_file(self, file: Path, origin: str) -> Path:
        """Copy a file that is whole into the store if it is what the source pins."""
        names = (self.source.name,)
        if self.source.sha256 is None:
            tree = self._tree(file, origin)
            if tree != self.source.tree:
                raise _Wrong(f"expected a tree of blake3:{self.source.tree}, got blake3:{tree}, from {origin}")
            return keep_tree(self.layout, file, tree, names)
        try:
            return add_source(self.layout, file, sha256=self.source.sha256, names=names)
        except SourceError as error:
            raise _Wrong(f"{error.why}, from {origin}") from error

    def _tree(self, file: Path, origin: str) -> str:
        """The digest of what `file` unpacks to, as a build unpacks it."""
        with staging(self.layout, "fetch") as room:
            try:
                return unpacked_tree(file, room / "tree", self.source.file_name)
            except OrchError as error:
                error.where = f"{self.source.where}: {origin}" if self.source.where else origin
                raise
