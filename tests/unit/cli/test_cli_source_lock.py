"""`orch source lock`, and sources that nobody can fetch: what is found out, what is written, what a person supplies."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_project import Cli

GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
RECIPE = "recipes/dep/recipe.toml"


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """A commit of a repository at tmp_path/remote/dep."""
    directory = tmp_path / "remote/dep"
    directory.mkdir(parents=True)
    (directory / "dep.c").write_text("int dep;\n")
    for words in (["init", "--quiet"], ["add", "dep.c"], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*GIT, *words], cwd=directory, check=True)
    found = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=directory, check=True, capture_output=True, text=True)
    return found.stdout.strip()


@pytest.fixture
def recipe(cli: Cli, tmp_path: Path, commit: str) -> str:
    """A recipe with a version from that repository and a file beside it, neither of them pinned; its text."""
    text = f"""\
name = "dep"
[inputs]
build = ["base"]

[versions.2]
origin = "source"
locked = false   # nobody has fetched it yet
unproven = "no machine here reaches its host"
sources = [
    {{ from = "git:file://{tmp_path}/remote/dep@{commit}" }},   # upstream
    {{ from = "file:extra.txt", unpack = "" }},
]

[build]
script = "make"
"""
    cli.write(RECIPE, text)
    cli.write("recipes/dep/extra.txt", "extra\n")
    return text


def test_what_a_host_gives_is_written(cli: Cli, tmp_path: Path, recipe: str, commit: str) -> None:
    refused = cli.run("plan", "dep")
    assert refused.status == 3
    assert "some hash of its sources is not known yet; no machine here reaches its host" in refused.err
    assert "orch source lock dep@2" in refused.err
    result = cli.run("source", "lock", "dep@2")
    assert result.status == 0, result.err
    sha256 = hashlib.sha256(b"extra\n").hexdigest()
    lines = result.out.splitlines()
    assert lines[0] == f"git:file://{tmp_path}/remote/dep@{commit}"
    tree = lines[1].partition("tree blake3:")[2].partition(",")[0]
    assert lines[1].endswith(f": from file://{tmp_path}/remote/dep, as the commit's id says")
    assert lines[2:] == [
        "file:extra.txt",
        f"  sha256:{sha256}, 6 B: from {cli.root}/recipes/dep/extra.txt, nobody else says so",
    ]
    assert cli.shown(result.err) == "dep 2 is locked: recipes/dep/recipe.toml\n"
    written = (cli.root / RECIPE).read_text()
    size = int(written.partition("size = ")[2].partition(" ")[0])
    expected = recipe.replace("locked = false ", "locked = true ")
    expected = expected.replace(f'dep@{commit}" }}', f'dep@{commit}", tree = "{tree}", size = {size} }}')
    expected = expected.replace('extra.txt",', f'extra.txt", sha256 = "{sha256}", size = 6,')
    assert written == expected
    again = cli.run("source", "lock", "dep@2")
    assert (again.status, again.out, again.err) == (0, "", "dep 2 was locked already\n")
    assert cli.run("plan", "dep").status == 0
    assert cli.run("source", "ls", "dep").out.splitlines()[1].startswith("here  dep")


def test_what_no_host_gives_stays_unknown(cli: Cli, tmp_path: Path, recipe: str) -> None:
    shutil.rmtree(tmp_path / "remote")
    result = cli.run("source", "lock", "dep@2")
    assert result.status == 4
    assert result.out.startswith("file:extra.txt\n")
    assert "error: cannot fetch git:file://" in result.err
    assert "where: recipes/dep/recipe.toml: versions.2.sources[0]" in result.err
    assert "run this where its host answers" in result.err
    written = (cli.root / RECIPE).read_text()
    assert "locked = false   # nobody" in written
    assert written.count("sha256") == 1
    document = cli.run("source", "lock", "dep@2", "--json").document
    assert (document["locked"], document["found"], len(document["failures"])) == (False, [], 1)
    assert document["error"] == document["failures"][0]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("dep", "not a version of a recipe: 'dep'"),
        ("dep@3", "dep has no version 3"),
        ("nobody@1", "there is no recipe 'nobody'"),
        ("base@bookworm", "base is a base: its sources are in its lock file"),
    ],
)
def test_what_cannot_be_locked(cli: Cli, recipe: str, version: str, said: str) -> None:
    result = cli.run("source", "lock", version)
    assert (result.status, result.err.splitlines()[0]) == (2, f"error: {said}")


def _locked(cli: Cli) -> str:
    """Lock dep, then forget all that was fetched; the name of its archive's tree."""
    assert cli.run("source", "lock", "dep@2").status == 0
    tree = (cli.root / RECIPE).read_text().partition('tree = "')[2][:64]
    shutil.rmtree(cli.store / "sources")
    return tree


@pytest.fixture
def by_hand(tmp_path: Path, commit: str) -> Iterator[list[Path]]:
    """What a person may bring for the commit: git's own archive, one of another tool, a bundle unpacked and packed."""
    remote = tmp_path / "remote/dep"
    made = [tmp_path / "dep.tar", tmp_path / "download (1)", tmp_path / "dep.tar.xz"]
    subprocess.run([*GIT, "archive", "--prefix=dep/", "-o", made[0], commit], cwd=remote, check=True)
    with tarfile.open(made[1], "w:gz") as tar:
        info = tarfile.TarInfo(f"dep-{commit}/dep.c")
        info.size, info.mode = 9, 0o664
        tar.addfile(info, io.BytesIO(b"int dep;\n"))
    with tarfile.open(made[2], "w:xz") as tar:
        tar.add(remote, "x", filter=lambda one: None if ".git" in one.name.split("/") else one)
    yield made


def test_a_commit_supplied_by_hand(cli: Cli, tmp_path: Path, recipe: str, by_hand: list[Path], commit: str) -> None:
    tree = _locked(cli)
    shutil.rmtree(tmp_path / "remote")
    missing = cli.run("source", "fetch", "dep")
    assert missing.status == 4
    assert f"cannot fetch dep.tar, blake3:{tree}" in missing.err
    assert f"orch source add dep.tar, made by git archive --prefix=dep/ -o dep.tar {commit}" in missing.err
    for file in by_hand:
        shutil.rmtree(cli.store / "sources")
        added = cli.run("source", "add", str(file))
        assert added.status == 0, added.err
        assert added.out == f"{file}: git:file://{tmp_path}/remote/dep@{commit}\n"
        listed = cli.run("source", "ls", "dep").out.splitlines()
        assert listed[1].startswith("here  dep")
        assert cli.run("source", "verify").status == 0


def test_another_tree_supplied_by_hand_is_a_stranger(cli: Cli, tmp_path: Path, recipe: str) -> None:
    tree = _locked(cli)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/dep.c").write_text("int other;\n")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "x", "x")
    result = cli.run("source", "add", str(tmp_path / "other.tar"))
    assert result.status == 2
    assert "and unpacks to the tree blake3:" in result.err
    assert tree not in result.err
    assert not list((cli.store / "sources/sha256").iterdir())
