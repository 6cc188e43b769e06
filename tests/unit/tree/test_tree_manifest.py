from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.digest import blake3_bytes, canonical_json
from orchestrator.tree import Entry, Manifest, differences

HEX = blake3_bytes(b"x").hex
FILE = Entry("a", "file", 0o644, size=1, digest=HEX)

quiet = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy

ALPHABET = 'ab-.é漢😀 \n"\\\x7f'
names = st.text(ALPHABET, min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
modes = st.integers(0, 0o7777)
owners = st.integers(0, 2**31)
xattrs = st.dictionaries(st.text(ALPHABET, min_size=1), st.binary().map(bytes.hex), max_size=2)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    directories = [""]
    entries: dict[str, Entry] = {}
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from(directories))
        path = f"{parent}/{draw(names)}" if parent else draw(names)
        if path in entries:
            continue
        about: dict[str, Any] = {
            "uid": draw(owners),
            "gid": draw(owners),
            "xattrs": tuple(sorted(draw(xattrs).items())),
        }
        kind = draw(st.sampled_from(["file", "dir", "link"]))
        if kind == "file":
            digest = blake3_bytes(draw(st.binary())).hex
            entries[path] = Entry(path, "file", draw(modes), size=draw(st.integers(0, 2**60)), digest=digest, **about)
        elif kind == "dir":
            directories.append(path)
            entries[path] = Entry(path, "dir", draw(modes), **about)
        else:
            entries[path] = Entry(path, "link", 0o777, target=draw(names), **about)
    return Manifest(tuple(draw(st.permutations(list(entries.values())))))


@quiet
@given(manifests())
def test_parse_is_the_inverse_of_to_bytes(manifest: Manifest) -> None:
    again = Manifest.parse(manifest.to_bytes())
    assert again == manifest
    assert again.digest == manifest.digest == blake3_bytes(manifest.to_bytes())
    assert differences(manifest, again) == []


@quiet
@given(manifests())
def test_entries_are_sorted_by_the_bytes_of_their_paths(manifest: Manifest) -> None:
    paths = [entry.path.encode() for entry in manifest.entries]
    assert paths == sorted(paths)
    assert manifest == Manifest(tuple(reversed(manifest.entries)))


@quiet
@given(manifests())
def test_no_other_spelling_is_accepted(manifest: Manifest) -> None:
    document = json.loads(manifest.to_bytes())
    for other in (
        json.dumps(document, indent=1).encode(),
        manifest.to_bytes() + b"\n",
        canonical_json({**document, "more": 1}),
        canonical_json({**document, "schema": 2}),
        canonical_json({**document, "schema": True}),
    ):
        with pytest.raises(ValueError, match=r"manifest|JSON|Extra data"):
            Manifest.parse(other)


@quiet
@given(manifests(), st.data())
def test_a_damaged_byte_is_another_manifest_or_none(manifest: Manifest, data: st.DataObject) -> None:
    whole = manifest.to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    with suppress(ValueError):
        assert Manifest.parse(damaged).digest != manifest.digest


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"3", b"{}", b'{"schema":1}', b'{"entries":[3],"schema":1}', b"\xff", b"[" * 99999],
)
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.parse(data)


@pytest.mark.parametrize(
    "entries",
    [
        (Entry("/a", "dir", 0o755),),
        (Entry("a/", "dir", 0o755),),
        (Entry("", "dir", 0o755),),
        (Entry("..", "dir", 0o755),),
        (Entry("a/../b", "dir", 0o755),),
        (Entry("a\0", "dir", 0o755),),
        (Entry("a/b", "dir", 0o755),),  # no parent
        (FILE, Entry("a/b", "dir", 0o755)),  # the parent is a file
        (FILE, FILE),
        (Entry("a", "file", 0o644, size=1),),
        (Entry("a", "file", 0o644, size=-1, digest=HEX),),
        (Entry("a", "file", 0o10644, size=1, digest=HEX),),
        (Entry("a", "file", 0o644, size=1, digest=HEX.upper()),),
        (Entry("a", "file", 0o644, size=1, digest=HEX, target="b"),),
        (Entry("a", "dir", 0o755, size=1),),
        (Entry("a", "link", 0o777),),
        (Entry("a", "link", 0o755, target="b"),),
        (Entry("a", "fifo", 0o644),),  # type: ignore[arg-type]
        (Entry("a", "dir", 0o755, uid=-1),),
        (Entry("a", "dir", 0o755, xattrs=(("user.b", "00"), ("user.a", "00"))),),
        (Entry("a", "dir", 0o755, xattrs=(("user.a", "0"),)),),
    ],
)
def test_what_no_tree_can_be_is_refused(entries: tuple[Entry, ...]) -> None:
    with pytest.raises(ValueError, match="manifest"):
        Manifest(entries)


def test_size_and_lookup() -> None:
    manifest = Manifest((Entry("d", "dir", 0o755), Entry("d/b", "file", 0o644, size=5, digest=HEX), FILE))
    assert manifest.size == 6
    assert manifest.by_path["d/b"].size == 5
    assert [entry.path for entry in manifest.entries] == ["a", "d", "d/b"]


def test_differences_say_what_differs() -> None:
    before = Manifest(
        (FILE, Entry("b", "link", 0o777, target="a"), Entry("c", "dir", 0o755), Entry("e", "file", 0o644, 1, HEX))
    )
    other = blake3_bytes(b"yy").hex
    after = Manifest(
        (
            Entry("a", "file", 0o755, size=2, digest=other),
            Entry("b", "link", 0o777, target="c"),
            Entry("c", "link", 0o777, target="a"),
            Entry("d", "dir", 0o755),
        )
    )
    assert differences(before, after) == [
        "a: content (1 -> 2 bytes), mode 0644 -> 0755",
        "b: target a -> c",
        "c: dir -> link",
        "d: added",
        "e: removed",
    ]
    assert differences(before, before) == []
