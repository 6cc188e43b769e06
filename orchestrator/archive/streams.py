"""Decompression with a grip: bounded pieces, counted bytes, and an end that must be an end. Knows no archive format."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from orchestrator.archive.limits import GET_AGAIN, MAX_HEADER, XZ_MEMORY, Budget, Refusal

_READ = 256 << 10  # bytes read at once
_PIECE = 1 << 20  # bytes decompressed at once: what a bomb can take before it is counted

TRUNCATED = "it ends before its data does"


class Reader(Protocol):
    """A file open for reading."""

    def read(self, size: int, /) -> bytes: ...


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Gzip:
    """zlib's own gzip reader (it checks length and CRC) with the interface of bz2's and lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail  # never empty while output waits: the CRC is still in it

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


_NEW: dict[str, Callable[[], _Decompressor]] = {"gz": _Gzip, "bz2": bz2.BZ2Decompressor, "xz": _xz}


def _one_stream(source: Reader, new: Callable[[], _Decompressor], data: bytes) -> Generator[bytes, None, bytes]:
    """Yield one compressed stream's content; the generator's value is what was read beyond it."""
    inner = new()
    while True:
        piece = inner.decompress(data, _PIECE)
        if piece:
            yield piece
        if inner.eof:
            return inner.unused_data
        data = source.read(_READ) if inner.needs_input else b""
        if inner.needs_input and not data:
            raise EOFError


def pieces(source: Reader, compression: str) -> Iterator[bytes]:
    """The decompressed content of `source`: one stream or several in a row, zeros between and after them."""
    data = source.read(_READ)
    if compression == "":
        while data:
            yield data
            data = source.read(_READ)
        return
    first = True
    while data or first:
        try:
            data = yield from _one_stream(source, _NEW[compression], data)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not bz2's
            why = f"its {compression} data is broken: {error}"
            if isinstance(error, EOFError):
                why = TRUNCATED
            if not first:
                why = f"something follows its {compression} data"
            raise Refusal(why, hint=GET_AGAIN) from error
        first = False
        data = data.lstrip(b"\0")
        while not data and (more := source.read(_READ)):
            data = more.lstrip(b"\0")


class Forward:
    """A decompressed stream as tarfile wants it (`read`, `seek`, `tell`), except that it only goes forward."""

    def __init__(self, source: Iterator[bytes], budget: Budget) -> None:
        self._source = source
        self._budget = budget
        self._piece = b""
        self._at = 0  # in the piece
        self._position = 0
        self.last = b""  # what `read` returned last

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Skip to `position`, or to the end if that is nearer."""
        if position < self._position:
            raise Refusal("a header of it leads backwards")
        for _ in self._upto(position - self._position):
            pass

    def read(self, size: int) -> bytes:
        """At most `size` bytes, for headers only."""
        if size < 0 or size > MAX_HEADER:
            raise Refusal(f"one of its headers is larger than {MAX_HEADER} bytes")
        self.last = b"".join(self._upto(size))
        return self.last

    def take(self, size: int) -> Iterator[bytes]:
        """Exactly `size` bytes, in pieces; raise Refusal if there are fewer."""
        start = self._position
        yield from self._upto(size)
        if self._position - start != size:
            raise Refusal(TRUNCATED, hint=GET_AGAIN)

    def rest(self) -> Iterator[bytes]:
        """Everything to the end."""
        while piece := b"".join(self._upto(_PIECE)):
            yield piece

    def _upto(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if self._at == len(self._piece):
                self._piece, self._at = next(self._source, b""), 0
                if not self._piece:
                    return
                self._budget.data(len(self._piece))
            found = self._piece[self._at : self._at + size]
            self._at += len(found)
            self._position += len(found)
            size -= len(found)
            yield found
