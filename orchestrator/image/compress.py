"""Compress the bytes of a layer, the same bytes whatever the number of threads."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

from orchestrator.archive import zstd
from orchestrator.image.model import Compression

MEDIA_TYPES = {
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
}

_GZIP_LEVEL = 6
_GZIP_WINDOW = 32768
# Magic, deflate, no flags, no time, no word on the effort, unknown system: nothing that a run could change.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def compression_facts(compression: Compression) -> dict[str, str | int]:
    """All that decides the compressed bytes, beside the bytes themselves."""
    if compression == "gzip":
        return {"compression": "gzip", "level": _GZIP_LEVEL, "library": zlib.ZLIB_RUNTIME_VERSION, "mode": "blocks"}
    how: dict[str, str | int] = {"compression": "zstd", "level": zstd.LEVEL, "library": zstd.version()}
    return {**how, "mode": "threads", "job": zstd.JOB}


def compress(chunks: Iterable[bytes], compression: Compression, threads: int) -> Iterator[bytes]:
    """`chunks` compressed by `threads` threads; how many these are does not change a byte."""
    return zstd.compressed(chunks, threads) if compression == "zstd" else _gzip(chunks, threads)


def decompress(blob: IO[bytes], media_type: str) -> IO[bytes]:
    """A reader of what is in a layer's blob. Raise ValueError for a media type that is no layer's."""
    if media_type == MEDIA_TYPES["zstd"]:
        return zstd.reader(blob)
    if media_type == MEDIA_TYPES["gzip"] or media_type == "application/vnd.docker.image.rootfs.diff.tar.gzip":
        import gzip

        return gzip.GzipFile(fileobj=blob, mode="rb")  # type: ignore[return-value]
    if media_type == "application/vnd.oci.image.layer.v1.tar":
        return blob
    raise ValueError(f"{media_type} is no layer's media type")


def _gzip(chunks: Iterable[bytes], threads: int) -> Iterator[bytes]:
    """One gzip member of blocks that are compressed on their own, each with the end of the one before as dictionary.

    A block is what came as a chunk: who makes the chunks decides the bytes.
    """
    yield _GZIP_HEADER
    checksum, size, before = 0, 0, b""
    with ThreadPoolExecutor(max(1, threads), "gzip") as pool:
        waiting: deque[Future[bytes]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_deflate, chunk, before))
            before = chunk[-_GZIP_WINDOW:]
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()
    yield zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS).flush()  # the last block, an empty one
    yield struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _deflate(chunk: bytes, before: bytes) -> bytes:
    if before:
        stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    else:
        stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(chunk) + stream.flush(zlib.Z_SYNC_FLUSH)
