from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError, RecipeError
from orchestrator.tree import Entry, Manifest, remove_tree, scan

# A tree in memory: a directory is a dict, a file its bytes and mode, a link its target.
Tree = dict[str, Any]

quiet = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

names = st.text('ab-.é漢😀 \n"\\\x7f', min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
files = st.tuples(st.binary(max_size=40), st.sampled_from([0o644, 0o755, 0o600, 0o444]))
leaves = files | names
trees = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6), max_size=4
)


def plant(root: Path, tree: Tree, *, backwards: bool = False) -> None:
    for name in reversed(list(tree)) if backwards else tree:
        item, path = tree[name], root / name
        if isinstance(item, dict):
            path.mkdir()
            plant(path, item, backwards=backwards)
        elif isinstance(item, tuple):
            path.write_bytes(item[0])
            path.chmod(item[1])
        else:
            path.symlink_to(item)


@contextmanager
def planted(tree: Tree, *, backwards: bool = False) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        plant(Path(directory), tree, backwards=backwards)
        yield Path(directory)


@quiet
@given(trees)
def test_the_order_of_creation_does_not_matter(tree: Tree) -> None:
    with planted(tree) as one, planted(tree, backwards=True) as two:
        for path in two.rglob("*"):
            os.utime(path, (7, 7), follow_symlinks=False)
        manifest = scan(one)
        assert manifest == scan(two)
        assert manifest.digest == scan(two).digest
        assert Manifest.parse(manifest.to_bytes()) == manifest


@quiet
@given(trees, st.data())
def test_any_single_change_moves_the_digest(tree: Tree, data: st.DataObject) -> None:
    with planted(tree) as root:
        before = scan(root)
        paths = sorted(root.rglob("*"))
        path = data.draw(st.sampled_from(paths)) if paths else root
        change = data.draw(st.sampled_from(["add", "remove", "rename", "alter"]))
        if change == "add" or path == root:
            (root / "quite new").mkdir()
        elif change == "remove":
            remove_tree(path)
        elif change == "rename":
            path.rename(path.with_name(f"{path.name}x-not-there"))
        elif path.is_symlink():
            target = path.readlink()
            path.unlink()
            path.symlink_to(f"{target}x")
        elif path.is_dir():
            path.chmod(0o700)
        else:
            data_before = path.read_bytes()
            path.unlink()
            path.write_bytes(data_before + b"x")
        assert scan(root).digest != before.digest


def small_tree(root: Path) -> Path:
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr").chmod(0o755)
    (root / "usr/lib").chmod(0o755)
    (root / "usr/lib/libx.so.1").write_bytes(b"\x7fELF and more")
    (root / "usr/lib/libx.so.1").chmod(0o644)
    (root / "usr/lib/libx.so").symlink_to("libx.so.1")
    (root / "usr/lib/libx-é").write_bytes(b"")
    (root / "usr/lib/libx-é").chmod(0o755)
    return root


def test_golden(tmp_path: Path) -> None:
    """The digest of every object ever stored hangs on this form: it changes with the schema number only."""
    manifest = scan(small_tree(tmp_path))
    assert manifest.to_bytes().decode() == (
        '{"entries":[{"kind":"dir","mode":493,"path":"usr"},{"kind":"dir","mode":493,"path":"usr/lib"},'
        '{"digest":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","kind":"file","mode":493,'
        '"path":"usr/lib/libx-é","size":0},'
        '{"kind":"link","mode":511,"path":"usr/lib/libx.so","target":"libx.so.1"},'
        '{"digest":"051e52a36f8f0e0113b1b2c5e8138cb64c46783fe394a9bc8d76db1fc2f9ef9e","kind":"file","mode":420,'
        '"path":"usr/lib/libx.so.1","size":13}],"schema":1}'
    )
    assert str(manifest.digest) == "blake3:ffee0ac99bd3f1125fb7846dfcd72719b4b00ea8a4f3a88df59fb1611948d1f5"


def test_big_and_many_files(tmp_path: Path) -> None:
    big = os.urandom(3 << 20)
    (tmp_path / "big").write_bytes(big)
    for number in range(400):
        (tmp_path / f"f{number:03}").write_bytes(b"%d" % number)
    manifest = scan(tmp_path)
    assert manifest.by_path["big"].digest == blake3_bytes(big).hex
    assert manifest.by_path["f399"].digest == blake3_bytes(b"399").hex
    assert manifest.size == len(big) + sum(len(str(number)) for number in range(400))


