"""Unpacks a source by the format that its file name says. Nothing lands outside the destination."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.archive.deb import unpack_deb
from orchestrator.archive.limits import Budget, reported
from orchestrator.archive.streams import Forward, pieces
from orchestrator.archive.strip import stripped
from orchestrator.archive.tar import entries, put_entry
from orchestrator.archive.writer import Rules, Writer
from orchestrator.archive.zip import checked_zip, unpack_zip
from orchestrator.errors import SourceError

_TARS = {
    ".tar": "",
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.bz2": "bz2",
    ".tar.xz": "xz",
}
_ZIPS = (".zip", ".whl")
_DEB = ".deb"
_MAGIC = ((b"\x1f\x8b", ".tar.gz"), (b"BZh", ".tar.bz2"), (b"\xfd7zXZ\0", ".tar.xz"), (b"PK\3\4", ".zip"))


def archive_suffix(archive: Path) -> str | None:
    """What the content of a file says it is: `.zip`, or a tar with its compression; None for anything else."""
    with archive.open("rb") as file:
        head = file.read(512)
    for magic, suffix in _MAGIC:
        if head.startswith(magic):
            return suffix
    return ".tar" if head[257:262] == b"ustar" else None


def unpack(archive: Path, destination: Path, *, file_name: str, strip: bool) -> None:
    """Unpack `archive`, whose format is said by `file_name`, into `destination`, which is made if missing.

    `strip` takes off the single top directory of a tar or zip; a .deb has none. Files become 0644 or 0755 (those
    of a .deb keep their modes), all gets UNPACKED_MTIME. Raise SourceError at the first entry that may not be
    unpacked, MachineError if the disk is full; the destination is then half filled.
    """
    if file_name.endswith(_DEB):
        unpack_deb(archive, destination, allow_setuid=frozenset(), file_name=file_name)
        return
    suffix = next((suffix for suffix in (*_TARS, *_ZIPS) if file_name.endswith(suffix)), None)
    if suffix is None:
        raise SourceError(
            f"{file_name} is no archive known here",
            where=str(archive),
            why=f"its name ends in none of {', '.join((*_TARS, *_ZIPS, _DEB))}",
            hint='set `unpack = ""` to keep the file as it is, or repack it',
        )
    with reported(archive, file_name):
        destination.mkdir(parents=True, exist_ok=True)
        budget = Budget(packed=archive.stat().st_size, free=shutil.disk_usage(destination).free)
        with Writer(destination, Rules()) as writer:
            if suffix in _ZIPS:
                unpack_zip(archive, writer, budget, strip=strip)
            else:
                _unpack_tar(archive, writer, budget, compression=_TARS[suffix], strip=strip)


def unpack_tree(archive: Path, destination: Path, *, file_name: str) -> None:
    """Unpack a source that is pinned by what it unpacks to: its content says which format it has, whatever `file_name`
    ends in, so that another archive of the same tree will do. Of one that is called a zip no directory is stripped.
    """
    suffix = archive_suffix(archive) or ""
    name = file_name if file_name.endswith(suffix) else f"{file_name.removesuffix('.tar')}{suffix}"
    unpack(archive, destination, file_name=name, strip=not file_name.endswith(_ZIPS))


def _unpack_tar(archive: Path, writer: Writer, budget: Budget, *, compression: str, strip: bool) -> None:
    with archive.open("rb") as file:
        stream = Forward(pieces(file, compression), budget)
        found = entries(stream, budget)
        for entry in stripped(found) if strip else found:
            put_entry(writer, entry, stream)


@contextmanager
def check_zip(archive: Path, destination: Path, *, file_name: str) -> Iterator[zipfile.ZipFile]:
    """`archive`, open for a reader of its own, after the rules of `unpack` for entries and sizes; no link is let pass.

    `destination` is where it will be written, and exists. Raise SourceError and MachineError as `unpack` does; a
    Refusal, a broken entry or an OSError in the block becomes one of them.
    """
    with reported(archive, file_name):
        budget = Budget(packed=archive.stat().st_size, free=shutil.disk_usage(destination).free)
        with checked_zip(archive, budget) as zipped:
            yield zipped
