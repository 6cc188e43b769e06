"""The manifest of a tree: what is in it, as one value with one byte form, whose BLAKE3 is the tree's Digest. Pure.

The tree's own root is not an entry: a root is always a directory, 0755, 0:0. Modification times are not recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from orchestrator.digest import Digest, blake3_bytes, canonical_json
from orchestrator.frozen import NamedTuple, frozen

Kind = Literal["file", "dir", "link"]

_SCHEMA = 1
_LINK_MODE = 0o777
_HEX = re.compile(r"[0-9a-f]{64}")
_XATTR_HEX = re.compile(r"(?:[0-9a-f]{2})*")


class Entry(NamedTuple):  # there may be a hundred thousand: these are made in a third of the time
    """One file, directory or symbolic link."""

    path: str  # relative, '/'-separated
    kind: Kind
    mode: int  # permission bits with setuid, setgid and sticky; 0o777 for a link
    size: int = 0  # bytes; of a file
    digest: str = ""  # BLAKE3 hex of a file's content
    target: str = ""  # of a link, as it stands
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, str], ...] = ()  # name, hex of the value; sorted


@frozen(kw_only=False, cached=True)
class Manifest:
    """Entries sorted by path bytes. Every parent of an entry is an entry; whatever breaks that raises ValueError."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        # The order of UTF-8 bytes is the order of code points, so that strings may be compared as they are.
        entries = tuple(sorted(self.entries, key=lambda entry: entry.path))
        object.__setattr__(self, "entries", entries)
        directories = {entry.path for entry in entries if entry.kind == "dir"} | {""}
        before = ""
        for entry in entries:
            _check(entry)
            if entry.path == before:
                raise ValueError(f"manifest: {entry.path!r} is there twice")
            if entry.path.rpartition("/")[0] not in directories:
                raise ValueError(f"manifest: the directory of {entry.path!r} is missing")
            before = entry.path

    def to_bytes(self) -> bytes:
        """The one canonical form, as UTF-8 JSON; fields at their defaults are left out."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return canonical_json({"schema": _SCHEMA, "entries": [_document(entry) for entry in self.entries]})

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest that `data` is the canonical form of; raise ValueError for anything else."""
        manifest = cls.read(data)
        if manifest.to_bytes() != data:
            raise ValueError("manifest: not in canonical form")
        return manifest

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """As `parse`, for bytes whose hash has shown that they are what this program once wrote: their form is not
        looked at again, which takes longer than reading them."""
        try:
            document = json.loads(data)
            if document["schema"] != _SCHEMA:
                raise ValueError(f"manifest: schema {document['schema']!r}, known is {_SCHEMA}")
            return cls(tuple(_entry(item) for item in document["entries"]))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"manifest: malformed ({error!r})") from error

    @cached_property
    def digest(self) -> Digest:
        """BLAKE3 of the canonical form: the object's Digest."""
        return blake3_bytes(self.to_bytes())

    @cached_property
    def size(self) -> int:
        """Bytes of all files together; a file with two names counts twice."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def by_path(self) -> Mapping[str, Entry]:
        """Entries by path."""
        return {entry.path: entry for entry in self.entries}


def _document(entry: Entry) -> dict[str, Any]:
    document: dict[str, Any] = {"path": entry.path, "kind": entry.kind, "mode": entry.mode}
    if entry.kind == "file":
        document["size"] = entry.size
        document["digest"] = entry.digest
    elif entry.kind == "link":
        document["target"] = entry.target
    if entry.uid:
        document["uid"] = entry.uid
    if entry.gid:
        document["gid"] = entry.gid
    if entry.xattrs:
        document["xattrs"] = [list(pair) for pair in entry.xattrs]
    return document


def _entry(document: dict[str, Any]) -> Entry:
    if "xattrs" in document:
        document["xattrs"] = tuple((name, value) for name, value in document["xattrs"])
    return Entry(**document)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _check(entry: Entry) -> None:
    """Raise ValueError unless `entry` is one that `scan` could have made (or one with an owner and xattrs)."""
    path = entry.path
    parts = path.split("/")
    if "\0" in path or "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"manifest: {path!r} is no path within a tree")
    if not (_is_count(entry.mode) and entry.mode <= 0o7777 and _is_count(entry.uid) and _is_count(entry.gid)):
        raise ValueError(f"manifest: {path!r}: mode or owner is out of range")
    kind: str = entry.kind
    if kind == "file":
        good = _is_count(entry.size) and _HEX.fullmatch(entry.digest) is not None and not entry.target
    elif kind == "dir":
        good = not (entry.size or entry.digest or entry.target)
    else:
        good = kind == "link" and bool(entry.target) and "\0" not in entry.target
        good = good and entry.mode == _LINK_MODE and not (entry.size or entry.digest)
    if not good:
        raise ValueError(f"manifest: {path!r}: its fields do not fit a {entry.kind}")
    if entry.xattrs and not _are_xattrs(entry.xattrs):
        raise ValueError(f"manifest: {path!r}: malformed xattrs")


def _are_xattrs(xattrs: tuple[tuple[str, str], ...]) -> bool:
    names = [name for name, _ in xattrs]
    return all(_XATTR_HEX.fullmatch(value) for _, value in xattrs) and names == sorted(set(names)) and "" not in names
