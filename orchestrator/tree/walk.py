"""Walk a tree and hash its files without ever following a symbolic link. Decides nothing about what it finds."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestrator.digest import blake3_bytes, blake3_file
from orchestrator.frozen import NamedTuple

Failed = Callable[[str, OSError], None]  # the path within the tree, and what went wrong

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAP_FROM = 1 << 20  # bytes; below this a file is read at once
_CHUNK_FILES = 128
_CHUNK_BYTES = 16 << 20
_THREADS = 8
_ALONE_FILES = 512
_ALONE_BYTES = 32 << 20


class Found(NamedTuple):
    """One thing in a tree; `stat` is its own, not that of what it points to."""

    path: str  # relative, '/'-separated; surrogates stand for bytes that are no UTF-8
    stat: os.stat_result
    target: str = ""  # of a symbolic link


@contextmanager
def opened(root: Path) -> Iterator[int]:
    """A descriptor of the directory `root`, which is no link itself; raise OSError."""
    descriptor = os.open(root, _FLAGS | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def walk(root: int, failed: Failed, leave_out: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Everything below the directory that `root` is open on, but what has a name in `leave_out`: parents first,
    otherwise in no order."""
    pending = [Found("", os.fstat(root))]
    while pending:
        here = pending.pop()
        try:
            found = [child for child in _list(root, here) if child.path.rpartition("/")[2] not in leave_out]
        except OSError as error:
            failed(here.path, error)
            continue
        pending.extend(child for child in found if stat.S_ISDIR(child.stat.st_mode))
        yield from found


def _list(root: int, here: Found) -> list[Found]:
    descriptor = _open(root, here, os.O_DIRECTORY)
    found = []
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                target = os.readlink(entry.name, dir_fd=descriptor) if stat.S_ISLNK(facts.st_mode) else ""
                found.append(Found(f"{here.path}/{entry.name}" if here.path else entry.name, facts, target))
    finally:
        os.close(descriptor)
    return found


def _open(root: int, found: Found, flags: int = 0) -> int:
    """Open what `walk` found, and not what took its place since, through whatever link."""
    descriptor = os.open(found.path or ".", _FLAGS | flags, dir_fd=root)
    facts = os.fstat(descriptor)
    if (facts.st_dev, facts.st_ino) != (found.stat.st_dev, found.stat.st_ino):
        os.close(descriptor)
        raise OSError(errno.ESTALE, "it was replaced while it was read", found.path)
    return descriptor


def _hash(root: int, found: Found) -> str:
    size = found.stat.st_size
    descriptor = _open(root, found)
    try:
        if size < _MAP_FROM:
            data = os.read(descriptor, size + 1)
            changed = len(data) != size
            digest = blake3_bytes(data)
        else:
            digest = blake3_file(Path(f"/proc/self/fd/{descriptor}"), size)
            facts = os.fstat(descriptor)
            changed = (facts.st_size, facts.st_mtime_ns) != (size, found.stat.st_mtime_ns)
        if changed:
            raise OSError(errno.ESTALE, "it changed while it was read", found.path)
        return digest.hex
    finally:
        os.close(descriptor)


def _hash_chunk(root: int, files: Sequence[Found]) -> list[tuple[Found, str | OSError]]:
    hashed: list[tuple[Found, str | OSError]] = []
    for found in files:
        try:
            hashed.append((found, _hash(root, found)))
        except OSError as error:
            hashed.append((found, error))
    return hashed


def _chunks(files: Sequence[Found]) -> list[list[Found]]:
    chunks: list[list[Found]] = [[]]
    size = 0
    for found in files:
        if len(chunks[-1]) == _CHUNK_FILES or size >= _CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(found)
        size += found.stat.st_size
    return chunks


def hash_files(root: int, files: Sequence[Found], failed: Failed) -> dict[tuple[int, int], str]:
    """BLAKE3 hex by (device, inode): a file with several names is read once. Files that failed are left out."""
    distinct = list({(found.stat.st_dev, found.stat.st_ino): found for found in files}.values())
    chunks = _chunks(distinct)
    if len(distinct) <= _ALONE_FILES and sum(found.stat.st_size for found in distinct) <= _ALONE_BYTES:
        done = [_hash_chunk(root, distinct)]  # sooner done than threads are made
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0)) + 1)) as pool:
            done = list(pool.map(lambda chunk: _hash_chunk(root, chunk), chunks))
    digests: dict[tuple[int, int], str] = {}
    for found, result in (pair for chunk in done for pair in chunk):
        if isinstance(result, OSError):
            failed(found.path, result)
        else:
            digests[found.stat.st_dev, found.stat.st_ino] = result
    return digests
