"""Archives that want out: every one is refused by name, and nothing around the destination changes."""

from __future__ import annotations

import gzip
import lzma
import tarfile
from pathlib import Path

import pytest
from archive_makers import PACKERS, Canary, ar, deb, directory, hardlink, member, symlink, tar, zip_entry, zipped

from orchestrator.archive import unpack, unpack_deb
from orchestrator.errors import SourceError

ESCAPES = "which leads outside the destination"
CASES = {
    "absolute name": ([member("/etc/passwd")], "/etc/passwd", "its name is absolute"),
    "dots in name": ([member("a/../../passwd")], "a/../../passwd", "its name has '..' in it"),
    "only dots": ([member("..", type=tarfile.DIRTYPE)], "..", "its name has '..' in it"),
    "file named as the top": ([member(".")], ".", "its name is that of the top directory, but it is not a directory"),
    "absolute link": ([symlink("a", "/etc")], "a", "it links to '/etc', which is absolute"),
    "escaping link": ([symlink("d/a", "../../x")], "d/a", f"it links to '../../x', {ESCAPES}"),
    "link that climbs again": (
        [symlink("d/a", "b/../../x")],
        "d/a",
        "it links to 'b/../../x', which climbs again after descending and may lead outside",
    ),
    "through a link": (
        [directory("d"), symlink("l", "d"), member("l/passwd")],
        "l/passwd",
        "'l' on its way is a symbolic link",
    ),
    "directory over a link": ([symlink("l", "d"), directory("l")], "l", "'l' on its way is a symbolic link"),
    "through a file": ([member("f"), member("f/x")], "f/x", "'f' on its way is not a directory"),
    "file over a directory": ([directory("d"), member("d")], "d", "a directory is there already"),
    "link over a directory": ([directory("d"), symlink("d", "e")], "d", "a directory is there already"),
    "hard link over a directory": (
        [member("f"), directory("d"), hardlink("d", "f")],
        "d",
        "a directory is there already",
    ),
    "hard link outside": ([hardlink("h", "../passwd")], "h", "its hard link's target has '..' in it"),
    "absolute hard link": ([hardlink("h", "/etc/passwd")], "h", "its hard link's target is absolute"),
    "hard link to what was not packed": (
        [hardlink("h", "mine")],
        "h",
        "it is a hard link to 'mine', which is no file earlier in the archive",
    ),
    "hard link into nowhere": (
        [hardlink("h", "no/mine")],
        "h",
        "it is a hard link into a directory that is not there",
    ),
    "hard link to a link": (
        [symlink("d/l", "../x"), hardlink("h", "d/l")],
        "h",
        "it is a hard link to 'd/l', which is no file earlier in the archive",
    ),
    "hard link to itself": ([member("f", b"x"), hardlink("f", "f")], "f", "it is a hard link to itself"),
    "character device": ([member("null", type=tarfile.CHRTYPE)], "null", "it is a character device"),
    "block device": ([member("sda", type=tarfile.BLKTYPE)], "sda", "it is a block device"),
    "fifo": ([member("p", type=tarfile.FIFOTYPE)], "p", "it is a FIFO"),
    "sparse file": ([member("s", type=tarfile.GNUTYPE_SPARSE)], "s", "it is a sparse file"),
    "unknown type": ([member("v", type=b"V")], "v", "its type b'V' is unknown"),
    "setuid": ([member("su", mode=0o4755)], "su", "it is setuid or setgid"),
    "setgid": ([member("wall", mode=0o2755)], "wall", "it is setuid or setgid"),
    "name not UTF-8": ([member("caf\udce9")], "caf\udce9", "its name is not UTF-8"),
    "link not UTF-8": ([symlink("l", "caf\udce9")], "l", "its link text is not UTF-8"),
    "long component": ([member("n" * 256)], "n" * 256, "its name has a component of more than 255 bytes"),
    "deep name": ([member("d/" * 201 + "f")], "d/" * 201 + "f", "its name is more than 200 directories deep"),
    "long link": ([symlink("l", "x" * 4096)], "l", "its link text is longer than 4095 bytes"),
    "empty link": ([symlink("l", "")], "l", "its link text is empty or holds a NUL byte"),
}


