"""For any archive, however made: nothing outside the destination changes; and what is packed comes out again."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

from archive_makers import PACKERS, Canary, deb, member, tar, tree, zip_entry, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.archive import unpack, unpack_deb
from orchestrator.errors import OrchError

PARTS = ["a", "b", "bin", "..", ".", "", "passwd", "\udce9"]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join)
LINKS = st.one_of(NAMES, st.sampled_from(["/", "/etc", "..", "../..", "../../..", "a/../..", "../two/bin", "."]))
TYPES = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
MEMBERS = st.lists(st.tuples(NAMES, TYPES, LINKS), min_size=1, max_size=8)


def packed(members: list[tuple[str, bytes, str]]) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [
        member(name, b"changed" if type == tarfile.REGTYPE else b"", type=type, link=link, mode=0o755)
        for name, type, link in members
    ]


def leads_nowhere(link: Path) -> bool:
    """Whether the link is its own target by some way: realpath makes up a path for such a one."""
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def links_stay_inside(root: Path) -> bool:
    top = os.path.realpath(root)
    links = [root / path for path, value in tree(root).items() if value[0] == "link"]
    return all(leads_nowhere(link) or (os.path.realpath(link) + "/").startswith(top + "/") for link in links)


@settings(max_examples=150, deadline=None)
@given(MEMBERS, st.booleans())
def test_no_tar_leaves_its_destination(members: list[tuple[str, bytes, str]], strip: bool) -> None:
    with tempfile.TemporaryDirectory() as room:
        canary = Canary(Path(room) / "canary")
        archive = Path(room) / "archive"
        archive.write_bytes(tar(*packed(members)))
        try:
            unpack(archive, canary.destination, file_name="a.tar", strip=strip)
        except OrchError as error:
            assert error.code == "source"
        assert canary.sings()
        assert links_stay_inside(canary.destination)


@settings(max_examples=150, deadline=None)
@given(MEMBERS)
def test_no_deb_leaves_its_destination(members: list[tuple[str, bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as room:
        canary = Canary(Path(room) / "canary")
        canary.destination.mkdir()
        for name, text in (("bin", "usr/bin"), ("a", "/"), ("b", "../../..")):
            (canary.destination / name).symlink_to(text)
        archive = Path(room) / "archive"
        archive.write_bytes(deb(*packed(members), packed=".gz"))
        try:
            unpack_deb(archive, canary.destination, allow_setuid=frozenset())
        except OrchError as error:
            assert error.code == "source"
        assert canary.sings()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(NAMES.filter(lambda name: "\udce9" not in name), st.booleans(), LINKS), min_size=1, max_size=6)
)
def test_no_zip_leaves_its_destination(entries: list[tuple[str, bool, str]]) -> None:
    with tempfile.TemporaryDirectory() as room:
        canary = Canary(Path(room) / "canary")
        archive = Path(room) / "archive"
        buffer = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as made:
            warnings.simplefilter("ignore")  # a name that is there twice
            for number, (name, is_link, link) in enumerate(entries):
                info = zip_entry("x", 0o120777 if is_link else 0o100644)
                info.filename = name or str(number)
                made.writestr(info, os.fsencode(link) if is_link else b"changed")
        archive.write_bytes(buffer.getvalue())
        try:
            unpack(archive, canary.destination, file_name="a.zip", strip=False)
        except OrchError as error:
            assert error.code == "source"
        assert canary.sings()
        assert links_stay_inside(canary.destination)


SOUND = {
    "a.tar": tar(member("d/f", b"x" * 700), member("d/g", mode=0o755), member("h", type=tarfile.SYMTYPE, link="d/f")),
    "a.zip": zipped(("d/f", b"x" * 700), ("d/g", b"y")),
    "a.deb": deb(member("./d/f", b"x" * 700), member("./d/g"), packed=""),
}
SOUND["a.tar.gz"] = gzip.compress(SOUND["a.tar"])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SOUND)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_is_unpacked_or_refused_and_nothing_else(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(SOUND[name])
    for place, value in flips:
        data[int(place * len(data))] = value
    with tempfile.TemporaryDirectory() as room:
        canary = Canary(Path(room) / "canary")
        (Path(room) / "archive").write_bytes(bytes(data))
        try:
            unpack(Path(room) / "archive", canary.destination, file_name=name, strip=False)
        except OrchError as error:
            assert error.what
        assert canary.sings()


PLAIN = st.text(st.sampled_from("abc é.-_"), min_size=1, max_size=6).filter(lambda part: part.strip(".") != "")
TREES = st.recursive(
    st.one_of(st.binary(max_size=2000), st.booleans()),
    lambda inner: st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


def lay(root: Path, content: object, depth: int = 0) -> None:
    """A file for bytes, an executable file or a link for a truth value, a directory for a dictionary."""
    assert isinstance(content, dict)
    root.mkdir()
    for name, value in content.items():
        path = root / name
        if isinstance(value, dict):
            lay(path, value, depth + 1)
        elif isinstance(value, bytes):
            path.write_bytes(value)
            path.chmod(0o644)
        elif value:
            path.write_bytes(b"#!/bin/sh\n")
            path.chmod(0o755)
        else:
            path.symlink_to("../" * depth + "somewhere")


@settings(max_examples=60, deadline=None)
@given(TREES, st.sampled_from(["", ".gz", ".bz2", ".xz"]), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_a_tree_comes_out_of_a_tar_as_it_went_in(content: object, suffix: str, format: int) -> None:
    with tempfile.TemporaryDirectory() as room:
        before = Path(room) / "before"
        lay(before, content)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
            archive.add(before, "top")
        (Path(room) / "archive").write_bytes(PACKERS[suffix](buffer.getvalue()))
        unpack(Path(room) / "archive", Path(room) / "after", file_name=f"a.tar{suffix}", strip=bool(tree(before)))
        after = Path(room) / "after"
        assert tree(after if tree(before) else after / "top") == tree(before)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_a_tree_comes_out_of_a_zip_as_it_went_in(content: object) -> None:
    with tempfile.TemporaryDirectory() as room:
        before = Path(room) / "before"
        lay(before, content)
        with zipfile.ZipFile(Path(room) / "archive", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, (kind, mode, data) in tree(before).items():
                number = {"link": 0o120777, "file": 0o100000 | mode, "directory": 0o40755}[kind]
                archive.writestr(zip_entry(path + "/" * (kind == "directory"), number), data)
        unpack(Path(room) / "archive", Path(room) / "after", file_name="a.zip", strip=False)
        assert tree(Path(room) / "after") == tree(before)
