"""Meson as upstream projects use it: a real library, and a project that takes it as a wrap, offline; from a commit of
git, from an archive supplied by hand, and from a developer's own tree. On the repository's own build base."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import REPOSITORY, Project, remove

pytestmark = pytest.mark.integration

SERD = "f50f486da519cdd8d03b20c9e42414e459133f5a244411d8e63caef8d9ac9146"
INPUTS = """
[inputs]
build = ["debian-build", "meson"]
runtime = ["debian-runtime"]
"""
LIBRARY = f"""\
name = "serd"
{INPUTS}
[versions."0.30.16"]
origin = "source"
flags = ["-Ddocs=disabled", "-Dtests=disabled"]
sources = [{{ from = "debian:pool/main/s/serd/serd_0.30.16.orig.tar.xz", sha256 = "{SERD}", size = 173932 }}]
[runtime]
ldconf = ["/usr/local/serd/lib"]
[build]
script = '''
phase configure
meson setup build --prefix=/usr/local/serd --libdir=lib --buildtype=release --wrap-mode=nodownload "${{flags[@]}}"
phase build
ninja -C build -j"$ORCH_CORES"
phase install
DESTDIR="$OUT" meson install -C build --no-rebuild --strip
'''
[check]
script = '''
/usr/local/serd/bin/serdi -v | grep -F "$version"
echo '<a:b> <a:c> "d" .' | /usr/local/serd/bin/serdi - | grep -F '<a:c>'
'''
"""
WITH_WRAP = f"""\
name = "reader"
{INPUTS}
[versions.1]
origin = "source"
flags = ["-Dplugins=one,two"]
sources = [
    {{ from = "SOURCE", tree = "TREE" }},
    {{ from = "debian:pool/main/s/serd/serd_0.30.16.orig.tar.xz", sha256 = "{SERD}", unpack = "" }},
]
[build]
script = '''
phase wraps
mkdir -p subprojects/packagecache
cp /build/serd_0.30.16.orig.tar.xz subprojects/packagecache/serd-0.30.16.tar.xz
phase configure
meson setup build --prefix=/usr/local/reader --buildtype=release --wrap-mode=nodownload "${{flags[@]}}"
phase build
ninja -C build -j"$ORCH_CORES"
phase install
DESTDIR="$OUT" meson install -C build --no-rebuild --strip --skip-subprojects
phase plugins
for flag in "${{flags[@]}}"; do
    if [[ $flag == -Dplugins=* ]]; then
        names=${{flag#*=}}
        for name in ${{names//,/ }}; do ls "$OUT/usr/local/reader/plugins/lib$name.so"; done
    fi
done
'''
[check]
script = '''
/usr/local/reader/bin/reader
'''
"""
PROJECT = {
    "meson.build": """\
project('reader', 'c', version: '1', meson_version: '>= 1.9')
serd = dependency('serd-0', fallback: ['serd', 'serd_dep'], default_options: ['default_library=static', 'docs=disabled',
                                                                              'tests=disabled', 'tools=disabled'])
executable('reader', 'reader.c', dependencies: serd, install: true)
foreach name : get_option('plugins').split(',')
  if name == 'one'      # of any other nothing is said, as in projects that skip what they cannot build
    shared_module(name, 'one.c', install: true, install_dir: get_option('prefix') / 'plugins')
  endif
endforeach
""",
    "meson_options.txt": "option('plugins', type: 'string', value: 'one')\n",
    "one.c": "int one(void) { return 1; }\n",
    "reader.c": """\
#include <serd/serd.h>
#include <stdio.h>
int main(void) { puts((const char *)serd_strerror(SERD_SUCCESS)); return 0; }
""",
    "subprojects/serd.wrap": f"""\
[wrap-file]
directory = serd-0.30.16
source_url = https://example.invalid/serd-0.30.16.tar.xz
source_filename = serd-0.30.16.tar.xz
source_hash = {SERD}
[provide]
serd-0 = serd_dep
""",
}


@pytest.fixture
def project(sandboxes: None, tmp_path: Path) -> Iterator[Project]:
    """The repository's bases and its meson, with the store that ORCH_TEST_STORE names or an empty one."""
    root, own = tmp_path / "project", tmp_path / "store"
    for name in ("debian-build", "debian-runtime", "meson"):
        shutil.copytree(REPOSITORY / "recipes" / name, root / "recipes" / name)
    (root / "orch.toml").write_text("")
    yield Project(root=root, store=Path(os.environ.get("ORCH_TEST_STORE") or own))
    if own.exists():
        remove(own)


