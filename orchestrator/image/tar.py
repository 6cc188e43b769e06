"""The bytes of one layer: a tar archive that its plan alone decides. What is read of the store is checked meanwhile.

Knows nothing of compression and of image layouts. Order is that of path bytes; owner and mode are the manifest's, names
of owners are empty, every time is SEALED_MTIME; a PAX header is there only where USTAR cannot hold a value; the end is
two blocks of zeros.
"""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Iterator
from typing import NoReturn

from orchestrator.digest import Blake3, Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.frozen import NamedTuple
from orchestrator.image.model import LayerPlan
from orchestrator.store import Layout, object_tree, quarantine_object, read_manifest
from orchestrator.tree import Entry, machine_error
from orchestrator.tree.tar import tar_header

TAR_SCHEMA = 1  # raised when the same plan becomes other bytes
CHUNK = 1 << 20  # bytes; small files are gathered until there are as many

_END = bytes(2 * tarfile.BLOCKSIZE)
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EIO}


class Piece(NamedTuple):
    """One entry of a layer and the object that it is from."""

    entry: Entry
    object: Digest


def layer_pieces(layout: Layout, plan: LayerPlan) -> list[Piece]:
    """What the layer holds, sorted by path bytes, each path once: the last part's. Raise MachineError if an object's
    manifest is not there or damaged, ValueError if two parts have different things at one path."""
    pieces: dict[str, Piece] = {}
    for part in plan.parts:
        for entry in read_manifest(layout, part.object).entries:
            if entry.path in part.excluded:
                continue
            before = pieces.get(entry.path)
            if before is not None and not _agree(before.entry, entry):
                raise ValueError(f"layer {plan.name}: two of its parts have different things at {entry.path!r}")
            pieces[entry.path] = Piece(entry, part.object)
    return sorted(pieces.values(), key=lambda piece: piece.entry.path)  # code points order as UTF-8 bytes do


def _agree(one: Entry, other: Entry) -> bool:
    return (one.kind, one.digest, one.target) == (other.kind, other.digest, other.target)


def tar_size(pieces: list[Piece]) -> int:
    """Bytes of the files of a layer: what progress is measured by."""
    return sum(piece.entry.size for piece in pieces)


def tar_chunks(layout: Layout, pieces: list[Piece]) -> Iterator[bytes]:
    """The archive, in chunks of about CHUNK bytes.

    Raise MachineError if a file is not what its manifest says: its object has then been put aside. What was yielded
    before is worthless then.
    """
    trees: dict[Digest, int] = {}
    gathered: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            gathered.append(tar_header(piece.entry))
            size += len(gathered[-1])
            if piece.entry.size >= CHUNK:
                yield b"".join(gathered)
                yield from _large(layout, piece, _tree(layout, trees, piece.object))
                gathered, size = [], 0
            elif piece.entry.size:
                gathered.append(_small(layout, piece, _tree(layout, trees, piece.object)))
                size += piece.entry.size
            gathered.append(bytes(-piece.entry.size % tarfile.BLOCKSIZE))
            if size >= CHUNK:
                yield b"".join(gathered)
                gathered, size = [], 0
        yield b"".join([*gathered, _END])
    finally:
        for tree in trees.values():
            os.close(tree)


def _tree(layout: Layout, trees: dict[Digest, int], digest: Digest) -> int:
    """A descriptor of the object's tree."""
    if digest not in trees:
        path = object_tree(layout, digest)
        try:
            trees[digest] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _DAMAGE:
                _damaged(layout, digest, ".", error.strerror or "it cannot be read")
            raise machine_error(error, "read", path) from error
    return trees[digest]


def _small(layout: Layout, piece: Piece, tree: int) -> bytes:
    entry = piece.entry
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree)
        try:
            data = os.read(descriptor, entry.size + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        _refuse(layout, piece, error)
    if len(data) != entry.size or blake3_bytes(data).hex != entry.digest:
        _differs(layout, piece)
    return data


def _large(layout: Layout, piece: Piece, tree: int) -> Iterator[bytes]:
    entry = piece.entry
    hasher = Blake3()
    left = entry.size
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree)
    except OSError as error:
        _refuse(layout, piece, error)
    try:
        while True:
            try:
                data = os.read(descriptor, CHUNK)
            except OSError as error:
                _refuse(layout, piece, error)
            left -= len(data)
            if left < 0 or not data:
                break
            hasher.update(data)
            yield data
    finally:
        os.close(descriptor)
    if left or hasher.digest().hex != entry.digest:
        _differs(layout, piece)


def _refuse(layout: Layout, piece: Piece, error: OSError) -> NoReturn:
    path = object_tree(layout, piece.object) / piece.entry.path
    if error.errno in _DAMAGE:
        _damaged(layout, piece.object, piece.entry.path, error.strerror or "it cannot be read")
    raise machine_error(error, "read", path) from error


def _differs(layout: Layout, piece: Piece) -> NoReturn:
    _damaged(layout, piece.object, piece.entry.path, "its content is not what the manifest says")


def _damaged(layout: Layout, digest: Digest, path: str, why: str) -> NoReturn:
    quarantine_object(layout, digest, f"{path}: {why}")
    raise MachineError(
        f"object {digest} is damaged",
        where=str(object_tree(layout, digest) / path),
        why=why,
        hint="it was put aside: run the same command again, and it is made again",
    )
