"""The entries of a cache that a team shares: a signed record says which output a key leads to, and in which archive.

A cache is a directory, which any server of static files may serve:

    orch-cache.json              what it is
    keys/<key>.json              an entry, under the derivation key and under the build key
    checks/<key>.json            a check that passed
    archives/<object>.tar.zst    an object (packed.py)

An entry is two lines of JSON: what is signed, and the signature. Pure: reads and writes no file.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from orchestrator.digest import Digest
from orchestrator.errors import OrchError
from orchestrator.frozen import frozen
from orchestrator.store.records import mapping, number, text
from orchestrator.store.signature import PublicKey, SecretKey

T = TypeVar("T")

MARKER = "orch-cache.json"
MARK = b'{"kind":"orch-cache","schema":1}\n'
LARGEST = 1 << 20  # bytes of an entry; most have 1,500

_SCHEMA = 1
_KIND = "orch-cache-entry"
_CHECK = "orch-cache-check"
_SIGNED = b"orch cache entry\n"  # before what is signed, so that the key's signature of something else is never this
_HEX = re.compile(r"[0-9a-f]{64}")


class BadEntry(Exception):
    """Why an entry is not believed."""


@frozen
class CacheEntry:
    """What one build came to, as its signer says."""

    derivation: Digest  # its derivation key
    build: Digest  # its build key
    output: Digest
    inputs: Mapping[str, str]  # what it was built with: recipe -> digest of its output
    sha256: str  # hex, of the archive
    size: int  # bytes of the archive
    unpacked: int  # bytes of the object's files
    name: str
    version: str
    origin: str
    seconds: float  # the build took
    finished: float  # seconds since 1970, UTC
    sandbox: int  # the schema of what the build saw
    signer: str = ""  # the name of the key that signed it

    @property
    def archive(self) -> str:
        """Where its archive is, below the cache's root."""
        return archive_name(self.output)


@frozen
class CheckEntry:
    """A check that passed, as its signer says."""

    key: Digest  # the check key: of all that was checked, and how
    name: str
    version: str
    seconds: float
    finished: float  # seconds since 1970, UTC
    signer: str = ""


def check_name(key: Digest) -> str:
    """Where the entry of a check is, below the cache's root."""
    return f"checks/{key.hex}.json"


def entry_name(key: Digest) -> str:
    """Where the entry of a key is, below the cache's root."""
    return f"keys/{key.hex}.json"


def archive_name(output: Digest) -> str:
    """Where the archive of an object is, below the cache's root."""
    return f"archives/{output.hex}.tar.zst"


def entry_bytes(entry: CacheEntry, key: SecretKey) -> bytes:
    """The entry, signed."""
    document = {
        "schema": _SCHEMA,
        "kind": _KIND,
        "derivation": str(entry.derivation),
        "build": str(entry.build),
        "output": str(entry.output),
        "inputs": dict(entry.inputs),
        "archive": {"file": entry.archive, "sha256": entry.sha256, "size": entry.size},
        "unpacked": entry.unpacked,
        "name": entry.name,
        "version": entry.version,
        "origin": entry.origin,
        "seconds": entry.seconds,
        "finished": entry.finished,
        "sandbox": entry.sandbox,
    }
    return _sealed(document, key)


def check_bytes(entry: CheckEntry, key: SecretKey) -> bytes:
    """The entry of a check, signed."""
    document = {
        "schema": _SCHEMA,
        "kind": _CHECK,
        "check": str(entry.key),
        "name": entry.name,
        "version": entry.version,
        "seconds": entry.seconds,
        "finished": entry.finished,
    }
    return _sealed(document, key)


def _sealed(document: Mapping[str, Any], key: SecretKey) -> bytes:
    line = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    signature = base64.b64encode(key.sign(_SIGNED + line)).decode()
    seal = json.dumps({"key": key.name, "ed25519": signature}, separators=(",", ":")).encode()
    return line + b"\n" + seal + b"\n"


def read_entry(data: bytes, key: Digest, trusted: Iterable[PublicKey]) -> CacheEntry:
    """The entry of `key` that `data` is, signed by one of `trusted`. Raise BadEntry; nothing of what is not signed is
    looked at."""
    entry = _verified(data, trusted, _parse)
    if key not in (entry.derivation, entry.build):
        raise BadEntry(f"its entry is of another key, {entry.derivation}")
    return entry


def read_check_entry(data: bytes, key: Digest, trusted: Iterable[PublicKey]) -> CheckEntry:
    """As `read_entry`, for a check key."""
    entry = _verified(data, trusted, _parse_check)
    if key != entry.key:
        raise BadEntry(f"its entry is of another check, {entry.key}")
    return entry


def _verified(data: bytes, trusted: Iterable[PublicKey], parse: Callable[[dict[str, Any], str], T]) -> T:
    if len(data) > LARGEST:
        raise BadEntry(f"its entry is larger than {LARGEST} bytes")
    line, _, rest = data.partition(b"\n")
    signer, signature = _signature(rest)
    keys = [one for one in trusted if one.name == signer]
    if not keys:
        raise BadEntry(f"signature by an unknown key {signer!r}")
    if not any(one.verify(_SIGNED + line, signature) for one in keys):
        raise BadEntry(f"its signature is not by the key {signer!r} that is trusted, or the entry was changed")
    try:
        return parse(json.loads(line), signer)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OrchError) as error:
        raise BadEntry(f"its entry is malformed ({error!r})") from error


def _parse_check(document: dict[str, Any], signer: str) -> CheckEntry:
    if document["schema"] != _SCHEMA or document["kind"] != _CHECK:
        raise ValueError(f"schema {document['schema']!r} of {document['kind']!r}")
    return CheckEntry(
        key=Digest.parse(text(document, "check")),
        name=text(document, "name"),
        version=text(document, "version"),
        seconds=number(document, "seconds"),
        finished=number(document, "finished"),
        signer=signer,
    )


def _signature(line: bytes) -> tuple[str, bytes]:
    try:
        document = json.loads(line)
        if line.count(b"\n") != 1 or set(document) != {"key", "ed25519"}:
            raise ValueError
        return text(document, "key"), base64.b64decode(text(document, "ed25519"), validate=True)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadEntry("it has no signature") from error


def _parse(document: dict[str, Any], signer: str) -> CacheEntry:
    if document["schema"] != _SCHEMA or document["kind"] != _KIND:
        raise ValueError(f"schema {document['schema']!r} of {document['kind']!r}")
    archive = mapping(document, "archive")
    entry = CacheEntry(
        derivation=Digest.parse(text(document, "derivation")),
        build=Digest.parse(text(document, "build")),
        output=Digest.parse(text(document, "output")),
        inputs={name: str(Digest.parse(text(mapping(document, "inputs"), name))) for name in document["inputs"]},
        sha256=text(archive, "sha256"),
        size=int(number(archive, "size")),
        unpacked=int(number(document, "unpacked")),
        name=text(document, "name"),
        version=text(document, "version"),
        origin=text(document, "origin"),
        seconds=number(document, "seconds"),
        finished=number(document, "finished"),
        sandbox=int(number(document, "sandbox")),
        signer=signer,
    )
    digests = (entry.derivation, entry.build, entry.output)
    if any(one.algorithm != "blake3" for one in digests) or _HEX.fullmatch(entry.sha256) is None:
        raise ValueError("a digest of another kind")
    if entry.size < 0 or entry.unpacked < 0 or archive["file"] != entry.archive:
        raise ValueError("its archive has another name or no size")
    return entry
