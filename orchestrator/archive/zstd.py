"""Zstandard: compresses to the same bytes whatever the number of threads, and reads with a grip on memory. Its one
home: layers of images and archives of objects are made and read here. Knows no archive format.

Level 3 is a choice between speed and size, measured on 1.8 GB of CUDA, Debian and UCX files with two cores: level 1
took 4.1 s and left 38 %, level 3 took 4.8 s and left 33 %, level 5 took 7.0 s and left 32 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

LEVEL = 3
JOB = 4 << 20  # bytes that one thread takes at a time: part of what decides the bytes
_MAX_WINDOW = 1 << 27  # bytes; what a reader may have to remember. Level 3 needs 2 MB, --ultra without --long 128 MB


class Broken(ValueError):
    """The data is not what zstd makes."""


def version() -> str:
    """The library's, which is part of what decides the bytes."""
    import zstandard

    return ".".join(map(str, zstandard.ZSTD_VERSION))


def compressed(chunks: Iterable[bytes], threads: int) -> Iterator[bytes]:
    """`chunks` as one frame with a checksum at its end."""
    import zstandard

    # Without a thread of its own zstd makes other bytes; with one or many it cuts jobs at the same places.
    how = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, threads=max(1, threads), job_size=JOB, write_checksum=True, write_content_size=False
    )
    stream = zstandard.ZstdCompressor(compression_params=how).compressobj()
    for chunk in chunks:
        yield stream.compress(chunk)
    yield stream.flush()


def reader(blob: IO[bytes]) -> IO[bytes]:
    """A reader of the content of all frames; it raises what zstandard raises."""
    import zstandard

    found: Any = zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True)
    return found  # type: ignore[no-any-return]


class StrictReader:
    """A reader of one frame that is asked for exact lengths. Raise Broken for data that is none."""

    def __init__(self, source: Any) -> None:
        """`source` has a `read(size)`."""
        import zstandard

        self._error = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._stream: Any = decompressor.stream_reader(source, read_size=1 << 17, closefd=False)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only where the data ends."""
        pieces = []
        while size > 0:
            try:
                piece: bytes = self._stream.read(size)
            except (self._error, MemoryError) as error:
                raise Broken(f"its zstd data is broken: {error}") from error
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def error() -> type[Exception]:
    """What `reader` raises for data that is broken."""
    import zstandard

    return zstandard.ZstdError
