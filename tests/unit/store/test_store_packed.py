"""An object's archive: the same bytes each time, the same object elsewhere, and nothing else is ever let in."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.archive.zstd import compressed
from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store import Layout, has_object, object_tree, open_store, publish_tree, staging, verify_object
from orchestrator.store.packed import Refused, packed, unpack_object
from orchestrator.tree import Entry, Manifest, scan

ODD = {
    "bin/tool": b"#!/bin/sh\n",
    "lib/empty": b"",
    "lib/" + "long" * 40 + "/ä name": b"x" * 3000,
    "share/block": b"b" * 512,
}


def publish(layout: Layout, files: dict[str, bytes], links: dict[str, str] | None = None) -> Digest:
    with staging(layout, "test") as room:
        tree = room / "out"
        tree.mkdir()
        for name, data in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
            (tree / name).chmod(0o755 if name.startswith("bin/") else 0o640)
        for name, target in (links or {}).items():
            (tree / name).symlink_to(target)
        return publish_tree(layout, tree, scan(tree))


def unpack(layout: Layout, data: bytes, digest: Digest) -> None:
    with staging(layout, "unpack") as room:
        unpack_object(layout, io.BytesIO(data), digest, room)


def raw(archive: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive)).read()


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "there")


def test_an_object_is_the_same_elsewhere(layout: Layout, there: Layout) -> None:
    digest = publish(layout, ODD, {"etc": "/etc/alternatives", "up": "../../outside", "lib64": "lib"})
    unpack(there, b"".join(packed(layout, digest)), digest)
    assert verify_object(there, digest) == []
    assert (object_tree(there, digest) / "bin/tool").stat().st_mode & 0o777 == 0o555
    assert not list(there.stage.iterdir())


def test_the_bytes_do_not_depend_on_threads(layout: Layout) -> None:
    digest = publish(layout, {f"f{n}": bytes([n]) * 900_000 for n in range(12)})
    one, four = (b"".join(packed(layout, digest, threads=threads)) for threads in (1, 4))
    assert one == four


def test_an_ordinary_tar_reads_it(layout: Layout) -> None:
    digest = publish(layout, ODD, {"l": "lib"})
    with tarfile.open(fileobj=io.BytesIO(raw(b"".join(packed(layout, digest))))) as archive:
        names = archive.getnames()
        assert names[0] == "manifest.json"
        assert {name.removeprefix("tree/") for name in names[1:]} >= {*ODD, "l"}
        assert archive.getmember("tree/bin/tool").mode == 0o755


def test_a_damaged_object_is_not_packed(layout: Layout) -> None:
    digest = publish(layout, ODD)
    path = object_tree(layout, digest) / "share/block"
    path.chmod(0o644)
    path.write_bytes(b"c" * 512)
    with pytest.raises(MachineError, match="is damaged"):
        list(packed(layout, digest))
    assert not has_object(layout, digest)


_names = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(_names.filter(lambda name: name not in (".", "..")), st.binary(max_size=2000), max_size=5),
    target=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=150),
)
def test_any_tree_comes_back(files: dict[str, bytes], target: str) -> None:
    files = {f"d/{name}": data for name, data in files.items() if len(name.encode()) < 250}
    with tempfile.TemporaryDirectory() as room:
        here, there = open_store(Path(room) / "a"), open_store(Path(room) / "b")
        digest = publish(here, files, {"link": target})
        unpack(there, b"".join(packed(here, digest)), digest)
        assert verify_object(there, digest) == []
        for store in (here, there):
            for path in sorted(store.objects.rglob("*")):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Digest, bytes]:
    layout = open_store(tmp_path_factory.mktemp("small") / "store")
    digest = publish(layout, {"a/b": b"hello", "c": b"x" * 600}, {"l": "a"})
    return layout, digest, raw(b"".join(packed(layout, digest)))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return open_store(tmp_path_factory.mktemp("target") / "store")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_the_tar_is_refused(
    small: tuple[Layout, Digest, bytes], target: Layout, data: st.DataObject
) -> None:
    _, digest, tar = small
    at, bit = data.draw(st.integers(0, len(tar) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(tar)
    changed[at] ^= 1 << bit
    with pytest.raises(Refused):
        unpack(target, b"".join(compressed([bytes(changed)], 1)), digest)
    assert not has_object(target, digest)
    assert not list(target.stage.iterdir())


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_the_archive_is_refused_or_no_matter(
    small: tuple[Layout, Digest, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    layout, digest, _ = small
    archive = bytearray(b"".join(packed(layout, digest)))
    archive[data.draw(st.integers(0, len(archive) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    target = open_store(tmp_path_factory.mktemp("flipped") / "store")
    try:
        unpack(target, bytes(archive), digest)
    except Refused:
        assert not has_object(target, digest)
    else:
        assert verify_object(target, digest) == []


def test_every_cut_is_refused(small: tuple[Layout, Digest, bytes], target: Layout) -> None:
    layout, digest, tar = small
    archive = b"".join(packed(layout, digest))
    for end in range(0, len(tar), 97):
        with pytest.raises(Refused):
            unpack(target, b"".join(compressed([tar[:end]], 1)), digest)
    for end in range(0, len(archive) - 8, 11):  # the last four bytes are a checksum of what was hashed already
        with pytest.raises(Refused):
            unpack(target, archive[:end], digest)
    assert not has_object(target, digest)


@pytest.mark.parametrize("extra", [b"\0" * 512, b"more"])
def test_what_follows_its_end_is_refused(small: tuple[Layout, Digest, bytes], target: Layout, extra: bytes) -> None:
    _, digest, tar = small
    with pytest.raises(Refused, match="its end"):
        unpack(target, b"".join(compressed([tar, extra], 1)), digest)


def test_the_entry_that_differs_is_named(small: tuple[Layout, Digest, bytes], target: Layout) -> None:
    _, digest, tar = small
    at = tar.index(b"hello")
    with pytest.raises(Refused, match=r"a/b: its content is not what the manifest says"):
        unpack(target, b"".join(compressed([tar[:at], b"jello", tar[at + 5 :]], 1)), digest)


def foreign(manifest: bytes, *members: tarfile.TarInfo) -> tuple[bytes, Digest]:
    """An archive with a manifest of somebody's own, whose hash is right."""
    from orchestrator.store.packed import _header, _manifest_entry

    body = _header(_manifest_entry(len(manifest))) + manifest + bytes(-len(manifest) % 512)
    for member in members:
        body += member.tobuf(tarfile.USTAR_FORMAT)
    return b"".join(compressed([body + bytes(1024)], 1)), blake3_bytes(manifest)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "a//b", "."])
