"""A closure as one file, for a machine without a network: what it is made of, and how it is written and read.

The file is an ordinary tar: `contents.json`, which names all that follows in this order, then `objects/HEX.tar.zst`
(packed.py), `blobs/HEX`, and last the records that lead to them. Every header follows from an entry's name and size,
so that the reader compares it and parses nothing else of it. Not signed: it is as good as whoever gave it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from orchestrator.digest import Digest, sha256_file
from orchestrator.errors import MachineError, SourceError
from orchestrator.frozen import frozen
from orchestrator.store.blobs import blob_path, quarantine_blob
from orchestrator.store.layout import Layout
from orchestrator.store.packed import CHUNK, packed
from orchestrator.store.records import record_bytes
from orchestrator.tree import Entry, disk

CONTENTS = "contents.json"
BLOCK = 512  # bytes of a tar's blocks
END = bytes(2 * BLOCK)
KIND = "orch-closure"
_SCHEMA = 1  # of the contents
_MAX_CONTENTS = 64 << 20  # bytes
_MAX_SIZE = 0o77777777777  # bytes that a tar's header has room for
_NAME = re.compile(
    r"objects/[0-9a-f]{64}\.tar\.zst|blobs/[0-9a-f]{64}"
    r"|records/(?:realisations|checks|goals|goals/documents|images|layers)/[0-9a-f]{64}\.json"
)

Progress = Callable[[str, int, int], None]  # what is being done, how many of the entries are, how many there are


@frozen
class Closure:
    """What a file holds. `records` are paths below the store's root."""

    name: str  # as the user named it
    kind: str  # `goal` or `image`
    objects: tuple[Digest, ...]
    blobs: tuple[Digest, ...] = ()
    records: tuple[str, ...]

    def entries(self) -> tuple[str, ...]:
        """The names of all that follows the contents."""
        return (
            *(f"objects/{one.hex}.tar.zst" for one in self.objects),
            *(f"blobs/{one.hex}" for one in self.blobs),
            *(f"records/{one}" for one in self.records),
        )


def header(name: str, size: int) -> bytes:
    """The header of an entry."""
    from orchestrator.tree.tar import tar_header

    return tar_header(Entry(name, "file", 0o444, size=size))


# -- writing ----------------------------------------------------------------------------------------------------------


def write_closure(layout: Layout, closure: Closure, target: Path, *, threads: int, progress: Progress) -> int:
    """Write the file `target`, whole or not at all; return its bytes. All of it is hashed on the way. Raise
    MachineError if something is not there or damaged, or cannot be written."""
    names = closure.entries()
    new = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk("write", target):
        try:
            with new.open("xb") as file:
                _write_entry(file, CONTENTS, [_contents(closure)])
                for count, name in enumerate(names):
                    progress(name, count, len(names))
                    _write_entry(file, name, _content(layout, name, threads))
                file.write(END)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    return size


def _contents(closure: Closure) -> bytes:
    return record_bytes(
        {"kind": KIND, "form": _SCHEMA, "name": closure.name, "what": closure.kind, "entries": closure.entries()}
    )


def _write_entry(file: IO[bytes], name: str, content: Iterable[bytes]) -> None:
    at = file.tell()
    file.write(bytes(BLOCK))  # its header, once the size is known
    size = 0
    for piece in content:
        file.write(piece)
        size += len(piece)
    if size > _MAX_SIZE:
        raise MachineError(f"{name} takes {size} bytes packed, and an entry has room for {_MAX_SIZE}")
    file.write(bytes(-size % BLOCK))
    end = file.tell()
    file.seek(at)
    file.write(header(name, size))
    file.seek(end)


def _content(layout: Layout, name: str, threads: int) -> Iterator[bytes]:
    kind, _, rest = name.partition("/")
    if kind == "objects":
        return packed(layout, Digest("blake3", rest.partition(".")[0]), threads=threads)
    if kind == "records":
        return iter([(layout.root / rest).read_bytes()])
    return _blob(layout, Digest("sha256", rest))


