from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_box import directory, file, flip, link, plan_of, publish_entries, publish_files, with_parents

from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.image.tar import CHUNK, layer_pieces, tar_chunks
from orchestrator.store import Layout, has_object, object_tree, open_store
from orchestrator.tree import SEALED_MTIME, Entry, Manifest
from orchestrator.tree.tar import tar_header


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def tar_of(layout: Layout, *objects: object, excluded: tuple[str, ...] = ()) -> bytes:
    plan = plan_of("test", *objects, excluded=excluded)  # type: ignore[arg-type]
    return b"".join(tar_chunks(layout, layer_pieces(layout, plan)))


def entries_of(data: bytes) -> dict[str, Entry]:
    """What a tar archive holds, as a manifest's entries."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert (info.uname, info.gname, info.mtime) == ("", "", SEALED_MTIME)
            assert info.name not in found
            if info.isdir():
                entry = Entry(info.name, "dir", info.mode, uid=info.uid, gid=info.gid)
            elif info.issym():
                entry = Entry(info.name, "link", info.mode, target=info.linkname, uid=info.uid, gid=info.gid)
            else:
                assert info.isreg()
                content = tar.extractfile(info)
                assert content is not None
                data = content.read()
                entry = file(info.name, data, mode=info.mode, uid=info.uid, gid=info.gid)._replace(size=info.size)
            found[info.name] = entry
    return found


def test_the_bytes_of_a_small_layer_are_these(layout: Layout) -> None:
    """Whoever changes this digest changes every layer of every image: raise TAR_SCHEMA with it."""
    contents = {"usr/bin/tool": b"#!/bin/sh\n", "usr/share/doc/ä": b"", f"usr/{'n' * 120}": b"long" * 300}
    entries = [
        file("usr/bin/tool", contents["usr/bin/tool"], mode=0o755),
        file("usr/share/doc/ä", b""),
        file(f"usr/{'n' * 120}", b"long" * 300, uid=1000, gid=5_000_000),
        link("usr/bin/other", "tool"),
        directory("workspace", mode=0o1775, uid=1000),
    ]
    data = tar_of(layout, publish_entries(layout, entries, contents))
    assert data.endswith(bytes(1024))
    assert len(data) == (9 + 2 * 2 + 1 + 3 + 2) * 512  # headers, PAX headers, contents, end
    assert hashlib.sha256(data).hexdigest() == "3e92c728496c6a9c87661a899a28271a44d10a043855c590478eac0cc38683aa"


def test_paths_are_in_the_order_of_their_bytes(layout: Layout) -> None:
    names = ["a", "a.b", "a/b", "a0", "Z", "é", "\U0001f600", "\uffee"]
    one = publish_files(
        layout, {"a.b": b"", "a/b": b"", "a0": b"", "Z": b"", "é": b"", "\U0001f600": b"", "\uffee": b""}
    )
    found = list(entries_of(tar_of(layout, one)))
    assert found == sorted(names, key=str.encode)


NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in {".", ".."} and len(name.encode()) < 200
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
CONTENTS = st.one_of(st.binary(max_size=2000), st.sampled_from([b"x" * CHUNK, b"y" * (CHUNK + 1), b"z" * 511]))


@st.composite
def trees(draw: st.DrawFn) -> tuple[tuple[Entry, ...], dict[str, bytes]]:
    entries: list[Entry] = []
    contents = {}
    taken: set[str] = set()
    for path in draw(st.lists(PATHS, max_size=8, unique=True)):
        parents = {"/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)}
        if path in taken or parents & {entry.path for entry in entries if entry.kind != "dir"}:
            continue
        taken |= {path, *parents}
        owner = draw(st.sampled_from([0, 1000, 3_000_000]))
        kind = draw(st.sampled_from(["file", "dir", "link"]))
        if kind == "dir":
            entries.append(directory(path, mode=draw(st.sampled_from([0o755, 0o2775, 0o700])), uid=owner))
        elif kind == "link":
            entries.append(link(path, draw(st.one_of(PATHS, st.just("../" * 60 + "x")))))
        else:
            contents[path] = draw(CONTENTS)
            entries.append(file(path, contents[path], mode=draw(st.sampled_from([0o644, 0o4755, 0o600])), gid=owner))
    return with_parents(entries), contents


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees())
def test_tarfile_reads_back_what_the_manifest_says(
    tmp_path_factory: pytest.TempPathFactory, tree: tuple[tuple[Entry, ...], dict[str, bytes]]
) -> None:
    layout = open_store(tmp_path_factory.mktemp("store"))
    entries, contents = tree
    one = publish_entries(layout, entries, contents)
    data = tar_of(layout, one)
    assert entries_of(data) == dict(Manifest(entries).by_path)
    assert data == tar_of(layout, one)


@given(
    path=st.text("aä/", min_size=1, max_size=102).map(lambda text: text.strip("/").replace("//", "b") or "a"),
    kind=st.sampled_from(["file", "dir", "link"]),
    mode=st.integers(0, 0o7777),
    owner=st.sampled_from([0, 1000, 0o7777777, 0o10000000]),
    size=st.sampled_from([0, 1, 0o77777777777, 0o100000000000]),
    target=st.text("bö", min_size=1, max_size=102),
)
def test_a_header_is_what_tarfile_makes_of_it(
    path: str, kind: str, mode: int, owner: int, size: int, target: str
) -> None:
    if kind == "file":
        entry = Entry(path, "file", mode, size=size, digest="0" * 64, uid=owner)
    elif kind == "dir":
        entry = Entry(path, "dir", mode, gid=owner)
    else:
        entry = Entry(path, "link", 0o777, target=target, uid=owner)
    info = tarfile.TarInfo(path)
    info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[kind]
    info.mode, info.size, info.mtime, info.linkname = entry.mode, entry.size, SEALED_MTIME, entry.target
    info.uid, info.gid = entry.uid, entry.gid
    assert tar_header(entry) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def test_a_path_that_is_left_out_is_left_out(layout: Layout) -> None:
    one = publish_files(layout, {"a/b": b"1", "a/c": b"2"})
    assert list(entries_of(tar_of(layout, one, excluded=("a/b",)))) == ["a", "a/c"]


def test_of_a_directory_that_two_parts_have_the_last_ones_is_written_once(layout: Layout) -> None:
    one = publish_entries(layout, [directory("opt"), file("opt/a", b"1")], {"opt/a": b"1"})
    two = publish_entries(layout, [directory("opt", mode=0o2775, gid=7), file("opt/b", b"2")], {"opt/b": b"2"})
    found = entries_of(tar_of(layout, one, two))
    assert list(found) == ["opt", "opt/a", "opt/b"]
    assert found["opt"] == directory("opt", mode=0o2775, gid=7)


def test_two_parts_that_differ_at_a_path_are_refused(layout: Layout) -> None:
    one, two = publish_files(layout, {"a": b"1"}), publish_files(layout, {"a": b"2"})
    with pytest.raises(ValueError, match="different things at 'a'"):
        tar_of(layout, one, two)
    assert list(entries_of(tar_of(layout, one, one))) == ["a"]


@pytest.mark.parametrize("size", [5, CHUNK - 1, CHUNK, 3 * CHUNK + 17])
def test_a_flipped_bit_is_caught_and_its_object_put_aside(layout: Layout, size: int) -> None:
    one = publish_files(layout, {"lib/libtorch.so": bytes(size), "z": b"later"})
    flip(layout, one, "lib/libtorch.so")
    with pytest.raises(MachineError, match="is damaged") as caught:
        tar_of(layout, one)
    assert "lib/libtorch.so" in caught.value.where
    assert not has_object(layout, one)


@pytest.mark.parametrize("size", [7, 2 * CHUNK])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_caught(layout: Layout, size: int, change: int) -> None:
    one = publish_files(layout, {"a": bytes(size)})
    path = object_tree(layout, one) / "a"
    path.chmod(0o644)
    os.truncate(path, size + change)
    with pytest.raises(MachineError, match="is damaged"):
        tar_of(layout, one)


@pytest.mark.parametrize("instead", ["nothing", "link", "directory"])
def test_what_is_there_instead_of_a_file_is_not_read(layout: Layout, tmp_path: Path, instead: str) -> None:
    one = publish_files(layout, {"d/a": b"secret"})
    home = object_tree(layout, one) / "d"
    home.chmod(0o755)
    (home / "a").unlink()
    (tmp_path / "elsewhere").write_bytes(b"secret")
    if instead == "link":
        (home / "a").symlink_to(tmp_path / "elsewhere")
    elif instead == "directory":
        (home / "a").mkdir()
    with pytest.raises(MachineError, match="is damaged"):
        tar_of(layout, one)
    assert not has_object(layout, one)


def test_a_file_above_8_gib_has_a_pax_header_and_a_small_one_has_none() -> None:
    big = Entry("big", "file", 0o644, size=9 << 30, digest=blake3_bytes(b"").hex)
    info = tarfile.TarInfo.frombuf(tar_header(big)[-512:], "utf-8", "strict")
    assert b" size=9663676416\n" in tar_header(big)
    assert info.name == "big"
    assert len(tar_header(big._replace(size=1))) == 512


def test_xattrs_are_pax_records() -> None:
    entry = Entry("ping", "file", 0o755, digest=blake3_bytes(b"").hex, xattrs=(("user.note", b"h\xc3\xa4".hex()),))
    assert "SCHILY.xattr.user.note=hä\n".encode() in tar_header(entry)
    with tarfile.open(fileobj=io.BytesIO(tar_header(entry) + bytes(1024))) as tar:
        (info,) = tar.getmembers()
    assert info.pax_headers["SCHILY.xattr.user.note"] == "hä"
