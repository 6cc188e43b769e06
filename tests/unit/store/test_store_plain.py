"""Objects as plain files: whole, verified, merged only where they agree, and no part of the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import AnswerIsNo, MachineError, UsageError
from orchestrator.store import Layout, has_object, object_tree, publish_tree, staging
from orchestrator.store.plain import write_plain
from orchestrator.tree import Entry, Manifest


def publish(layout: Layout, *entries: Entry, data: bytes = b"data") -> Digest:
    with staging(layout, "test") as room:
        tree = room / "out"
        tree.mkdir()
        for entry in entries:
            if entry.kind == "dir":
                (tree / entry.path).mkdir()
            elif entry.kind == "link":
                (tree / entry.path).symlink_to(entry.target)
            else:
                (tree / entry.path).write_bytes(data)
        return publish_tree(layout, tree, Manifest(entries))


def file(path: str, mode: int = 0o644, data: bytes = b"data") -> Entry:
    return Entry(path, "file", mode, size=len(data), digest=blake3_bytes(data).hex)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, "dir", mode)


def test_modes_links_and_times(layout: Layout, tmp_path: Path) -> None:
    link = Entry("d/l", "link", 0o777, target="/etc/passwd")
    one = publish(layout, directory("d", 0o750), file("d/f", 0o4711), file("g", 0o400), link)
    target = tmp_path / "plain"
    assert write_plain(layout, {"one": one}, target) == (2, 8)
    assert (target / "d").stat().st_mode & 0o7777 == 0o750
    assert (target / "d/f").stat().st_mode & 0o7777 == 0o711  # whoever exports it would lend out his own rights
    assert (target / "g").stat().st_mode & 0o7777 == 0o400
    assert (target / "d/l").readlink() == Path("/etc/passwd")
    assert (target / "d/f").stat().st_nlink == 1
    assert {int(path.lstat().st_mtime) for path in (target / "d", target / "d/f", target / "d/l")} == {315532800}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "store"]


def test_trees_are_merged(layout: Layout, tmp_path: Path) -> None:
    one = publish(layout, directory("d"), file("d/a"), file("same"))
    two = publish(layout, directory("d"), file("d/b"), file("same"))
    write_plain(layout, {"one": one, "two": two}, tmp_path / "plain")
    assert sorted(os.listdir(tmp_path / "plain/d")) == ["a", "b"]  # noqa: PTH208


def test_trees_that_differ_at_a_path_are_not(layout: Layout, tmp_path: Path) -> None:
    one, two = publish(layout, file("same")), publish(layout, file("same", data=b"else"), data=b"else")
    with pytest.raises(AnswerIsNo, match="one and two have different things at same"):
        write_plain(layout, {"one": one, "two": two}, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_an_empty_directory_is_filled_and_nothing_else(layout: Layout, tmp_path: Path) -> None:
    one = publish(layout, file("f"))
    (tmp_path / "empty").mkdir()
    write_plain(layout, {"one": one}, tmp_path / "empty")
    assert (tmp_path / "empty/f").read_bytes() == b"data"
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for target in (tmp_path / "empty", tmp_path / "link", tmp_path / "empty/f"):
        with pytest.raises(UsageError):
            write_plain(layout, {"one": one}, target)


def test_a_damaged_object_leaves_nothing(layout: Layout, tmp_path: Path) -> None:
    one = publish(layout, directory("d", 0o555), file("d/f"))
    path = object_tree(layout, one) / "d/f"
    path.chmod(0o644)
    path.write_bytes(b"DATA")
    with pytest.raises(MachineError, match="is damaged"):
        write_plain(layout, {"one": one}, tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    assert not has_object(layout, one)
