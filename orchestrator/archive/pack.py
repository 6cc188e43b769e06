"""Packs a directory as a tar whose bytes follow from names, content, links and executable bits alone.

Wherever and whenever it is made it is the same: sorted by name, modes 0644 and 0755, no owner, one time. `unpack` gives
the same directory back, so the archive and the tree that it unpacks to say the same.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.archive.writer import UNPACKED_MTIME
from orchestrator.errors import SourceError


def pack(directory: Path, target: Path, *, top: str, leave_out: frozenset[str] = frozenset()) -> None:
    """Write all of `directory` to the tar `target` inside one directory `top`, but what has a name in `leave_out`.

    Raise SourceError for what is neither file, directory nor link, OSError for what cannot be read or written.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        tar.addfile(_info(top, directory.stat()))
        for path in _below(directory, leave_out):
            found = path.lstat()
            info = _info(f"{top}/{path.relative_to(directory).as_posix()}", found)
            if stat.S_ISLNK(found.st_mode):
                info.linkname = os.readlink(path)  # noqa: PTH115  # the text as it stands
                tar.addfile(info)
            elif stat.S_ISDIR(found.st_mode):
                tar.addfile(info)
            else:
                _add_file(tar, info, path)


def _below(directory: Path, leave_out: frozenset[str]) -> Iterator[Path]:
    """Everything below a directory, parents first, each level by the bytes of its names."""
    for path in sorted(directory.iterdir(), key=lambda path: os.fsencode(path.name)):
        if path.name in leave_out:
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, leave_out)


def _info(name: str, found: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = UNPACKED_MTIME
    if stat.S_ISDIR(found.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(found.st_mode):
        info.type, info.mode = tarfile.SYMTYPE, 0o777
    elif stat.S_ISREG(found.st_mode):
        info.mode = 0o755 if found.st_mode & 0o111 else 0o644
    else:
        raise SourceError(
            f"{name} is neither a file, a directory nor a link",
            why="a source holds nothing else",
            hint="remove it, or keep it elsewhere",
        )
    return info


def _add_file(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, file)
