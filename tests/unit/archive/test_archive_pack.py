"""Packing a directory: the same bytes wherever and whenever, and the same directory back."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.archive import pack, unpack, unpack_tree
from orchestrator.errors import SourceError
from orchestrator.tree import scan

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0\\", exclude_categories=("C",)), min_size=1, max_size=40
)
TREES = st.dictionaries(
    NAMES.filter(lambda name: name not in (".", "..")), st.tuples(st.binary(max_size=2000), st.booleans()), max_size=6
)


def make(root: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    (root / "in/deep").mkdir(parents=True)
    for name, (data, executable) in files.items():
        for directory in (root, root / "in/deep"):
            (directory / name).write_bytes(data)
            (directory / name).chmod(0o755 if executable else 0o644)
    (root / "link").symlink_to("in/deep")


@settings(max_examples=30, deadline=None)
@given(TREES.filter(lambda files: not {"in", "link"} & files.keys() and all(len(n.encode()) < 200 for n in files)))
def test_what_is_packed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[bytes, bool]]
) -> None:
    root = tmp_path_factory.mktemp("pack")
    make(root / "tree", files)
    pack(root / "tree", root / "one.tar", top="top")
    unpack(root / "one.tar", root / "again", file_name="one.tar", strip=True)
    assert scan(root / "again").digest == scan(root / "tree").digest


def test_times_owners_and_the_order_of_making_are_not_in_it(tmp_path: Path) -> None:
    for name, order in (("a", "xyz"), ("b", "zyx")):
        (tmp_path / name).mkdir()
        for file in order:
            (tmp_path / name / file).write_text(file)
            (tmp_path / name / file).chmod(0o600 if name == "a" else 0o664)
        os.utime(tmp_path / name / "x", (1, 1 if name == "a" else 2))
        pack(tmp_path / name, tmp_path / f"{name}.tar", top="top")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_what_is_left_out_is_left_out_everywhere(tmp_path: Path) -> None:
    make(tmp_path / "tree", {"a": (b"a", False)})
    before = scan(tmp_path / "tree")
    for directory in (tmp_path / "tree/.git", tmp_path / "tree/in/.git"):
        directory.mkdir()
        (directory / "HEAD").write_text("ref")
    assert scan(tmp_path / "tree", leave_out=frozenset({".git"})) == before
    pack(tmp_path / "tree", tmp_path / "a.tar", top="t", leave_out=frozenset({".git"}))
    unpack(tmp_path / "a.tar", tmp_path / "out", file_name="a.tar", strip=True)
    assert scan(tmp_path / "out") == before


def test_a_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "tree/socket"))
    with pytest.raises(SourceError, match="t/socket is neither a file"):
        pack(tmp_path / "tree", tmp_path / "a.tar", top="t")


def test_the_content_says_what_format_a_tree_comes_in(tmp_path: Path) -> None:
    make(tmp_path / "tree", {"a": (b"a", False)})
    pack(tmp_path / "tree", tmp_path / "x.tar", top="t")
    unpack_tree(tmp_path / "x.tar", tmp_path / "out", file_name="x.tar.gz")
    assert scan(tmp_path / "out") == scan(tmp_path / "tree")