@pytest.mark.parametrize("case", [*CASES])
def test_hostile_entries_are_refused_by_name(tmp_path: Path, case: str) -> None:
    members, entry, why = CASES[case]
    canary = Canary(tmp_path / "canary")
    archive = tmp_path / "evil"
    archive.write_bytes(tar(*members))
    with pytest.raises(SourceError) as raised:
        unpack(archive, canary.destination, file_name="evil.tar", strip=False)
    assert raised.value.what == f"entry {entry!r} of evil.tar is refused"
    assert raised.value.why == why
    assert raised.value.where == str(archive)
    assert canary.sings()


def test_a_link_already_at_the_destination_is_not_followed(tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    canary.destination.mkdir()
    (canary.destination / "l").symlink_to("..")
    archive = tmp_path / "evil"
    for name, why in (("l/passwd", "'l' on its way is a symbolic link"), ("l", "a symbolic link is there already")):
        archive.write_bytes(tar(member(name, b"new")))
        with pytest.raises(SourceError) as raised:
            unpack(archive, canary.destination, file_name="evil.tar", strip=False)
        assert raised.value.why == why
    assert canary.sings()


def refused(tmp_path: Path, file_name: str, data: bytes) -> str:
    canary = Canary(tmp_path / "canary")
    archive = tmp_path / "evil"
    archive.write_bytes(data)
    with pytest.raises(SourceError) as raised:
        unpack(archive, canary.destination, file_name=file_name, strip=False)
    assert file_name in raised.value.what
    assert canary.sings()
    return raised.value.why


GOOD = tar(member("a", b"x" * 600), member("b", b"y" * 100))


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 700, 1535, 1536, 1800, 2047, 2048])
def test_a_tar_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    assert refused(tmp_path, "a.tar", GOOD[:cut]) in (
        "it ends before its data does",
        "one of its headers is broken: unexpected end of data",
    )


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.99])
def test_compressed_data_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    data = PACKERS[suffix](tar(member("a", bytes(range(256)) * 999)))
    assert refused(tmp_path, f"a.tar{suffix}", data[: int(len(data) * keep)]) == "it ends before its data does"


def test_what_follows_the_end_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "1", "a.tar", GOOD + b"more") == "something follows its end"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_what_follows_the_compressed_data_is_refused(tmp_path: Path, suffix: str) -> None:
    data = PACKERS[suffix](GOOD) + b"more"
    assert refused(tmp_path, f"a.tar{suffix}", data).startswith(f"something follows its {suffix[1:]} data")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    damaged = bytearray(GOOD)
    damaged[1536 + 5] ^= 1  # the second header
    assert refused(tmp_path, "a.tar", bytes(damaged)) == "one of its headers is broken: bad checksum"


def test_a_flipped_bit_in_compressed_data_is_refused(tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(GOOD))
    damaged[-6] ^= 1  # the CRC
    assert refused(tmp_path, "a.tar.gz", bytes(damaged)).startswith("its gz data is broken")


def test_a_format_that_the_name_does_not_say_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "1", "a.tar.gz", lzma.compress(GOOD)).startswith("its gz data is broken")
    assert refused(tmp_path / "2", "a.whl", GOOD).startswith("it is broken: File is not a zip file")
    assert refused(tmp_path / "3", "a.deb", GOOD) == "it is not an ar archive, as a .deb is"


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    info, _ = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME)
    info.size = 1 << 33
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    assert refused(tmp_path, "a.tar", data) == "one of its headers is larger than 65536 bytes"


def test_a_negative_size_does_not_lead_backwards(tmp_path: Path) -> None:
    info, _ = member("f")
    info.size = -512
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    assert refused(tmp_path, "a.tar", data) in ("its size is negative", "one of its headers is broken: invalid header")


def test_headers_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    info, _ = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME)
    info.size = 1
    data = (info.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)) * 5000
    assert refused(tmp_path, "a.tar", data).startswith("one of its headers is broken")


ZIPS = {
    "absolute": (zipped(("/etc/passwd", b"")), "its name is absolute"),
    "dots": (zipped(("../passwd", b"")), "its name has '..' in it"),
    "link out": (zipped((zip_entry("l", 0o120777), b"../passwd")), f"it links to '../passwd', {ESCAPES}"),
    "through a link": (
        zipped((zip_entry("l", 0o120777), b"d"), ("l/x", b"")),
        "'l' on its way is a symbolic link",
    ),
    "setuid": (zipped((zip_entry("su", 0o104755), b"")), "it is setuid or setgid"),
    "device": (zipped((zip_entry("null", 0o020666), b"")), "it is neither file, directory nor symbolic link"),
    "compressed otherwise": (
        zipped(("f", b"x" * 99), compression=14),
        "its compression method 14 is not one of stored and deflated",
    ),
    "prefix": (b"#!/bin/sh\n" + zipped(("f", b"")), "something stands before its first entry"),
    "suffix": (zipped(("f", b"")) + b"more", "something follows its end"),
    "cut": (zipped(("f", b"x" * 99))[:60], "it is broken: File is not a zip file"),
}


