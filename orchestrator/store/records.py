"""Small JSON documents that are there as a whole or not at all. One that is damaged is put aside and counts as missing.

A record is two lines: the document, and the BLAKE3 of that line, so that a flipped bit is seen whatever it hits.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError, OrchError
from orchestrator.store.aside import put_aside
from orchestrator.store.durable import sync_all, write_file
from orchestrator.store.layout import Layout
from orchestrator.store.stage import staging
from orchestrator.tree import disk, machine_error

T = TypeVar("T")

_SCHEMA = 1
_DAMAGE = {errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENOTDIR}


def record_bytes(document: Mapping[str, Any]) -> bytes:
    """What a record with `document` looks like on the disk."""
    line = json.dumps({"schema": _SCHEMA, **document}, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return line + _seal(line)


def write_record(layout: Layout, path: Path, document: Mapping[str, Any], *, durably: bool = True) -> None:
    """Put `document` at `path`, replacing what is there; it is on the disk when this returns, but for one that need not
    be there `durably`: of that a machine that goes down may leave less than all, which is seen. Raise MachineError."""
    replace_file(layout, path, record_bytes(document), durably=durably)


def replace_file(layout: Layout, path: Path, data: bytes, *, durably: bool = True) -> None:
    """Put `data` at `path` at once, as `write_record` does. Raise MachineError."""
    with staging(layout, "record") as room:
        replace_files({path: data}, room, sync=durably)
        if durably:
            settle(path.parent)


def replace_files(files: Mapping[Path, bytes], room: Path, *, sync: bool = True) -> None:
    """Put each of `files` at its path at once, in this order. `room` is a staging directory of the caller's.

    None is visible before all that was written so far, the names of objects too, is on the disk; the new names are
    there for good after `settle`. Without `sync` nothing is waited for. Raise MachineError.
    """
    first = next(iter(files))
    with disk("write", first):
        for number, data in enumerate(files.values()):
            write_file(room / f"record-{number}", data, sync=False)
        if sync:
            sync_all(room)
        for number, path in enumerate(files):
            try:
                (room / f"record-{number}").replace(path)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                (room / f"record-{number}").replace(path)


def settle(place: Path) -> None:
    """Return when all names given so far on the file system of `place` are on the disk. Raise MachineError."""
    with disk("sync", place):
        sync_all(place)


def read_record(layout: Layout, path: Path | str, parse: Callable[[dict[str, Any]], T]) -> T | None:
    """What `parse` makes of the document at `path`; None if there is none, it has another schema or it is damaged
    (`parse` raising KeyError, TypeError, ValueError or OrchError means damage). Raise MachineError if it may not be
    read."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a plan may read thousands
            data = file.readall()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise machine_error(error, "read", Path(path)) from error
        _damaged(layout, path, str(error))
        return None
    line, _, rest = data.partition(b"\n")
    if not line or b"\n" + rest != _seal(line):
        _damaged(layout, path, "its checksum does not fit its content")
        return None
    try:
        document = json.loads(line)
        if document.pop("schema") != _SCHEMA:
            return None  # another orch's: not ours to read, nor to move
        return parse(document)
    except (KeyError, TypeError, ValueError, AttributeError, OrchError) as error:
        _damaged(layout, path, f"malformed: {error!r}")
        return None


def _seal(line: bytes) -> bytes:
    return b'\n{"blake3":"%s"}\n' % blake3_bytes(line).hex.encode()


def _damaged(layout: Layout, path: Path | str, why: str) -> None:
    with suppress(MachineError):  # it cannot be moved: a miss all the same
        put_aside(layout, Path(path), why)


def text(document: Mapping[str, Any], name: str) -> str:
    """The string `name` of a document; raise KeyError or TypeError."""
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a string")
    return value


def number(document: Mapping[str, Any], name: str) -> float:
    """The number `name` of a document; raise KeyError or TypeError."""
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is not a number")
    return value


def mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object `name` of a document; raise KeyError or TypeError."""
    value = document[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value
