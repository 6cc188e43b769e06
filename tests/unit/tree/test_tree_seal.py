from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import orchestrator
from orchestrator.errors import MachineError
from orchestrator.tree import SEALED_MTIME, check_tree, remove_tree, scan, seal


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "d/e").mkdir(parents=True)
    (root / "d/run").write_bytes(b"#!/bin/sh\n")
    (root / "d/run").chmod(0o710)
    (root / "d/e/data").write_bytes(b"data")
    (root / "d/e/data").chmod(0o666)
    (root / "link").symlink_to("/etc/passwd")
    return root


def test_sealed_trees_are_read_only_with_one_time(tree: Path) -> None:
    passwd = Path("/etc/passwd").stat()
    manifest = scan(tree)
    seal(tree, manifest)
    for path in (tree, *tree.rglob("*")):
        assert path.lstat().st_mtime == SEALED_MTIME
    modes = {path: stat.S_IMODE((tree / path).lstat().st_mode) for path in (".", "d", "d/e", "d/run", "d/e/data")}
    assert modes == {".": 0o555, "d": 0o555, "d/e": 0o555, "d/run": 0o555, "d/e/data": 0o444}
    assert Path("/etc/passwd").stat().st_mtime == passwd.st_mtime
    assert check_tree(tree, manifest) == []
    seal(tree, manifest)


def test_seal_refuses_what_was_not_scanned(tree: Path) -> None:
    manifest = scan(tree)
    (tree / "d/e/data").write_bytes(b"")  # as a full disk leaves it
    with pytest.raises(MachineError) as caught:
        seal(tree, manifest)
    assert caught.value.where == str(tree / "d/e/data")


def test_check_tree_names_each_problem(tree: Path) -> None:
    manifest = scan(tree)
    assert check_tree(tree, manifest) == []
    (tree / "d/run").write_bytes(b"#!/bin/su\n")
    (tree / "d/e/data").write_bytes(b"")
    (tree / "link").unlink()
    (tree / "link").symlink_to("else")
    (tree / "new").mkdir()
    assert check_tree(tree, manifest) == [
        "d/e/data: size is 0, not 4 bytes",
        "d/run: content differs",
        "link: target is 'else', not '/etc/passwd'",
        "new: extra",
    ]
    (tree / "d/run").write_bytes(b"#!/bin/sh\n")
    (tree / "d/run").chmod(0o644)
    (tree / "link").unlink()
    remove_tree(tree / "d/e")
    os.mkfifo(tree / "d/e")
    (tree / "new").rename(tree / os.fsdecode(b"\xff"))
    assert check_tree(tree, manifest) == [
        "d/e: is a special file, not a dir",
        "d/e/data: missing",
        "d/run: executable bit differs",
        "link: missing",
        r"\udcff: extra",
    ]
    assert check_tree(tree / "none", manifest) == ["the tree: cannot be read: No such file or directory"]


def test_remove_takes_anything_and_follows_nothing(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"")
    (tree / "way").symlink_to(outside)
    seal(tree, scan(tree))
    remove_tree(tree)
    assert not tree.exists()
    remove_tree(tree)
    (tmp_path / "way").symlink_to(outside)
    remove_tree(tmp_path / "way")
    assert (outside / "kept").exists()
    remove_tree(outside / "kept")
    assert list(tmp_path.iterdir()) == [outside]


def test_remove_a_very_deep_tree(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(top)
    assert not top.exists()


def test_read_only_trees_of_someone_who_is_not_root() -> None:
    """Root may write to a read-only directory, so that only somebody else shows whether this works."""
    code = """
import os, sys, ctypes
from pathlib import Path
from orchestrator.store import open_store, publish_tree, quarantine_object, staging, verify_object
from orchestrator.tree import scan, remove_tree, seal
base = Path(sys.argv[1])
if os.geteuid() == 0:
    os.chown(base, 65534, 65534)
    os.setgid(65534)
    os.setuid(65534)
layout = open_store(base / "store")
def make(room):
    (room / "out/d/e").mkdir(parents=True)
    (room / "out/d/e/f").write_bytes(b"x")
    manifest = scan(room / "out")
    seal(room / "out", manifest)
    return manifest
with staging(layout, "one") as room:
    make(room)
    (room / "closed").mkdir()
    (room / "closed/f").write_bytes(b"x")
    (room / "closed").chmod(0)
assert not list(layout.stage.iterdir())
for _ in range(2):
    with staging(layout, "two") as room:
        digest = publish_tree(layout, room / "out", make(room))
assert not list(layout.stage.iterdir())
assert verify_object(layout, digest) == []
assert quarantine_object(layout, digest, "test") is not None
remove_tree(base / "store")
assert not (base / "store").exists()
"""
    with tempfile.TemporaryDirectory() as base:
        root = str(Path(orchestrator.__file__).parents[1])
        result = subprocess.run(
            [sys.executable, "-c", code, base], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr


def test_a_removal_that_is_refused_says_where(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot remove"):
        remove_tree(Path("/proc/self/status"))
    assert time.time() > SEALED_MTIME
