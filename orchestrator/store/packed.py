"""An object as one archive, to be carried to another store: `manifest.json`, then its tree, as a tar within zstd.

The manifest decides every byte of the tar. So the reader parses no header: it makes each one from the manifest, whose
hash is the object's name, and refuses whatever differs. There is no entry that could lead outside, be a device or a
link where the manifest has none, and an ordinary `tar --zstd` reads it all the same.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from orchestrator.digest import Blake3, Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store.layout import Layout
from orchestrator.store.objects import object_tree, publish_tree, quarantine_object, read_manifest
from orchestrator.tree import Entry, Manifest, machine_error

CHUNK = 1 << 20  # bytes
_BLOCK = 512  # bytes of a tar's blocks
_END = bytes(2 * _BLOCK)
_MANIFEST = "manifest.json"
_TREE = "tree"
_MAX_MANIFEST = 256 << 20  # bytes; the largest known has 100,000 entries and 18 MB
_KEEP_FREE = 64 << 20  # bytes of the disk that are left
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EIO}
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Reader(Protocol):
    """What gives bytes: fewer than asked for only at its end."""

    def read(self, size: int, /) -> bytes: ...


class Refused(Exception):
    """An archive is not what it should be: which entry of it, and why."""

    def __init__(self, entry: str, why: str) -> None:
        super().__init__(f"{entry}: {why}")
        self.entry = entry
        self.why = why


def packed(layout: Layout, digest: Digest, *, threads: int = 1) -> Iterator[bytes]:
    """The archive of an object that is in the store, in pieces; every file is hashed on the way.

    Raise MachineError if the object is not there or damaged; what was yielded before is worthless then.
    """
    from orchestrator.archive.zstd import compressed

    return compressed(_tar(layout, digest), threads)


def _tar(layout: Layout, digest: Digest) -> Iterator[bytes]:
    manifest = read_manifest(layout, digest)
    data = manifest.to_bytes()
    gathered = [_header(_manifest_entry(len(data))), data, bytes(-len(data) % _BLOCK)]
    size = len(data)
    for entry in manifest.entries:
        gathered.append(_header(_below_tree(entry)))
        size += _BLOCK
        if entry.kind == "file":
            for piece in _content(layout, digest, entry):
                gathered.append(piece)
                size += len(piece)
                if size >= CHUNK:
                    yield b"".join(gathered)
                    gathered, size = [], 0
            gathered.append(bytes(-entry.size % _BLOCK))
    yield b"".join([*gathered, _END])


def _header(entry: Entry) -> bytes:
    from orchestrator.tree.tar import tar_header

    return tar_header(entry)


def _manifest_entry(size: int) -> Entry:
    return Entry(_MANIFEST, "file", 0o444, size=size)


def _below_tree(entry: Entry) -> Entry:
    return entry._replace(path=f"{_TREE}/{entry.path}")


def _content(layout: Layout, digest: Digest, entry: Entry) -> Iterator[bytes]:
    path = object_tree(layout, digest) / entry.path
    hasher, left = Blake3(), entry.size
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while left >= 0 and (piece := os.read(descriptor, CHUNK)):
                hasher.update(piece)
                left -= len(piece)
                yield piece
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise machine_error(error, "read", path) from error
        left = -1
    if left or hasher.digest().hex != entry.digest:
        why = f"{entry.path}: its content is not what the manifest says"
        quarantine_object(layout, digest, why)
        raise MachineError(
            f"object {digest} is damaged",
            where=str(path),
            why=why,
            hint="it was put aside: build it again, then run the same command again",
        )


def unpack_object(
    layout: Layout, source: Reader, digest: Digest, room: Path, *, progress: Callable[[int, int], None] | None = None
) -> Manifest:
    """Publish the object whose archive `source` gives, every byte of it checked; return its manifest.

    `room` is a staging directory of the caller's. `progress` is told bytes of files so far and altogether. Raise
    Refused for an archive that is not this object's, MachineError for the disk; nothing is visible then.
    """
    from orchestrator.archive.zstd import Broken, StrictReader

    tar = StrictReader(source)
    try:
        manifest = _read_manifest(tar, digest)
        _refuse_full_disk(room, manifest)
        staged = room / f"object-{digest.hex[:12]}"
        try:
            _write_tree(tar, manifest, staged, progress)
        except OSError as error:
            raise machine_error(error, "unpack into", staged) from error
        if tar.read(len(_END)) != _END or tar.read(1):
            raise Refused("its end", "something else stands there")
    except Broken as error:
        raise Refused("the archive", str(error)) from error
    publish_tree(layout, staged, manifest)
    return manifest


def _read_manifest(tar: Reader, digest: Digest) -> Manifest:
    head = tar.read(_BLOCK)
    try:
        size = int(head[124:135], 8)
    except ValueError:
        size = -1
    if not 0 <= size <= _MAX_MANIFEST or head != _header(_manifest_entry(size)):
        raise Refused(_MANIFEST, "it does not begin with a manifest")
    data = tar.read(size)
    if len(data) != size:
        raise Refused(_MANIFEST, "it ends before its data does")
    if blake3_bytes(data) != digest:
        raise Refused(_MANIFEST, f"it is of another object: {blake3_bytes(data)}, not {digest}")
    _padding(tar, size, _MANIFEST)
    try:
        return Manifest.parse(data)
    except ValueError as error:
        raise Refused(_MANIFEST, str(error)) from error


def _refuse_full_disk(room: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(room).free
    if manifest.size + _KEEP_FREE > free:
        raise MachineError(
            "not enough disk space to unpack an object",
            where=str(room),
            why=f"it has {manifest.size} bytes, and {free} are free",
            hint="free disk space, then run the command again: what was finished is kept",
        )


def _padding(tar: Reader, size: int, entry: str) -> None:
    wanted = bytes(-size % _BLOCK)
    if wanted and tar.read(len(wanted)) != wanted:
        raise Refused(entry, "something follows its content, or the data ends there")


def _write_tree(tar: Reader, manifest: Manifest, tree: Path, progress: Callable[[int, int], None] | None) -> None:
    tree.mkdir(mode=0o755)
    top = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    done = 0
    try:
        for entry in manifest.entries:  # parents first; every parent is a directory that was made here
            wanted = _header(_below_tree(entry))
            found = tar.read(len(wanted))
            if found != wanted:
                cut = len(found) < len(wanted)
                raise Refused(entry.path, "the data ends there" if cut else "its header is not what the manifest says")
            if entry.kind == "dir":
                os.mkdir(entry.path, 0o755, dir_fd=top)
            elif entry.kind == "link":
                os.symlink(entry.target, entry.path, dir_fd=top)
            else:
                _write_file(tar, entry, top)
                done += entry.size
                if progress is not None:
                    progress(done, manifest.size)
    finally:
        os.close(top)


def _write_file(tar: Reader, entry: Entry, top: int) -> None:
    hasher, left = Blake3(), entry.size
    descriptor = os.open(entry.path, _FILE, 0o600, dir_fd=top)
    try:
        while left:
            piece = tar.read(min(left, CHUNK))
            if not piece:
                raise Refused(entry.path, "the data ends there")
            hasher.update(piece)
            left -= len(piece)
            while piece:
                piece = piece[os.write(descriptor, piece) :]
    finally:
        os.close(descriptor)
    if hasher.digest().hex != entry.digest:
        raise Refused(entry.path, "its content is not what the manifest says")
    _padding(tar, entry.size, entry.path)
