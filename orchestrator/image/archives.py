"""One image as one file: `oci-archive`, an image layout in a tar; `docker-archive`, what `docker load` reads.

Both are written here, in one pass and without another program; the image alone decides their bytes. Every blob is
hashed while it is copied.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import IO

from orchestrator.digest import Digest, canonical_json
from orchestrator.image.compress import decompress
from orchestrator.image.layout import (
    INDEX_FILE,
    LAYOUT,
    LAYOUT_FILE,
    image_blobs,
    manifest_descriptor,
    read_document,
    refuse_blob,
)
from orchestrator.image.oci import image_index
from orchestrator.store import ImageRecord, Layout, blob_path
from orchestrator.tree import SEALED_MTIME

_DOCKER_FIRST = "manifest.json"
_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether the file begins as one that is written here. Raise OSError."""
    with path.open("rb") as file:
        block = file.read(tarfile.BLOCKSIZE)
    try:
        first = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return first.name in {LAYOUT_FILE, _DOCKER_FIRST} and first.mtime == SEALED_MTIME


def write_oci_archive(layout: Layout, record: ImageRecord, path: Path) -> None:
    """An image layout of this one image, in a new file at `path`. Raise OSError, MachineError."""
    with path.open("xb") as file:
        _add(file, LAYOUT_FILE, LAYOUT)
        _add(file, INDEX_FILE, image_index({record.name: manifest_descriptor(record)}))
        for name in ("blobs", "blobs/sha256"):
            file.write(_header(name, 0, tarfile.DIRTYPE))
        for digest, size in sorted(image_blobs(record).items()):
            file.write(_header(f"blobs/sha256/{digest.hex}", size))
            with blob_path(layout, digest).open("rb", buffering=0) as blob:
                written = _pour(blob, file, digest, layout, digest)
            if written != size:
                refuse_blob(layout, digest, "it has another size")
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def write_docker_archive(layout: Layout, record: ImageRecord, path: Path) -> None:
    """What `docker load` reads, in a new file at `path`: layers not compressed, the configuration as it is, so that the
    image's ID is the configuration's digest. Raise OSError, MachineError."""
    layers = [f"{layer.diff_id.hex}.tar" for layer in record.layers]
    entry = {"Config": f"{record.config.hex}.json", "RepoTags": [f"{record.name}:latest"], "Layers": layers}
    with path.open("xb") as file:
        _add(file, _DOCKER_FIRST, b"[" + canonical_json(entry) + b"]")
        _add(file, f"{record.config.hex}.json", read_document(layout, record.config))
        for layer in {layer.diff_id: layer for layer in record.layers}.values():
            name = f"{layer.diff_id.hex}.tar"
            start = file.tell()
            file.write(_header(name, 0))
            with (
                blob_path(layout, layer.digest).open("rb", buffering=0) as blob,
                decompress(blob, layer.media_type) as tar,
            ):
                size = _pour(tar, file, layer.diff_id, layout, layer.digest)
            end = file.tell()
            file.seek(start)
            file.write(_header(name, size))  # of the same length whatever the size is
            file.seek(end)
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o444
    info.mtime = SEALED_MTIME
    return info.tobuf(tarfile.GNU_FORMAT)  # one block, however big the file is


def _add(file: IO[bytes], name: str, data: bytes) -> None:
    file.write(_header(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE))


def _pour(source: IO[bytes], file: IO[bytes], expected: Digest, layout: Layout, blob: Digest) -> int:
    """Copy all of `source`, padded; return its bytes. What is not `expected` puts the blob aside: MachineError."""
    hasher, size = hashlib.sha256(), 0
    try:
        while data := source.read(_CHUNK):
            hasher.update(data)
            file.write(data)
            size += len(data)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # zlib.error, gzip.BadGzipFile, zstandard.ZstdError, EOFError
        refuse_blob(layout, blob, f"it cannot be decompressed: {error}")
    if hasher.hexdigest() != expected.hex:
        refuse_blob(layout, blob, "its content differs")
    file.write(bytes(-size % tarfile.BLOCKSIZE))
    return size
