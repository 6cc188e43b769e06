from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError, SourceError
from orchestrator.store import (
    Layout,
    add_source,
    adopt_partial,
    list_sources,
    partial_path,
    quarantine_source,
    read_source_note,
    source_file,
    verify_source,
)
from orchestrator.tree import remove_tree

DATA = os.urandom(100_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def given(tmp_path: Path) -> Path:
    file = tmp_path / "ucx.tar.gz"
    file.write_bytes(DATA)
    return file


def test_add_copies_and_notes(layout: Layout, given: Path) -> None:
    assert source_file(layout, SHA256) is None
    assert not verify_source(layout, SHA256)
    stored = add_source(layout, given, sha256=SHA256, names=("https://b",))
    assert stored == source_file(layout, SHA256)
    assert stored.stat().st_ino != given.stat().st_ino
    assert stored.stat().st_mode & 0o777 == 0o444
    assert stored.read_bytes() == DATA
    assert verify_source(layout, SHA256)
    again = add_source(layout, given, sha256=SHA256, names=("file:a", "https://b"))
    assert again == stored
    (note,) = list_sources(layout)
    assert note == read_source_note(layout, SHA256)
    assert (note.sha256, note.blake3, note.size) == (SHA256, blake3_bytes(DATA).hex, len(DATA))
    assert note.names == ("file:a", "https://b")
    assert abs(note.fetched - time.time()) < 60
    assert not list(layout.stage.iterdir())


def test_the_wrong_file_is_refused_and_nothing_is_kept(layout: Layout, given: Path) -> None:
    with pytest.raises(SourceError) as caught:
        add_source(layout, given, sha256="0" * 64, names=())
    assert "0" * 64 in caught.value.why
    assert SHA256 in caught.value.why
    assert not list(layout.sources.iterdir())
    assert not list(layout.stage.iterdir())
    with pytest.raises(MachineError):
        add_source(layout, given.with_name("none"), sha256=SHA256, names=())


def test_a_download_goes_on_and_is_adopted(layout: Layout) -> None:
    remove_tree(layout.partial)
    partial = partial_path(layout, SHA256)
    partial.write_bytes(DATA[:5000])
    assert source_file(layout, SHA256) is None
    with partial_path(layout, SHA256).open("ab") as file:
        file.write(DATA[5000:])
    stored = adopt_partial(layout, SHA256, names=("https://a",))
    assert stored.read_bytes() == DATA
    assert not partial.exists()
    assert [note.names for note in list_sources(layout)] == [("https://a",)]


def test_a_wrong_download_is_removed(layout: Layout) -> None:
    partial_path(layout, SHA256).write_bytes(b"<html>")
    with pytest.raises(SourceError, match="https://a"):
        adopt_partial(layout, SHA256, names=("https://a",))
    assert not partial_path(layout, SHA256).exists()
    assert source_file(layout, SHA256) is None


def test_a_damaged_source_is_seen_and_replaced(layout: Layout, given: Path) -> None:
    stored = add_source(layout, given, sha256=SHA256, names=("file:a",))
    stored.chmod(0o644)
    stored.write_bytes(DATA[:-1])
    assert not verify_source(layout, SHA256)
    add_source(layout, given, sha256=SHA256, names=("file:a",))
    assert verify_source(layout, SHA256)
    assert quarantine_source(layout, SHA256, "test") is not None
    assert source_file(layout, SHA256) is None
    assert list(list_sources(layout)) == []


def test_a_lost_note_is_made_again(layout: Layout, given: Path) -> None:
    add_source(layout, given, sha256=SHA256, names=("file:a",))
    (layout.sources / f"{SHA256}.json").write_bytes(b"rubbish")
    (note,) = list_sources(layout)
    assert (note.blake3, note.names) == (blake3_bytes(DATA).hex, ())
    add_source(layout, given, sha256=SHA256, names=("file:a",))
    found = read_source_note(layout, SHA256)
    assert found is not None
    assert found.names == ("file:a",)
