"""A developer's own directory in place of a source: its digest now, and the archive of it that a build unpacks.

All of the directory is taken but what is called `.git`, whatever git ignores: what a build sees must not depend on a
list of patterns. Content, names, links and executable bits count; times, owners and other mode bits do not.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.archive import pack
from orchestrator.errors import OrchError, SourceError, UsageError
from orchestrator.graph.derivation import Source
from orchestrator.graph.dirty import SCHEME
from orchestrator.store import Layout, add_source, note_tree, staging, tree_source
from orchestrator.tree import Entry, Manifest, disk, scan

LEFT_OUT = frozenset({".git"})


def developer_tree(directory: Path) -> str:
    """The BLAKE3 hex of what `directory` is as a source. Raise UsageError if it is none or may not be one."""
    if not directory.is_dir():
        raise UsageError(f"no directory {directory}", where="--source", hint="--source NAME=DIR names a source's tree")
    try:
        found = scan(directory, leave_out=LEFT_OUT)
    except OrchError as error:
        error.where, error.hint = f"--source: {directory}", ""
        raise
    if not found.entries:
        raise UsageError(f"{directory} is empty", where="--source", hint="--source NAME=DIR names a source's tree")
    return Manifest(tuple(map(_as_source, found.entries))).digest.hex


def _as_source(entry: Entry) -> Entry:
    """An entry as it is once it was packed and unpacked."""
    modes = {"dir": 0o755, "link": 0o777, "file": 0o755 if entry.mode & 0o111 else 0o644}
    return entry._replace(mode=modes[entry.kind])


def is_developer_tree(source: Source) -> bool:
    """Whether a source is somebody's directory."""
    return source.name.startswith(SCHEME)


def fetch_developer_tree(layout: Layout, source: Source) -> Path:
    """The archive of a developer's directory in the store. Raise SourceError if it is not what was hashed any more."""
    assert source.tree is not None
    if (stored := tree_source(layout, source.tree)) is not None:
        return stored
    directory = Path(source.name.removeprefix(SCHEME))
    with staging(layout, "developer") as room:
        archive = room / source.file_name
        with disk("read", directory):
            pack(directory, archive, top="source", leave_out=LEFT_OUT)
        found = unpacked_tree(archive, room / "tree", source.file_name)
        if found != source.tree:
            raise SourceError(
                f"{directory} changed while it was being read",
                where=source.where,
                why=f"first it was blake3:{source.tree}, then blake3:{found}",
                hint="run it again",
            )
        return keep_tree(layout, archive, found, (source.name,))


def unpacked_tree(archive: Path, room: Path, file_name: str) -> str:
    """The BLAKE3 hex of the tree that an archive unpacks to, as a build unpacks it, in the new directory `room`."""
    from orchestrator.archive import unpack_tree

    unpack_tree(archive, room, file_name=file_name)
    return scan(room).digest.hex


def keep_tree(layout: Layout, archive: Path, tree: str, names: tuple[str, ...]) -> Path:
    """Store an archive that was seen to unpack to `tree`, to be found by that."""
    from orchestrator.digest import sha256_file

    with disk("read", archive):
        sha256 = sha256_file(archive).hex
    stored = add_source(layout, archive, sha256=sha256, names=names)
    note_tree(layout, tree, sha256)
    return stored
