"""The lock of a base: apt's answer, from one suite, as lines that name no host."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import MachineError, RecipeError
from orchestrator.fetch.debian_lock import lock_base, read_index
from orchestrator.recipe.lock import parse_lock, write_lock

MADE = "2026-11-22"
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")


def machine_mirror(suite: str) -> str:
    """The archive's root that this machine's own apt reads `suite` from, else skip."""
    form = "$(SITE) $(CODENAME) $(COMPONENT)"
    targets = subprocess.run(["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=False)
    for line in targets.stdout.splitlines():
        site, *rest = line.split()
        if rest == [suite, "main"]:
            return site
    pytest.skip(f"this machine's apt does not read {suite}")


@pytest.fixture
def unsigned(tmp_path: Path) -> str:
    """An archive of one package, whole but for the signature."""
    folder = tmp_path / "archive/dists/bookworm/main/binary-amd64"
    folder.mkdir(parents=True)
    packages = "Package: tiny\nVersion: 1\nArchitecture: amd64\nFilename: pool/tiny.deb\nSize: 1\nSHA256: 00\n\n"
    (folder / "Packages").write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    (folder.parents[1] / "Release").write_text(
        "Codename: bookworm\nSuite: bookworm\nComponents: main\nArchitectures: amd64\n"
        f"SHA256:\n {digest} {len(packages)} main/binary-amd64/Packages\n"
    )
    return f"file:{tmp_path}/archive"


def test_an_index_is_read_as_paragraphs_without_continuation_lines(tmp_path: Path) -> None:
    index = tmp_path / "Packages"
    index.write_text("Package: a\nDescription: x\n more: text\nVersion: 1:2\n\n\nPackage: b\nEssential: yes\n")
    assert list(read_index(index)) == [
        {"Package": "a", "Description": "x", "Version": "1:2"},
        {"Package": "b", "Essential": "yes"},
    ]


@pytest.mark.parametrize(
    ("suite", "packages", "architecture", "mirror", "what"),
    [
        ("book worm", ["gcc"], "amd64", "http://mirror.invalid/debian", "not a suite: 'book worm'"),
        ("bookworm", ["gcc", "-oDir=/"], "amd64", "http://mirror.invalid/debian", "not a package: '-oDir=/'"),
        ("bookworm", ["gcc"], 'x"; ', "http://mirror.invalid/debian", "not a platform: 'x\"; '"),
        ("bookworm", ["gcc"], "amd64", "http://mirror.invalid/ [trusted=yes]", "not a mirror: "),
    ],
)
def test_what_is_no_plain_word_never_reaches_apt(
    suite: str, packages: list[str], architecture: str, mirror: str, what: str
) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(what)}"):
        lock_base(suite, packages, architecture, mirror, made=MADE)


def test_without_apt_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as caught:
        lock_base("bookworm", ["bash"], "amd64", "http://mirror.invalid/debian", made=MADE)
    assert caught.value.what == "locking a base needs apt, and this machine has none"
    assert "building from the lock needs no apt" in caught.value.hint


@needs_apt
def test_an_archive_that_nobody_signed_is_refused(unsigned: str) -> None:
    with pytest.raises(MachineError) as caught:
        lock_base("bookworm", ["tiny"], "amd64", unsigned, made=MADE)
    assert caught.value.what == "apt cannot read the package lists"
    assert caught.value.where == unsigned
    assert "is not signed" in caught.value.why


@needs_apt
def test_a_password_in_the_mirror_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        lock_base("bookworm", ["tiny"], "amd64", "http://user:hunter2@127.0.0.1:9/debian", made=MADE)
    assert "hunter2" not in str(caught.value.document())


@needs_apt
@pytest.mark.integration
def test_a_small_base_is_locked_and_the_lock_reads_back() -> None:
    mirror = machine_mirror("bookworm")
    lock = lock_base("bookworm", ["zlib1g", "usr-is-merged"], "amd64", mirror, made=MADE)
    debs = {deb.name: deb for deb in lock.debs}
    assert {"zlib1g", "usr-is-merged", "libc6", "dpkg", "bash", "perl-base"} <= debs.keys()  # the Essential ones too
    assert not {"usrmerge", "perl", "gcc", "apt"} & debs.keys()
    assert all(deb.path.startswith("pool/main/") and len(deb.sha256) == 64 for deb in lock.debs)
    text = write_lock(lock)
    assert parse_lock(text, "x") == lock
    assert mirror.partition("//")[2].partition("/")[0] not in text
    again = lock_base("bookworm", ["zlib1g", "usr-is-merged"], "amd64", mirror, made=MADE)
    assert write_lock(again) == text


@needs_apt
@pytest.mark.integration
def test_a_package_that_the_suite_does_not_have_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        lock_base("bookworm", ["bash", "no-such-package"], "amd64", machine_mirror("bookworm"), made=MADE)
    assert caught.value.what == "apt cannot choose the packages from bookworm"
    assert caught.value.why == "Unable to locate package no-such-package"