def test_a_manifest_that_leads_outside_is_refused(target: Layout, path: str) -> None:
    manifest = b'{"entries":[{"kind":"dir","mode":493,"path":"%s"}],"schema":1}' % path.encode()
    archive, digest = foreign(manifest)
    with pytest.raises(Refused, match=r"no path within a tree|is missing|twice|canonical"):
        unpack(target, archive, digest)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_an_entry_of_another_kind_is_refused(target: Layout, kind: bytes) -> None:
    entry = Entry("a", "file", 0o644, size=0, digest=blake3_bytes(b"").hex)
    member = tarfile.TarInfo("tree/a")
    member.type, member.mode, member.mtime, member.linkname = kind, 0o644, 315532800, "/etc/passwd"
    archive, digest = foreign(Manifest((entry,)).to_bytes(), member)
    with pytest.raises(Refused, match="a: its header is not what the manifest says"):
        unpack(target, archive, digest)


def test_a_file_below_a_link_is_refused(target: Layout) -> None:
    manifest = (
        b'{"entries":[{"kind":"link","mode":511,"path":"a","target":"/tmp"},'
        b'{"digest":"%s","kind":"file","mode":420,"path":"a/b","size":0}],"schema":1}' % blake3_bytes(b"").hex.encode()
    )
    archive, digest = foreign(manifest)
    with pytest.raises(Refused, match="directory of 'a/b' is missing"):
        unpack(target, archive, digest)


def test_a_bomb_is_refused_before_it_is_unpacked(target: Layout) -> None:
    zeros = b"".join(compressed((bytes(1 << 20) for _ in range(300)), 1))
    with pytest.raises(Refused, match="does not begin with a manifest"):
        unpack(target, zeros, blake3_bytes(b""))