def test_hard_links_are_equal_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    entries = scan(tmp_path).entries
    assert [entry.path for entry in entries] == ["a", "b"]
    assert entries[0].digest == entries[1].digest == blake3_bytes(b"same").hex


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    root = tmp_path / "root"
    root.mkdir()
    (root / "dir").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "nowhere").symlink_to("/no/such/place")
    (root / "loop").symlink_to("loop")
    manifest = scan(root)
    assert {entry.kind for entry in manifest.entries} == {"link"}
    assert manifest.by_path["dir"] == Entry("dir", "link", 0o777, target=str(outside))
    (tmp_path / "way").symlink_to(root)
    with pytest.raises(MachineError):
        scan(tmp_path / "way")


def _socket(path: Path) -> None:
    # a socket's address is short, the test's directory may not be
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short}/s")
        shutil.move(f"{short}/s", path)


@pytest.mark.parametrize(("make", "word"), [(os.mkfifo, "fifo"), (_socket, "socket")])
def test_special_files_are_refused_by_name(tmp_path: Path, make: Callable[[Path], None], word: str) -> None:
    (tmp_path / "d").mkdir()
    make(tmp_path / "d" / "odd")
    with pytest.raises(RecipeError, match=f"d/odd is a {word}"):
        scan(tmp_path)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755])
def test_setuid_is_refused_unless_allowed(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "su"
    file.write_bytes(b"")
    file.chmod(mode)
    with pytest.raises(RecipeError, match="su is setuid or setgid"):
        scan(tmp_path)
    for allowed in ("su", "/su"):
        assert scan(tmp_path, allow_setuid=frozenset({allowed})).by_path["su"].mode == mode


def test_setgid_of_a_directory_is_dropped_and_sticky_kept(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o3777)
    assert scan(tmp_path).by_path["d"].mode == 0o1777
    assert scan(tmp_path, allow_setuid=frozenset({"d"})).by_path["d"].mode == 0o3777


def test_names_and_targets_are_utf8(tmp_path: Path) -> None:
    bad = os.fsdecode(b"bad-\xff")
    (tmp_path / "link").symlink_to(bad)
    with pytest.raises(RecipeError, match="UTF-8"):
        scan(tmp_path)
    (tmp_path / "link").unlink()
    (tmp_path / bad).write_bytes(b"")
    with pytest.raises(RecipeError, match=r"bad-\\xff"):
        scan(tmp_path)


def test_other_xattrs_are_ignored_and_capabilities_refused(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    before = scan(tmp_path)
    try:
        os.setxattr(file, "user.note", b"1")
        assert scan(tmp_path) == before
        os.setxattr(file, "security.capability", bytes.fromhex("0000000200200000000000000000000000000000"))
    except OSError as error:
        pytest.skip(f"no such xattrs here: {error}")
    with pytest.raises(RecipeError, match="f has file capabilities"):
        scan(tmp_path)


def test_an_empty_tree_and_none(tmp_path: Path) -> None:
    assert scan(tmp_path).entries == ()
    with pytest.raises(MachineError) as caught:
        scan(tmp_path / "none")
    assert caught.value.where == str(tmp_path / "none")


@pytest.mark.parametrize(("name", "mode"), [("d", 0o000), ("d", 0o600), ("d/f", 0o000), ("d/f", 0o111), ("", 0o000)])
def test_what_its_owner_may_not_read_is_refused_for_root_too(tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/f").write_bytes(b"x")
    (tmp_path / "tree" / name).chmod(mode)
    try:
        with pytest.raises(RecipeError, match=rf"^{name or 'its top directory'} cannot be read .*\(mode {mode:04o}\)"):
            scan(tmp_path / "tree")
    finally:
        (tmp_path / "tree" / name).chmod(0o755)


def test_a_path_beyond_what_the_kernel_opens_is_refused_in_short(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=here)
        here, above = os.open("n" * 200, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    try:
        with pytest.raises(RecipeError) as caught:
            scan(tree)
    finally:
        remove_tree(tree)
    assert caught.value.what.startswith("a path of 3617 bytes: nnn")
    assert len(caught.value.what + caught.value.where) < 400
