"""Reads a zip file or wheel strictly: the standard library parses it, what it would forgive is refused here."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.archive.limits import GET_AGAIN, MAX_LINK, Budget, Refusal
from orchestrator.archive.names import Entry, parts_of
from orchestrator.archive.strip import stripped
from orchestrator.archive.writer import Writer

_BROKEN = (zipfile.BadZipFile, EOFError, zlib.error, ValueError, NotImplementedError, LookupError)
_PIECE = 1 << 20  # bytes
_END = 22  # bytes of the end record, before its comment


def _check_frame(archive: Path, comment: bytes) -> None:
    """Raise Refusal if something stands before the first or after the last record."""
    with archive.open("rb") as file:
        start = file.read(4)
        file.seek(-(_END + len(comment)), os.SEEK_END)
        end = file.read(4)
    if start not in (b"PK\3\4", b"PK\5\6"):
        raise Refusal("something stands before its first entry")
    if end != b"PK\5\6":
        raise Refusal("something follows its end")


def _content(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with zipped.open(info) as file:
        while piece := file.read(_PIECE):
            yield piece


def _link_text(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > MAX_LINK:
        raise Refusal(f"its link text is longer than {MAX_LINK} bytes")
    return b"".join(_content(zipped, info)).decode("utf-8", "surrogateescape")


def _entry(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    name = info.orig_filename
    parts = parts_of(name)
    if info.flag_bits & 0x1:
        raise Refusal("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refusal(f"its compression method {info.compress_type} is not one of stored and deflated")
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if name.endswith("/"):
        return Entry(name=name, parts=parts, kind="directory", mode=stat.S_IMODE(mode))
    if kind == stat.S_IFLNK:
        return Entry(name=name, parts=parts, kind="symlink", link=_link_text(zipped, info))
    if kind not in (0, stat.S_IFREG):
        raise Refusal("it is neither file, directory nor symbolic link")
    return Entry(name=name, parts=parts, kind="file", mode=stat.S_IMODE(mode), size=info.file_size)


def _entries(zipped: zipfile.ZipFile, budget: Budget) -> Iterator[Entry]:
    seen: set[tuple[str, ...]] = set()
    for info in zipped.infolist():
        budget.entry()
        try:
            entry = _entry(zipped, info)
            if entry.parts in seen and entry.kind != "directory":
                raise Refusal("another entry has the same name")
        except Refusal as refusal:
            refusal.entry = refusal.entry or info.orig_filename
            raise
        seen.add(entry.parts)
        yield entry


@contextmanager
def _opened(archive: Path, budget: Budget) -> Iterator[zipfile.ZipFile]:
    """The zip file, its frame and its sizes checked; raise Refusal, also for what the block finds broken."""
    try:
        with zipfile.ZipFile(archive, metadata_encoding="utf-8") as zipped:
            _check_frame(archive, zipped.comment)
            size = archive.stat().st_size
            if not all(0 <= info.header_offset < size for info in zipped.infolist()):
                raise Refusal("it is broken: an entry does not lie in it", hint=GET_AGAIN)
            if sum(info.compress_size for info in zipped.infolist()) > size:
                raise Refusal("its entries overlap")
            budget.data(sum(info.file_size for info in zipped.infolist()))
            yield zipped
    except UnicodeError as error:
        raise Refusal("one of its names is not UTF-8") from error
    except _BROKEN as error:
        raise Refusal(f"it is broken: {error}", hint=GET_AGAIN) from error


def unpack_zip(archive: Path, writer: Writer, budget: Budget, *, strip: bool) -> None:
    """Write every entry of a zip file; raise Refusal at the first that may not be."""
    with _opened(archive, budget) as zipped:
        _write(zipped, writer, budget, strip=strip)


@contextmanager
def checked_zip(archive: Path, budget: Budget) -> Iterator[zipfile.ZipFile]:
    """The zip file for a reader of its own: what `unpack_zip` refuses is refused here, without writing, and so are
    links and names that are not written plainly, such as `./a` or `a//b`. Raise Refusal."""
    with _opened(archive, budget) as zipped:
        for entry in _entries(zipped, budget):
            if entry.kind == "symlink":
                raise Refusal("it is a symbolic link", entry=entry.name)
            if entry.mode & (stat.S_ISUID | stat.S_ISGID):
                raise Refusal("it is setuid or setgid", entry=entry.name)
            if "/".join(entry.parts) != entry.name.removesuffix("/"):
                raise Refusal("its name is not written plainly", entry=entry.name)
        yield zipped


def _write(zipped: zipfile.ZipFile, writer: Writer, budget: Budget, *, strip: bool) -> None:
    found = _entries(zipped, budget)
    for entry in stripped(found) if strip else found:
        try:
            writer.put(entry, _content(zipped, zipped.getinfo(entry.name)))
        except Refusal as refusal:
            refusal.entry = refusal.entry or entry.name
            raise
