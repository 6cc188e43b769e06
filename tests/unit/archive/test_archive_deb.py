"""A .deb: its control part, and its files in a merged-/usr root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archive_makers import deb, directory, hardlink, member, symlink, tree

from orchestrator.archive import unpack, unpack_deb
from orchestrator.errors import SourceError

NONE: frozenset[str] = frozenset()
USUAL = (
    directory("./"),
    directory("./usr"),
    directory("./usr/bin"),
    member("./usr/bin/hello", b"hello", mode=0o755),
    hardlink("./usr/bin/hi", "./usr/bin/hello"),
    symlink("./usr/bin/absolute", "/etc/alternatives/hello"),
    member("./usr/share/doc/hello/copyright", b"free"),
)


def put(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def merged(root: Path) -> Path:
    for name in ("bin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    return root


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
def test_a_deb_gives_its_files_and_its_control_part(tmp_path: Path, packed: str) -> None:
    scripts = {"postinst": b"#!/bin/sh\n", "md5sums": b"0  usr/bin/hello\n"}
    archive = put(tmp_path, "hello.deb", deb(*USUAL, scripts=scripts, packed=packed))
    control = unpack_deb(archive, tmp_path / "root", allow_setuid=NONE)
    assert (control.package, control.version, control.architecture) == ("hello", "1.0-1", "amd64")
    assert control.fields["Description"] == "says hello\n and more\n .\n of it"
    assert control.control.startswith(b"Package: hello\n")
    assert [(file.name, file.mode) for file in control.files] == [("md5sums", 0o755), ("postinst", 0o755)]
    assert control.file("postinst") == b"#!/bin/sh\n"
    assert control.file("conffiles") is None
    assert control.paths[:4] == ("/.", "/usr", "/usr/bin", "/usr/bin/hello")
    assert control.owners == ()
    found = tree(tmp_path / "root")
    assert found["usr/bin/hello"] == found["usr/bin/hi"] == ("file", 0o755, b"hello")
    assert found["usr/bin/absolute"] == ("link", 0, b"/etc/alternatives/hello")


def test_links_of_a_merged_usr_are_resolved_inside(tmp_path: Path) -> None:
    root = merged(tmp_path / "root")
    archive = put(
        tmp_path,
        "a.deb",
        deb(
            directory("./bin"),
            member("./bin/sh", b"sh", mode=0o755),
            hardlink("./usr/bin/dash", "./bin/sh"),
            hardlink("./bin/ash", "./usr/bin/dash"),
            member("./lib/x86_64-linux-gnu/libc.so.6", b"libc"),
        ),
    )
    control = unpack_deb(archive, root, allow_setuid=NONE)
    assert (root / "bin").is_symlink()
    found = tree(root / "usr")
    assert found["bin/sh"] == found["bin/dash"] == found["bin/ash"] == ("file", 0o755, b"sh")
    assert found["lib/x86_64-linux-gnu/libc.so.6"] == ("file", 0o644, b"libc")
    assert "/bin/sh" in control.paths


def test_a_link_is_followed_before_what_it_leads_to_is_there(tmp_path: Path) -> None:
    archive = put(tmp_path, "a.deb", deb(symlink("./bin", "/usr/bin"), member("./bin/sh", b"sh")))
    unpack_deb(archive, tmp_path / "root", allow_setuid=NONE)
    assert tree(tmp_path / "root")["usr/bin/sh"] == ("file", 0o644, b"sh")


def test_setuid_is_cleared_unless_listed(tmp_path: Path) -> None:
    archive = put(
        tmp_path,
        "a.deb",
        deb(
            member("./usr/bin/su", mode=0o4755),
            member("./bin/mount", mode=0o4755),
            member("./usr/bin/wall", mode=0o2755),
            directory("./var/local", mode=0o2775),
            directory("./tmp", mode=0o1777),
            directory("./root", mode=0o700),
        ),
    )
    root = merged(tmp_path / "root")
    unpack_deb(archive, root, allow_setuid=frozenset({"/usr/bin/su", "usr/bin/mount"}))
    modes = {path: value[1] for path, value in tree(root).items()}
    assert modes["usr/bin/su"] == 0o4755
    assert modes["usr/bin/mount"] == 0o4755
    assert modes["usr/bin/wall"] == 0o755
    assert (modes["var/local"], modes["tmp"], modes["root"]) == (0o775, 0o1777, 0o700)


def test_owners_other_than_root_are_told(tmp_path: Path) -> None:
    info, content = member("./usr/bin/chage", b"x", mode=0o2755)
    info.gid = 42
    control = unpack_deb(put(tmp_path, "a.deb", deb((info, content))), tmp_path / "root", allow_setuid=NONE)
    assert control.owners == (("/usr/bin/chage", 0, 42),)


def test_two_debs_may_share_directories_and_links_but_no_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    one = put(tmp_path, "one.deb", deb(directory("./d", mode=0o1777), symlink("./l", "x"), member("./d/f")))
    two = put(tmp_path, "two.deb", deb(directory("./d"), symlink("./l", "x"), member("./d/f")))
    unpack_deb(one, root, allow_setuid=NONE)
    with pytest.raises(SourceError) as raised:
        unpack_deb(two, root, allow_setuid=NONE)
    assert (raised.value.what, raised.value.why) == ("entry './d/f' of two.deb is refused", "a file is there already")
    assert tree(root)["d"][1] == 0o1777, "the usual mode does not undo another"


def test_as_a_source_a_deb_is_unpacked_with_or_without_strip(tmp_path: Path) -> None:
    archive = put(tmp_path, "hash", deb(*USUAL))
    for strip in (True, False):
        unpack(archive, tmp_path / str(strip), file_name="hello.deb", strip=strip)
        assert (tmp_path / str(strip) / "usr/bin/hello").read_bytes() == b"hello"


def test_threads_may_fill_one_root(tmp_path: Path) -> None:
    root = merged(tmp_path / "root")
    debs = [
        put(
            tmp_path,
            f"{number}.deb",
            deb(
                directory("./tmp", mode=0o1777),
                *(member(f"./bin/d{name % 7}/e{name % 3}/{number}-{name}", b"x" * name) for name in range(60)),
            ),
        )
        for number in range(12)
    ]
    with ThreadPoolExecutor(6) as pool:
        controls = list(pool.map(lambda path: unpack_deb(path, root, allow_setuid=NONE), debs))
    assert sum(len(control.paths) for control in controls) == 12 * 61
    found = tree(root)
    assert found["tmp"][1] == 0o1777
    assert sum(value[0] == "file" for value in found.values()) == 12 * 60
    assert {value[1] for path, value in found.items() if value[0] == "directory" and path != "tmp"} == {0o755}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb")
@pytest.mark.parametrize("compression", ["xz", "gzip", "none"])
def test_a_deb_made_by_dpkg_unpacks_as_dpkg_does(tmp_path: Path, compression: str) -> None:
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True, mode=0o755)
    (source / "DEBIAN/control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.invalid>\nDescription: tiny\n"
    )
    (source / "usr/bin").mkdir(parents=True)
    (source / "usr/bin/tiny").write_text("#!/bin/sh\n")
    (source / "usr/bin/tiny").chmod(0o755)
    os.link(source / "usr/bin/tiny", source / "usr/bin/twin")
    (source / "usr/bin/link").symlink_to("tiny")
    archive = tmp_path / "tiny.deb"
    build = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(source), str(archive)]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", str(archive), str(tmp_path / "theirs")], check=True, capture_output=True)
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], check=True, capture_output=True).stdout
    control = unpack_deb(archive, tmp_path / "ours", allow_setuid=NONE)
    assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")
    assert control.package == "tiny"
    (tmp_path / "list.tar").write_bytes(listing)
    with tarfile.open(tmp_path / "list.tar") as names:
        assert len(control.paths) == len(names.getnames())


def test_ar_members_with_an_underscore_are_passed_over(tmp_path: Path) -> None:
    data = deb(member("./f", b"x")) + b"_gpgorigin      0           0     0     100644  4         `\nsign"
    unpack_deb(put(tmp_path, "a.deb", data), tmp_path / "root", allow_setuid=NONE)
    assert tree(tmp_path / "root") == {"f": ("file", 0o644, b"x")}