def _blob(layout: Layout, digest: Digest) -> Iterator[bytes]:
    path = blob_path(layout, digest)
    if sha256_file(path) != digest:
        quarantine_blob(layout, digest, "its content differs")
        raise MachineError(f"blob {digest} is damaged", where=str(path), hint="it was put aside: make the image again")
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


# -- reading ----------------------------------------------------------------------------------------------------------


class ClosureReader:
    """Goes through a file that is open for reading, entry by entry, in the order of its contents."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        """Raise SourceError for a file that does not begin as a closure does."""
        self._file = file
        self._path = path
        self._entry = CONTENTS
        self._left = 0  # bytes of the entry that nobody has read
        self._padding = 0
        try:
            size = self.open(CONTENTS)
        except SourceError:
            size = -1
        if not 0 <= size <= _MAX_CONTENTS:
            raise self._foreign("it does not begin as one does")
        data = self.read(size)
        line = data.partition(b"\n")[0]
        try:
            document = json.loads(line)
            document.pop("schema")
            if data != record_bytes(document):
                raise ValueError("its checksum does not fit")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self.refused(f"it is damaged: {error}") from error
        if document.get("kind") != KIND:
            raise self._foreign("its contents are of another kind")
        if document["form"] != _SCHEMA:
            raise self._foreign(f"its form is {document['form']!r}, known is {_SCHEMA}")
        self.name, self.kind, self.names = self._said(document)

    def _said(self, document: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
        names = tuple(str(one) for one in document["entries"])
        for name in names:
            if _NAME.fullmatch(name) is None:
                raise self.refused(f"it names {name!r}, which a closure cannot hold")
        if len(set(names)) != len(names):
            raise self.refused("it names an entry twice")
        return str(document["name"]), str(document["what"]), names

    def open(self, name: str) -> int:
        """Begin the next entry, which has to be this one; return its bytes. Raise SourceError."""
        self.skip()
        self._entry = name
        head = self._take(BLOCK)
        try:
            size = int(head[124:135], 8)
        except ValueError:
            size = -1
        if len(head) < BLOCK:
            raise self.refused("the file ends before it")
        if not 0 <= size <= _MAX_SIZE or head != header(name, size):
            raise self.refused("its header is damaged, or it is another entry")
        self._left, self._padding = size, -size % BLOCK
        return size

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of the entry. Raise SourceError if the file ends within it."""
        wanted = min(size, self._left)
        data = self._take(wanted)
        if len(data) < wanted:
            raise self.refused("the file ends within it")
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Pass over what is left of the entry. Raise SourceError if it is not there."""
        if self._left:
            with disk("read", self._path):
                end = self._file.tell() + self._left
                if end > os.fstat(self._file.fileno()).st_size:
                    raise self.refused("the file ends within it")
                self._file.seek(end)
        self._left = 0
        wanted, self._padding = bytes(self._padding), 0
        if wanted and self._take(len(wanted)) != wanted:
            raise self.refused("something follows it, or the file ends there")

    def end(self) -> None:
        """Raise SourceError unless nothing follows."""
        self.skip()
        self._entry = "its end"
        if self._take(len(END)) != END or self._take(1):
            raise self.refused("something else stands there, or it was cut off")

    def refused(self, why: str) -> SourceError:
        """The error for the entry that is read now."""
        return SourceError(
            f"{self._path.name} is refused at {self._entry}",
            where=str(self._path),
            why=why,
            hint="copy it again, or export it again; what was imported before that entry is kept",
        )

    def _foreign(self, why: str) -> SourceError:
        return SourceError(
            f"{self._path.name} is no closure that orch exported",
            where=str(self._path),
            why=why,
            hint="orch store export GOAL -o FILE writes one",
        )

    def _take(self, size: int) -> bytes:
        with disk("read", self._path):
            return self._file.read(size) if size else b""