def git(directory: Path, *words: str) -> str:
    own = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *own, *words], cwd=directory, check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(directory: Path) -> str:
    """The project in a repository of git; its commit."""
    unlike_any_other = {"README": os.urandom(8).hex()}  # the store may be one that is kept
    for name, text in (PROJECT | unlike_any_other).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "-m", "one")
    return git(directory, "rev-parse", "HEAD")


def test_a_real_meson_project(project: Project) -> None:
    project.write("serd", LIBRARY)
    result = project.orch("build", "serd", timeout=1500)
    assert result.status == 0, result.err
    prefix = Path(result.out.strip()) / "usr/local/serd"
    assert (prefix / "lib/libserd-0.so.0").resolve().read_bytes()[:4] == b"\x7fELF"
    again = project.orch("build", "serd", "--rebuild", timeout=600)
    assert again.status == 0, again.err


def test_a_commit_with_a_wrap_and_a_developers_own_tree(project: Project, tmp_path: Path) -> None:
    """Locked where the host answers, then built where it does not: from an archive that a person brings."""
    remote = tmp_path / "remote/reader"
    commit = repository(remote)
    name = f"git:file://{remote}@{commit}"
    text = WITH_WRAP.replace("SOURCE", name)
    project.write("reader", text.replace(', tree = "TREE"', "").replace("[versions.1]", "[versions.1]\nlocked = false"))
    project.done("source", "lock", "reader@1")
    assert "locked = true" in project.recipe("reader").read_text()
    tree = project.recipe("reader").read_text().partition('tree = "')[2][:64]

    archive = tmp_path / "what a person brings"
    git(remote, "archive", "--format=tar.gz", "--prefix=any-name/", "-o", str(archive), commit)
    remote.rename(tmp_path / "gone")
    for stored in (project.store / "sources/tree").glob(f"{tree}*"):
        stored.unlink()
    refused = project.orch("build", "reader", timeout=1500)
    assert refused.status == 4
    assert f"cannot fetch reader.tar, blake3:{tree}" in refused.err
    assert project.done("source", "add", str(archive)).out == f"{archive}: {name}\n"

    skipped = project.orch("build", "reader", timeout=600)
    assert skipped.status == 1, "a plugin that was asked for and is not there is an error"
    assert "cannot access '/out/usr/local/reader/plugins/libtwo.so'" in skipped.err
    project.edit("reader", "plugins=one,two", "plugins=one")
    result = project.orch("build", "reader", timeout=600)
    assert result.status == 0, result.err
    clean = result.out

    project.edit("reader", "cp /build/serd", ": cp /build/serd")
    offline = project.orch("build", "reader", timeout=600)
    assert offline.status == 1, "a wrap that is no declared source is not downloaded"
    project.edit("reader", ": cp /build/serd", "cp /build/serd")

    own = tmp_path / "gone"
    source = f"reader={own}"
    shown = project.done("plan", "reader", "--source", source, "--json").document
    assert [step["origin"] for step in shown["steps"] if step["name"] == "reader"] == ["dirty", "dirty"]
    dirty = project.orch("build", "reader", "--source", source, timeout=600)
    assert dirty.status == 0, dirty.err
    assert dirty.err.endswith("dirty: reader\n")
    assert dirty.out == clean, "the same files, so the same output"
    (own / "one.c").write_text("int one(void) { return 2; }\n")
    edited = project.orch("build", "reader", "--source", source, timeout=600)
    assert edited.status == 0, edited.err
    assert edited.out != clean
    assert project.done("build", "reader", "--source", source, "--json").document["outcomes"] == {}
    assert project.done("build", "reader").out == clean, "what is asked for without it is what was locked"
    assert project.done("show", "reader").out.startswith("reader 1 (source)")
