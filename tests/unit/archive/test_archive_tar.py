"""Tar sources: what is unpacked, how, and what strip does."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest
from archive_makers import PACKERS, deb, directory, hardlink, member, symlink, tar, tree, zipped

from orchestrator.archive import unpack
from orchestrator.errors import SourceError

SOURCE = (
    directory("top-1.0", mode=0o2775),
    member("top-1.0/configure", b"#!/bin/sh\n", mode=0o744),
    member("top-1.0/src/main.c", b"int main;", mode=0o600),
    symlink("top-1.0/src/link", "../configure"),
    hardlink("top-1.0/twin", "top-1.0/configure"),
)
UNPACKED = {
    "configure": ("file", 0o755, b"#!/bin/sh\n"),
    "src": ("directory", 0o755, b""),
    "src/main.c": ("file", 0o644, b"int main;"),
    "src/link": ("link", 0, b"../configure"),
    "twin": ("file", 0o755, b"#!/bin/sh\n"),
}


def put(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [*PACKERS])
def test_every_compression_gives_the_same_tree(tmp_path: Path, suffix: str) -> None:
    archive = put(tmp_path, "stored-under-its-hash", PACKERS[suffix](tar(*SOURCE)))
    unpack(archive, tmp_path / "out", file_name=f"top-1.0.tar{suffix}", strip=True)
    assert tree(tmp_path / "out") == UNPACKED


def test_tgz_and_pax_and_no_strip(tmp_path: Path) -> None:
    archive = put(tmp_path, "a", gzip.compress(tar(*SOURCE, format=tarfile.PAX_FORMAT)))
    unpack(archive, tmp_path / "out", file_name="top.tgz", strip=False)
    assert tree(tmp_path / "out/top-1.0") == UNPACKED


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    archive = put(tmp_path, "a", tar(*SOURCE))
    before = os.umask(0o077)
    try:
        unpack(archive, tmp_path / "out", file_name="top.tar", strip=True)
    finally:
        os.umask(before)
    assert tree(tmp_path / "out") == UNPACKED


def test_a_path_prefix_of_dots_and_a_git_header_are_fine(tmp_path: Path) -> None:
    info, _ = member("./top/deep/" + "d" * 120 + "/" + "n" * 200, b"x")
    info.pax_headers = {"comment": "0123456789abcdef"}
    archive = put(tmp_path, "a", tar(directory("./"), directory("./top"), (info, b"x"), format=tarfile.PAX_FORMAT))
    unpack(archive, tmp_path / "out", file_name="a.tar", strip=True)
    assert tree(tmp_path / "out")["deep/" + "d" * 120 + "/" + "n" * 200] == ("file", 0o644, b"x")


def test_several_compressed_streams_in_a_row_are_one(tmp_path: Path) -> None:
    data = tar(*SOURCE)
    archive = put(tmp_path, "a", gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(512))
    unpack(archive, tmp_path / "out", file_name="a.tar.gz", strip=True)
    assert tree(tmp_path / "out") == UNPACKED


def test_a_second_entry_of_a_name_replaces_the_first_as_tar_does(tmp_path: Path) -> None:
    archive = put(
        tmp_path,
        "a",
        tar(member("f", b"old"), hardlink("keeps", "f"), symlink("l", "f"), member("f", b"new"), member("l")),
    )
    unpack(archive, tmp_path / "out", file_name="a.tar", strip=False)
    assert tree(tmp_path / "out") == {
        "f": ("file", 0o644, b"new"),
        "keeps": ("file", 0o644, b"old"),
        "l": ("file", 0o644, b""),
    }


def test_a_large_file_and_odd_sizes_come_through(tmp_path: Path) -> None:
    contents = {f"f{size}": os.urandom(size) for size in (0, 1, 511, 512, 513, 1023, (1 << 20) + 511, 3_000_000)}
    archive = put(tmp_path, "a", gzip.compress(tar(*(member(n, c) for n, c in contents.items())), 1))
    unpack(archive, tmp_path / "out", file_name="a.tar.gz", strip=False)
    assert {name: value[2] for name, value in tree(tmp_path / "out").items()} == contents


@pytest.mark.parametrize(
    ("members", "what", "why"),
    [
        (
            (directory("one"), member("one/f"), member("two/f")),
            "entry 'two/f' of a.tar is refused",
            "it is not inside one top directory ('one')",
        ),
        ((member("README"),), "entry 'README' of a.tar is refused", "it is not inside one top directory ('README')"),
        ((directory("./"),), "a.tar is refused", "it has no top directory"),
        (
            (member("one/f"), hardlink("one/g", "two/f")),
            "entry 'one/g' of a.tar is refused",
            "it is a hard link out of the top directory 'one'",
        ),
        (
            (member("one/f"), symlink("one/g", "../one/f")),
            "entry 'one/g' of a.tar is refused",
            "it links to '../one/f', which leads outside the destination",
        ),
    ],
)
def test_strip_wants_exactly_one_top_directory(
    tmp_path: Path, members: tuple[tuple[tarfile.TarInfo, bytes], ...], what: str, why: str
) -> None:
    archive = put(tmp_path, "a", tar(*members))
    with pytest.raises(SourceError) as raised:
        unpack(archive, tmp_path / "out", file_name="a.tar", strip=True)
    assert (raised.value.what, raised.value.why, raised.value.where) == (what, why, str(archive))
    assert raised.value.hint


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.tar\.zst is no archive known here") as raised:
        unpack(put(tmp_path, "a", b""), tmp_path / "out", file_name="a.tar.zst", strip=True)
    assert raised.value.why == "its name ends in none of .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip, .whl, .deb"


def test_two_archives_may_share_a_destination_but_no_file(tmp_path: Path) -> None:
    one, two = put(tmp_path, "1", tar(member("d/one"))), put(tmp_path, "2", tar(member("d/two"), member("d/one")))
    unpack(one, tmp_path / "out", file_name="1.tar", strip=False)
    with pytest.raises(SourceError) as raised:
        unpack(two, tmp_path / "out", file_name="2.tar", strip=False)
    assert (raised.value.what, raised.value.why) == ("entry 'd/one' of 2.tar is refused", "a file is there already")


@pytest.mark.parametrize("packer", ["tar", "zip", "deb"])
def test_all_that_is_unpacked_has_one_time(tmp_path: Path, packer: str) -> None:
    """make regenerates what is older than its prerequisites: times of extraction would differ by chance."""
    if packer == "tar":
        unpack(put(tmp_path, "a", tar(*SOURCE)), tmp_path / "out", file_name="a.tar", strip=True)
    elif packer == "zip":
        data = zipped(("b/c/x", b"x"), ("a", b"a"), ("b/y", b"y"))
        unpack(put(tmp_path, "a", data), tmp_path / "out", file_name="a.zip", strip=False)
    else:  # two, the second into the first one's directories
        for name in ("x", "y"):
            archive = put(tmp_path, name, deb(member(f"./usr/lib/{name}", b""), symlink(f"./usr/{name}", "lib")))
            unpack(archive, tmp_path / "out", file_name="a.deb", strip=False)
    found = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert len(found) >= 6
    assert {path.lstat().st_mtime_ns for path in found} == {315532800 * 10**9}
