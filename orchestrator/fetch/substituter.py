"""A place to copy from instead of building: a directory or a static HTTP server with signed entries (store/entries.py).

A cache is a hint. Whatever is wrong with one is a reason, never an error: an entry that is missing, unsigned or of
another key, an archive that is not what its entry says, a server that refuses. One that does not answer is given up on
for the rest of the run. Only this machine's own disk raises.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.digest import Digest, sha256_file
from orchestrator.errors import UsageError
from orchestrator.store.entries import (
    LARGEST,
    BadEntry,
    CacheEntry,
    CheckEntry,
    check_name,
    entry_name,
    read_check_entry,
    read_entry,
)
from orchestrator.store.layout import Layout
from orchestrator.store.signature import PublicKey
from orchestrator.tree import disk

if TYPE_CHECKING:
    from orchestrator.fetch.web import Patience, Web

ABSENT = "not in {}"
_AT_ONCE = 8  # entries that are asked for at a time
_PIECE = 1 << 20  # bytes
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

Progress = Callable[[int, int], None]  # bytes so far and altogether


class Unusable(Exception):
    """Why a place does not give something. `off`: nothing else is to be asked of it in this run."""

    def __init__(self, why: str, *, off: bool = False, absent: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.off = off
        self.absent = absent


class Substituter:
    """One place. Any thread may use it."""

    def __init__(self, address: str, trusted: Sequence[PublicKey], *, patience: Patience | None = None) -> None:
        """`address` is a directory, or an http or https URL. Raise UsageError for another scheme."""
        if (match := _URL.match(address)) and match[0].lower() not in ("http://", "https://"):
            raise UsageError(
                f"cannot substitute from {address}", why="a cache is a directory, or is served over http or https"
            )
        self._directory = None if match else Path(address)
        self._address = address.rstrip("/")
        self._trusted = tuple(trusted)
        self._patience = patience
        self._off = ""
        self._lock = threading.Lock()
        self._answers: dict[Digest, CacheEntry | Unusable] = {}
        self._checks: dict[Digest, CheckEntry | None] = {}

    @property
    def shown(self) -> str:
        """Its address, without a password."""
        if self._directory is not None:
            return str(self._directory)
        from orchestrator.fetch.url import without_secrets

        return without_secrets(self._address)

    @property
    def off(self) -> str:
        """Why it is not asked any more; empty as long as it is."""
        return self._off

    def prefetch(self, keys: Iterable[Digest]) -> None:
        """Ask for the entries of many keys at once, so that `entry` has their answers."""
        todo = [key for key in dict.fromkeys(keys) if key not in self._answers]
        if not todo or self._off:
            return
        try:
            self._ask(todo[0])  # one alone first: who does not answer once is not asked a hundred times
        except Unusable as unusable:
            if unusable.off:
                return
        with ThreadPoolExecutor(min(_AT_ONCE, len(todo)), "substituter") as pool:
            list(pool.map(self._quietly, todo[1:]))

    def _quietly(self, key: Digest) -> None:
        try:
            self._ask(key)
        except Unusable:
            return

    def entry(self, key: Digest) -> CacheEntry:
        """The signed entry of a derivation or build key. Raise Unusable."""
        return self._ask(key)

    def _ask(self, key: Digest) -> CacheEntry:
        answer = self._answers.get(key)
        if answer is None:
            if self._off:
                raise Unusable(self._off)
            try:
                answer = read_entry(self._small(entry_name(key)), key, self._trusted)
            except BadEntry as error:
                answer = Unusable(f"{error} ({self.shown})")
            except Unusable as error:
                answer = error
                if error.off:
                    self.give_up(error.why)
            with self._lock:
                self._answers[key] = answer
        if isinstance(answer, Unusable):
            raise answer
        return answer

    def check(self, key: Digest) -> CheckEntry | None:
        """The signed entry of a check that passed, if the place has one that is believed."""
        if key not in self._checks:
            self._checks[key] = self._read_check(key)
        return self._checks[key]

    def _read_check(self, key: Digest) -> CheckEntry | None:
        if self._off:
            return None
        try:
            return read_check_entry(self._small(check_name(key)), key, self._trusted)
        except BadEntry:
            return None
        except Unusable as unusable:
            if unusable.off:
                self.give_up(unusable.why)
            return None

    def give_up(self, why: str) -> None:
        """Ask nothing of it any more."""
        self._off = self._off or why

    def forget(self, entry: CacheEntry, why: str) -> None:
        """Let an entry be a miss from now on: its archive was not what it says."""
        with self._lock:
            for key in (entry.derivation, entry.build):
                self._answers[key] = Unusable(f"{why} ({self.shown})")

    def archive(self, entry: CacheEntry, layout: Layout, progress: Progress) -> Path:
        """The verified archive of an entry, in a file of the caller's from now on: below the store's partial downloads,
        or in the directory that is the cache. What a broken connection left is gone on from. Raise Unusable, or
        MachineError for the disk."""
        if self._off:
            raise Unusable(self._off)
        from orchestrator.store import partial_path

        target = partial_path(layout, entry.sha256)
        if _is(target, entry):
            return target  # a run that was killed had it
        if self._directory is not None:
            self._copy(self._directory / entry.archive, target, entry, progress)
        else:
            self._download(target, entry, progress)
        if _is(target, entry):
            return target
        target.unlink(missing_ok=True)
        raise Unusable(f"its archive is not the one that its entry was signed for ({self.shown})")

    # -- reading ---------------------------------------------------------------------------------------------------

    def _small(self, name: str) -> bytes:
        if self._directory is not None:
            try:
                with (self._directory / name).open("rb") as file:
                    return file.read(LARGEST + 1)
            except FileNotFoundError:
                gone = not self._directory.is_dir()
                why = f"there is no directory {self._directory}" if gone else ABSENT.format(self.shown)
                raise Unusable(why, off=gone, absent=not gone) from None
            except OSError as error:
                raise Unusable(f"{error.strerror} ({self.shown})", off=True) from error
        return self._page(name)

    def _page(self, name: str) -> bytes:
        from orchestrator.fetch.web import Address, Missed, refuse_status

        web, body = self._web(), bytearray()
        try:
            response, _ = web.open(Address.of(f"{self._address}/{name}"), {})
            with response:
                if response.status_code in (404, 410):
                    raise Unusable(ABSENT.format(self.shown), absent=True)
                refuse_status(response)
                for piece in web.body(response):
                    body += piece
                    if len(body) > LARGEST:
                        raise Unusable(f"its entry is larger than {LARGEST} bytes ({self.shown})")
        except Missed as missed:
            raise Unusable(f"{self.shown}: {missed.answer}", off=True) from missed
        return bytes(body)

    def _copy(self, source: Path, target: Path, entry: CacheEntry, progress: Progress) -> None:
        with disk("write", target), target.open("wb") as copy:
            for piece in self._pieces(source, entry.size):
                copy.write(piece)
        progress(entry.size, entry.size)

    def _pieces(self, source: Path, most: int) -> Iterator[bytes]:
        try:
            with source.open("rb") as file:
                while most >= 0 and (piece := file.read(_PIECE)):
                    most -= len(piece)
                    yield piece
        except OSError as error:
            raise Unusable(f"its archive cannot be read: {error.strerror} ({self.shown})") from error

    def _download(self, target: Path, entry: CacheEntry, progress: Progress) -> None:
        from orchestrator.fetch.download import Download
        from orchestrator.fetch.web import Address, Missed

        def told(done: int, total: int | None) -> None:
            if max(done, total or 0) > entry.size:
                raise Missed(f"its archive is larger than the {entry.size} bytes that its entry says")
            progress(done, entry.size)

        try:
            Download(self._web(), Address.of(f"{self._address}/{entry.archive}"), target, told).run()
        except Missed as missed:
            raise Unusable(f"{self.shown}: {missed.answer}", off=missed.again) from missed

    def _web(self) -> Web:
        from orchestrator.fetch.settings import Machine, certificates
        from orchestrator.fetch.web import Patience, web_of

        # A cache that is slow to answer costs more than it saves.
        patience = self._patience or Patience(connect=3.0, read=5.0, tries=2, window=20.0)
        return web_of(certificates(Machine.here()), patience)


def _is(file: Path, entry: CacheEntry) -> bool:
    """Whether a file is the archive of an entry, by its content. Raise MachineError."""
    with disk("read", file):
        return file.is_file() and file.stat().st_size == entry.size and sha256_file(file).hex == entry.sha256
