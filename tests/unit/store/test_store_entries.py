"""Entries of a team's cache: believed only as they were signed, by a key that is trusted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import blake3_bytes
from orchestrator.errors import UsageError
from orchestrator.store.entries import BadEntry, CacheEntry, entry_bytes, read_entry
from orchestrator.store.signature import PublicKey, SecretKey

KEY = SecretKey.new("team-1")
OTHER = SecretKey.new("other")
ENTRY = CacheEntry(
    derivation=blake3_bytes(b"derivation"),
    build=blake3_bytes(b"build"),
    output=blake3_bytes(b"output"),
    inputs={"gcc": str(blake3_bytes(b"gcc"))},
    sha256="ab" * 32,
    size=123,
    unpacked=456,
    name="ucx",
    version="1.22.0",
    origin="source",
    seconds=12.5,
    finished=1700000000.25,
    sandbox=1,
    signer="team-1",
)
DATA = entry_bytes(ENTRY, KEY)


def test_it_is_found_under_both_of_its_keys() -> None:
    for key in (ENTRY.derivation, ENTRY.build):
        assert read_entry(DATA, key, [OTHER.public, KEY.public]) == ENTRY


def test_of_another_key_it_is_refused() -> None:
    with pytest.raises(BadEntry, match="of another key"):
        read_entry(DATA, blake3_bytes(b"else"), [KEY.public])


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(BadEntry, match="signature by an unknown key 'team-1'"):
        read_entry(DATA, ENTRY.build, [OTHER.public])


def test_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(BadEntry, match="not by the key 'team-1'"):
        read_entry(DATA, ENTRY.build, [SecretKey.new("team-1").public])


def test_unsigned_is_refused() -> None:
    line = DATA.partition(b"\n")[0]
    for tail in (b"", b"\n", b"\n{}\n", b'\n{"key":"team-1"}\n', b'\n{"key":"team-1","ed25519":"!"}\n', b"\n[]\n"):
        with pytest.raises(BadEntry, match="it has no signature"):
            read_entry(line + tail, ENTRY.build, [KEY.public])


def test_what_is_signed_by_the_same_key_for_something_else_is_refused() -> None:
    line = DATA.partition(b"\n")[0]
    seal = json.loads(DATA.splitlines()[1])
    import base64

    seal["ed25519"] = base64.b64encode(KEY.sign(line)).decode()
    with pytest.raises(BadEntry, match="was changed"):
        read_entry(line + b"\n" + json.dumps(seal).encode() + b"\n", ENTRY.build, [KEY.public])


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_any_flipped_byte_is_refused_or_no_matter(at: int, bit: int) -> None:
    changed = bytearray(DATA)
    changed[at] ^= 1 << bit
    try:
        assert read_entry(bytes(changed), ENTRY.build, [KEY.public]) == ENTRY
    except BadEntry:
        return


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BadEntry):
        read_entry(data, ENTRY.build, [KEY.public])


def sign(document: object) -> bytes:
    import base64

    line = json.dumps(document).encode()
    seal = {"key": KEY.name, "ed25519": base64.b64encode(KEY.sign(b"orch cache entry\n" + line)).decode()}
    return line + b"\n" + json.dumps(seal).encode() + b"\n"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("archive", {"file": "../../etc/passwd", "sha256": "ab" * 32, "size": 1}),
        ("archive", {"file": "archives/x", "sha256": "ab" * 32, "size": 1}),
        ("archive", "x"),
        ("output", "sha256:" + "ab" * 32),
        ("output", "../x"),
        ("inputs", ["gcc"]),
        ("inputs", {"gcc": "x"}),
        ("schema", 2),
        ("seconds", "1"),
    ],
)
def test_signed_nonsense_is_refused(field: str, value: object) -> None:
    document = json.loads(DATA.splitlines()[0])
    assert read_entry(sign(document), ENTRY.build, [KEY.public]) == ENTRY
    with pytest.raises(BadEntry, match="malformed"):
        read_entry(sign({**document, field: value}), ENTRY.build, [KEY.public])


def test_keys_are_text_and_come_back() -> None:
    assert SecretKey.parse(KEY.text() + "\n") == KEY
    assert PublicKey.parse(str(KEY.public)) == KEY.public
    assert KEY.public.raw not in KEY.raw
    assert str(KEY.raw) not in repr(KEY)


@pytest.mark.parametrize("text", ["", "team", "team:", "team:AAAA", ":" + "A" * 43 + "=", "a b:" + "A" * 43 + "="])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PublicKey.parse(text)
    with pytest.raises(ValueError, match=r"."):
        SecretKey.parse(text)


def test_a_secret_key_is_not_taken_for_a_public_one() -> None:
    with pytest.raises(ValueError, match="secret key") as caught:
        PublicKey.parse(KEY.text())
    assert KEY.text().rpartition(":")[2] not in str(caught.value)
    with pytest.raises(UsageError):
        SecretKey.new("no spaces")
