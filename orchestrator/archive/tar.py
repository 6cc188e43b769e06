"""Reads a tar stream strictly: the standard library parses the headers, everything it would forgive is refused here."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Self, cast

from orchestrator.archive.limits import GET_AGAIN, Budget, Refusal
from orchestrator.archive.names import Entry, parts_of
from orchestrator.archive.streams import TRUNCATED, Forward
from orchestrator.archive.writer import Writer

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_SPECIAL = {tarfile.CHRTYPE: "a character device", tarfile.BLKTYPE: "a block device", tarfile.FIFOTYPE: "a FIFO"}
_MALFORMED = (tarfile.TarError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)


class _StrictInfo(tarfile.TarInfo):
    """tarfile takes a broken header for the end of the archive; here only a block of zeros ends it."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            stream = cast(Forward, tar.fileobj)
            if stream.last == bytes(tarfile.BLOCKSIZE):
                raise
            why = TRUNCATED if len(stream.last) < tarfile.BLOCKSIZE else f"one of its headers is broken: {error}"
            raise Refusal(why, hint=GET_AGAIN) from error


def _infos(stream: Forward) -> Iterator[tarfile.TarInfo]:
    try:
        tar = tarfile.TarFile(
            fileobj=stream,  # type: ignore[arg-type]  # it needs read, seek and tell, no more
            mode="r",
            tarinfo=_StrictInfo,
            encoding="utf-8",
            errors="surrogateescape",
        )
        while (info := tar.next()) is not None:
            yield info
            tar.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
    except _MALFORMED as error:
        raise Refusal(f"one of its headers is broken: {error}", hint=GET_AGAIN) from error
    for piece in stream.rest():
        if piece.count(0) != len(piece):
            raise Refusal("something follows its end")


def _entry(info: tarfile.TarInfo) -> Entry:
    parts = parts_of(info.name)
    owner = (info.uid, info.gid)
    if info.type in _SPECIAL:
        raise Refusal(f"it is {_SPECIAL[info.type]}")
    if info.issparse():
        raise Refusal("it is a sparse file")
    if info.type == tarfile.DIRTYPE:
        return Entry(name=info.name, parts=parts, kind="directory", mode=info.mode, owner=owner)
    if info.type == tarfile.SYMTYPE:
        return Entry(name=info.name, parts=parts, kind="symlink", link=info.linkname, owner=owner)
    if info.type == tarfile.LNKTYPE:
        target = parts_of(info.linkname, "its hard link's target")
        return Entry(name=info.name, parts=parts, kind="hardlink", target=target, owner=owner)
    if info.type not in _FILES:
        raise Refusal(f"its type {info.type!r} is unknown")
    if info.size < 0:
        raise Refusal("its size is negative")
    return Entry(name=info.name, parts=parts, kind="file", mode=info.mode, size=info.size, owner=owner)


def entries(stream: Forward, budget: Budget) -> Iterator[Entry]:
    """The entries of a tar stream, in its order; a file's content is what `stream.take(entry.size)` gives."""
    for info in _infos(stream):
        budget.entry()
        try:
            yield _entry(info)
        except Refusal as refusal:
            refusal.entry = refusal.entry or info.name
            raise


def put_entry(writer: Writer, entry: Entry, stream: Forward) -> None:
    """Write one entry of `stream`; a refusal names it."""
    try:
        writer.put(entry, stream.take(entry.size))
    except Refusal as refusal:
        refusal.entry = refusal.entry or entry.name
        raise
