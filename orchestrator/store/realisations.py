"""What a key led to: the output's digest, and enough beside it to say why another key did not lead there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from orchestrator.digest import Digest
from orchestrator.frozen import field, frozen
from orchestrator.store.layout import Layout, safe_name
from orchestrator.store.recent import recent_keys, with_recent
from orchestrator.store.records import (
    mapping,
    number,
    read_record,
    record_bytes,
    replace_files,
    settle,
    text,
    write_record,
)
from orchestrator.store.stage import staging

Kind = Literal["derivation", "build", "check"]

_KINDS = ("derivation", "build", "check")
_HEX = re.compile(r"[0-9a-f]{64}")
RECENT = 8  # successes of one recipe that are remembered by name


@frozen
class Realisation:
    """The result of one key. A record is no proof that its output is still in the store: ask has_object."""

    key: Digest
    kind: Kind
    name: str  # the recipe's
    version: str
    document: Mapping[str, Any]  # what was hashed into the key; JSON values
    output: Digest | None  # of a check: what was checked
    seconds: float  # wall time of the build or check
    finished: float  # seconds since 1970, UTC
    log: str = ""  # path below the store's root
    sandbox: Mapping[str, Any] = field(default_factory=dict)  # what ran it; JSON values
    origin: str = ""  # of the version; "" in records of before
    runtime: Mapping[str, str] = field(default_factory=dict)  # its runtime closure then: recipe -> derivation key


def read_realisation(layout: Layout, key: Digest) -> Realisation | None:
    """The record of a derivation or build key, or None. A damaged one is put aside and counts as none. Raise
    MachineError only if the record may not be read."""
    return _read(layout, "realisations", key)


def write_realisation(layout: Layout, realisation: Realisation) -> None:
    """Record the result of a derivation or build key; on the disk when this returns. Raise MachineError."""
    with staging(layout, "record") as room:
        write_realisations(layout, [realisation], room)
    settle(layout.realisations)


def write_realisations(layout: Layout, realisations: Iterable[Realisation], room: Path) -> None:
    """Record results of derivation and build keys. `room` is a staging directory of the caller's.

    What they lead to is on the disk before they are visible; they are there for good after `settle`. Raise
    MachineError.
    """
    replace_files(realisation_files(layout, realisations), room)


def realisation_files(layout: Layout, realisations: Iterable[Realisation]) -> dict[Path, bytes]:
    """What `write_realisations` puts where."""
    files: dict[Path, bytes] = {}
    for one in realisations:
        files[layout.realisations / f"{one.key.hex}.json"] = record_bytes(_document(one))
        if one.output is not None and one.kind == "derivation":
            hint = Path(_latest(layout, one.name))
            files[hint] = with_recent(hint, one.key.hex, RECENT)
    return files


def read_check(layout: Layout, key: Digest) -> Realisation | None:
    """The record of a check key, or None; as read_realisation."""
    return _read(layout, "checks", key)


def write_check(layout: Layout, check: Realisation) -> None:
    """Record the result of a check; on the disk when this returns. Raise MachineError."""
    write_record(layout, layout.checks / f"{check.key.hex}.json", _document(check))


def recent_realisations(layout: Layout, name: str) -> Iterator[Realisation]:
    """The last successes of the recipe `name`, newest first, whatever their options; at most `RECENT`. A hint: some may
    be missing, and outputs may be gone. Raise MachineError only if a record may not be read."""
    for key in recent_keys(_latest(layout, name)):
        found = read_realisation(layout, Digest("blake3", key))
        if found is not None and found.name == name:
            yield found


def latest_realisation(layout: Layout, name: str) -> Realisation | None:
    """The newest of `recent_realisations`, or None."""
    return next(recent_realisations(layout, name), None)


def _latest(layout: Layout, name: str) -> str:  # no Path: a plan may ask for thousands
    return f"{layout.root}/realisations/latest/derivation-{safe_name(name)}"


def _read(layout: Layout, directory: str, key: Digest) -> Realisation | None:
    def parse(document: dict[str, Any]) -> Realisation:
        realisation = _parse(document)
        if realisation.key != key:
            raise ValueError(f"it is the record of {realisation.key}")
        return realisation

    return read_record(layout, f"{layout.root}/{directory}/{key.hex}.json", parse)


def _document(realisation: Realisation) -> dict[str, Any]:
    return {
        "key": str(realisation.key),
        "kind": realisation.kind,
        "name": realisation.name,
        "version": realisation.version,
        "document": realisation.document,
        "output": None if realisation.output is None else str(realisation.output),
        "seconds": realisation.seconds,
        "finished": realisation.finished,
        "log": realisation.log,
        "sandbox": realisation.sandbox,
        "origin": realisation.origin,
        "runtime": dict(realisation.runtime),
    }


def _parse(document: dict[str, Any]) -> Realisation:
    kind = text(document, "kind")
    if kind not in _KINDS:
        raise ValueError(f"kind {kind!r}")
    return Realisation(
        key=Digest.parse(text(document, "key")),
        kind=cast(Kind, kind),
        name=text(document, "name"),
        version=text(document, "version"),
        document=mapping(document, "document"),
        output=None if document["output"] is None else Digest.parse(text(document, "output")),
        seconds=number(document, "seconds"),
        finished=number(document, "finished"),
        log=text(document, "log"),
        sandbox=mapping(document, "sandbox"),
        origin=text(document, "origin") if "origin" in document else "",
        runtime=mapping(document, "runtime") if "runtime" in document else {},
    )
