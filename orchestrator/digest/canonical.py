"""One byte string for one document, so that a key is a hash of what it says.

The form is JSON with sorted keys, no white space, UTF-8 and no escapes beyond those JSON requires; numbers are integers
(a float has more than one spelling, so it is refused).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from orchestrator.digest.digest import Digest, blake3_bytes

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_LEAVES = frozenset({str, int, bool, type(None)})  # a manifest has hundreds of thousands: no place is spelt for these
_CONTAINERS = frozenset({dict, list, tuple})


def _check(value: Any, at: str) -> None:
    if value is None or isinstance(value, str | bool | int):
        return
    if type(value) is dict or isinstance(value, Mapping):
        for name, child in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{at}: a name in a canonical document is a string, not {type(name).__name__}")
            kind = type(child)
            if kind not in _LEAVES and (child or kind not in _CONTAINERS):
                _check(child, f"{at}.{name}")
        return
    if type(value) in (list, tuple) or (
        isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | tuple)
    ):
        for index, child in enumerate(value):
            if type(child) not in _LEAVES:
                _check(child, f"{at}[{index}]")
        return
    raise TypeError(f"{at}: {type(value).__name__} has no canonical form")


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """The canonical bytes of `document`; raise TypeError for a float, bytes, a named tuple (a digest that is not spelt
    as text) or a non-string name."""
    _check(document, "$")
    return _ENCODER.encode(document).encode("utf-8")


def canonical_text(text: str) -> str:
    """A string as it stands in a canonical document."""
    return encode_basestring(text)


@cache
def canonical_field(name: str) -> str:
    """`"name":`, as it stands before a value in a canonical document."""
    return f"{encode_basestring(name)}:"


def key_of(document: Mapping[str, Any]) -> Digest:
    """BLAKE3 of the canonical bytes: the key of what `document` declares."""
    return blake3_bytes(canonical_json(document))