@pytest.mark.parametrize("case", [*ZIPS])
def test_hostile_zips_are_refused(tmp_path: Path, case: str) -> None:
    data, why = ZIPS[case]
    assert refused(tmp_path, "evil.whl", data) == why


def test_two_zip_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("f", b"one"), ("f", b"two"))
    assert refused(tmp_path / "1", "evil.whl", data) == "another entry has the same name"


def test_a_zip_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    data = zipped(("good.py?evil", b"")).replace(b"good.py?evil", b"good.py\0evil")
    assert refused(tmp_path, "evil.whl", data) == "its name holds a NUL byte"


def test_a_zip_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    data = zipped(("good.pyX", b"")).replace(b"good.pyX", b"good.py\xe9")
    assert refused(tmp_path, "evil.whl", data) == "one of its names is not UTF-8"


def test_a_zip_whose_end_tells_the_wrong_place_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(("f", b"content")))
    data[-6] += 1  # the offset of the directory: the entry seems to begin before the file does
    assert refused(tmp_path, "evil.whl", bytes(data)).startswith("it is broken: ")


def test_a_zip_with_the_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(("f", b"content"), compression=0))
    data[data.index(b"content")] ^= 1
    assert refused(tmp_path, "evil.whl", bytes(data)).startswith("it is broken: Bad CRC-32")


DEBS = {
    "absolute": (deb(member("/etc/passwd")), "its name is absolute"),
    "dots": (deb(member("./../passwd")), "its name has '..' in it"),
    "device": (deb(member("./dev/null", type=tarfile.CHRTYPE)), "it is a character device"),
    "file over directory": (deb(directory("./d"), member("./d")), "a directory is there already"),
    "circle": (deb(symlink("./l", "m"), symlink("./m", "l"), member("./l/f")), "the links on its way lead in a circle"),
    "hard link": (
        deb(symlink("./l", "/etc/passwd"), hardlink("./h", "./l")),
        "it is a hard link to 'l', which is no file earlier in the archive",
    ),
    "cut": (deb(member("./f"))[:-30], "it ends before its data does"),
    "cut in a header": (deb(member("./f"))[:100], "it ends before its data does"),
    "no members": (b"!<arch>\n", "it is no .deb of format 2: no debian-binary member that says so"),
    "zst": (
        ar(("debian-binary", b"2.0\n"), ("control.tar.zst", b""), ("data.tar.zst", b"")),
        "control.tar.zst is compressed in a way not read here: only gz, bz2, xz and none are",
    ),
    "a second data.tar": (
        deb(member("./f")) + ar(("data.tar", tar(member("./g"))))[8:],
        "its members are debian-binary, control.tar.gz, data.tar.xz, data.tar, "
        "not debian-binary, control.tar and data.tar",
    ),
    "no control": (deb(member("./f"), control=b"Package: hello\n"), "its control file has no field Version"),
    "two paragraphs": (
        deb(member("./f"), control=b"Package: a\n\nPackage: b\n"),
        "its control file is not one paragraph of fields: ''",
    ),
}


@pytest.mark.parametrize("case", [*DEBS])
def test_hostile_debs_are_refused(tmp_path: Path, case: str) -> None:
    data, why = DEBS[case]
    assert refused(tmp_path, "evil.deb", data) == why


@pytest.mark.parametrize("link", ["/", "..", "../../..", "/..", "/bin/../..", "./../."])
def test_a_deb_that_writes_through_its_own_link_stays_inside(tmp_path: Path, link: str) -> None:
    canary = Canary(tmp_path / "canary")
    archive = tmp_path / "evil.deb"
    archive.write_bytes(deb(directory("./d"), symlink("./d/up", link), member("./d/up/bin/passwd", b"inside")))
    unpack_deb(archive, canary.destination, allow_setuid=frozenset())
    assert canary.sings()
    assert (canary.destination / "bin/passwd").read_bytes() == b"inside"
