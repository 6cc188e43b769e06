"""Stage 0 of a base: tiny real .debs unpacked, and a dpkg database that dpkg itself can go on with."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.build.base import unpack_base
from orchestrator.errors import SourceError

CONTROL = """\
Package: {name}
Version: 1.0-1
Architecture: amd64
Maintainer: Nobody <nobody@example.invalid>
{more}Description: a package
 of two lines
"""
EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def tar(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents}
        for folder in sorted(folders, key=lambda folder: Path(folder).parts):
            entry = tarfile.TarInfo("./" if folder == "." else f"./{folder}/")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, (mode, content) in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def make_deb(
    folder: Path,
    name: str,
    files: Mapping[str, tuple[int, bytes]],
    *,
    more: str = "",
    members: Mapping[str, bytes] | None = None,
) -> Path:
    control = {"control": (0o644, CONTROL.format(name=name, more=more).encode())}
    control |= {member: (0o755, content) for member, content in (members or {}).items()}
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": tar(control), "data.tar.xz": tar(files)}
    deb = folder / f"{name}.deb"
    with deb.open("wb") as out:
        out.write(b"!<arch>\n")
        for part, content in parts.items():
            out.write(f"{part:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))
    return deb


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def any_umask() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


def database(root: Path) -> Path:
    return root / "var/lib/dpkg"


def stanza(root: Path, name: str) -> str:
    paragraphs = (database(root) / "status").read_text().split("\n\n")
    return next(p for p in paragraphs if p.startswith(f"Package: {name}\n"))


def test_top_level_directories_are_links_into_usr_and_lists_keep_the_archives_paths(tmp_path: Path, root: Path) -> None:
    deb = make_deb(tmp_path, "tool", {"bin/tool": (0o755, b"#!/bin/sh\n"), "lib64/x": (0o644, b"")})
    (control,) = unpack_base([deb], root)
    assert {name: str((root / name).readlink()) for name in ("bin", "sbin", "lib", "lib64")} == {
        name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")
    }
    assert (root / "usr/bin/tool").stat().st_mode & 0o777 == 0o755
    assert control.package == "tool"
    assert (database(root) / "info/tool.list").read_text() == "/.\n/bin\n/lib64\n/bin/tool\n/lib64/x\n"


def test_the_status_file_is_sorted_and_says_unpacked(tmp_path: Path, root: Path) -> None:
    debs = [make_deb(tmp_path, name, {f"usr/share/{name}": (0o644, b"")}) for name in ("zeta", "alpha")]
    unpack_base(debs, root)
    text = (database(root) / "status").read_text()
    assert text.index("Package: alpha") < text.index("Package: zeta")
    assert text.endswith("\n\n")
    assert stanza(root, "alpha").splitlines() == [
        "Package: alpha",
        "Version: 1.0-1",
        "Architecture: amd64",
        "Maintainer: Nobody <nobody@example.invalid>",
        "Description: a package",
        " of two lines",
        "Status: install ok unpacked",
    ]


def test_conffiles_carry_the_hash_of_what_lies_there(tmp_path: Path, root: Path) -> None:
    listed = b"/etc/tool.conf\nremove-on-upgrade /etc/gone.conf\n"
    deb = make_deb(tmp_path, "tool", {"etc/tool.conf": (0o644, b"")}, members={"conffiles": listed})
    unpack_base([deb], root)
    assert (
        stanza(root, "tool")
        .rstrip("\n")
        .endswith(f"\nConffiles:\n /etc/tool.conf {EMPTY_MD5}\n /etc/gone.conf newconffile remove-on-upgrade")
    )


def test_a_conffile_of_another_package_is_refused(tmp_path: Path, root: Path) -> None:
    one = make_deb(tmp_path, "one", {"etc/one.conf": (0o644, b"")})
    two = make_deb(tmp_path, "two", {"etc/two.conf": (0o644, b"")}, members={"conffiles": b"/etc/one.conf\n"})
    with pytest.raises(SourceError, match=r"^two lists the conffile /etc/one\.conf, which is no file of its own$"):
        unpack_base([one, two], root)


def test_two_debs_of_one_package_are_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "other").mkdir()
    one = make_deb(tmp_path, "one", {"usr/share/a": (0o644, b"")})
    other = make_deb(tmp_path / "other", "one", {"usr/share/b": (0o644, b"")})
    with pytest.raises(SourceError, match=r"^two \.debs of the package one$"):
        unpack_base([one, other], root)


def test_a_package_for_several_architectures_has_its_own_in_file_names(tmp_path: Path, root: Path) -> None:
    members = {"postinst": b"#!/bin/sh\n", "md5sums": b"", "triggers": b"# all of it\nactivate-noawait ldconfig\n"}
    deb = make_deb(tmp_path, "lib", {"usr/lib/x": (0o644, b"")}, more="Multi-Arch: same\n", members=members)
    unpack_base([deb], root)
    info = database(root) / "info"
    modes = {path.name: path.stat().st_mode & 0o777 for path in info.iterdir()}
    assert modes == {
        "format": 0o644,
        "lib:amd64.list": 0o644,
        "lib:amd64.md5sums": 0o644,
        "lib:amd64.postinst": 0o755,
        "lib:amd64.triggers": 0o644,
    }
    assert (info / "format").read_text() == "1\n"


def test_interests_in_triggers_are_spelt_as_dpkg_spells_them(tmp_path: Path, root: Path) -> None:
    one = {"triggers": b"interest-noawait /usr/share/x\ninterest-await ldconfig\n"}
    two = {"triggers": b"interest /usr/share/x # why\ninterest-noawait ldconfig\nactivate other\n"}
    debs = [
        make_deb(tmp_path, "one", {"usr/share/one": (0o644, b"")}, members=one),
        make_deb(tmp_path, "two", {"usr/share/two": (0o644, b"")}, members=two),
    ]
    unpack_base(debs, root)
    triggers = database(root) / "triggers"
    assert {path.name: path.read_text() for path in triggers.iterdir()} == {
        "File": "/usr/share/x one/noawait\n/usr/share/x two\n",
        "Unincorp": "",
        "ldconfig": "one\ntwo/noawait\n",
    }


@pytest.mark.usefixtures("any_umask")
def test_modes_do_not_depend_on_the_callers_umask(tmp_path: Path, root: Path) -> None:
    root.chmod(0o755)
    unpack_base([make_deb(tmp_path, "one", {"usr/share/one/file": (0o644, b"")})], root)
    for folder, names, files in os.walk(root):
        for path in (Path(folder, name) for name in (*names, *files)):
            if not path.is_symlink():
                assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_setuid_is_kept_only_where_it_is_allowed(tmp_path: Path, root: Path) -> None:
    deb = make_deb(tmp_path, "su", {"usr/bin/su": (0o4755, b""), "usr/bin/doas": (0o4755, b"")})
    unpack_base([deb], root, allow_setuid=frozenset({"/usr/bin/su"}))
    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o4755
    assert (root / "usr/bin/doas").stat().st_mode & 0o7777 == 0o755


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_dpkg_goes_on_where_this_stops(tmp_path: Path, root: Path) -> None:
    """Dependencies configured first, conffiles settled without a question, triggers run, nothing left to audit."""
    script = b'#!/bin/sh\necho "$DPKG_MAINTSCRIPT_PACKAGE $*" >> "$DPKG_ROOT/ran"\n'
    first = make_deb(
        tmp_path,
        "first",
        {"usr/share/first": (0o644, b"")},
        more="Depends: second\n",
        members={"postinst": script, "md5sums": b""},
    )
    second = make_deb(
        tmp_path,
        "second",
        {"etc/second.conf": (0o644, b"")},
        more="Multi-Arch: same\n",
        members={
            "postinst": script,
            "md5sums": b"",
            "conffiles": b"/etc/second.conf\n",
            "triggers": b"activate-noawait mark\n",
        },
    )
    third = make_deb(
        tmp_path,
        "third",
        {"usr/share/third": (0o644, b"")},
        members={"postinst": script, "md5sums": b"", "preinst": b"#!/bin/sh\nexit 1\n", "triggers": b"interest mark\n"},
    )
    unpack_base([first, second, third], root)
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-script-chrootless", "--force-architecture"]
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(
        [*dpkg, "--configure", "-a"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ran = (root / "ran").read_text().splitlines()
    assert ran.index("second configure ") < ran.index("first configure ")
    assert "third triggered mark" in ran
    status = (database(root) / "status").read_text()
    assert status.count("Status: install ok installed\n") == 3
    assert f"\n /etc/second.conf {EMPTY_MD5}\n" in status
    assert [path.name for path in (root / "etc").iterdir()] == ["second.conf"]
    audit = subprocess.run([*dpkg, "--audit"], env=environment, capture_output=True, text=True, check=True)
    assert audit.stdout == ""
