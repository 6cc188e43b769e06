"""`orch new` on real archives, and the walk of docs/recipes.md as a reader goes it: every command is run for real.

On the repository's own bases, which are taken from ORCH_TEST_STORE if they are there and built once if not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import REPOSITORY, Project, environment, remove

pytestmark = pytest.mark.integration

BASES = ("debian-build", "debian-runtime")
SEED = """\
name = "seed"
summary = "Stands on both bases, so that they are built"
[inputs]
build = ["debian-build"]
runtime = ["debian-runtime"]
[versions."1"]
origin = "source"
[build]
script = 'mkdir -p "$OUT/opt"; echo seed > "$OUT/opt/seed"'
[check]
script = "true"
"""
SOURCES = {
    "hello": "debian:pool/main/h/hello/hello_2.10.orig.tar.gz",
    "json-c": "debian:pool/main/j/json-c/json-c_0.16.orig.tar.gz",
    "serd": "debian:pool/main/s/serd/serd_0.30.16.orig.tar.xz",
    "six": "pypi:six/six-1.16.0-py2.py3-none-any.whl",
}


@pytest.fixture(scope="module")
def workshop(sandboxes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the repository's recipes, and a store of its own in which the bases are built."""
    directory = tmp_path_factory.mktemp("workshop")
    project = Project(root=directory / "project", store=directory / "store")
    shutil.copytree(REPOSITORY / "recipes", project.root / "recipes", symlinks=True)
    shutil.copytree(REPOSITORY / "docs/schema", project.root / "docs/schema")
    shutil.copy(REPOSITORY / "orch.toml", project.root)
    if cache := os.environ.get("ORCH_TEST_STORE"):
        _begin_with(Path(cache), project)
    project.write("seed", SEED)
    result = project.orch("build", "seed", timeout=1500)
    assert result.status == 0, result.err
    yield project
    remove(directory)


def _begin_with(cache: Path, project: Project) -> None:
    """The bases and the sources that another store has, linked where it is on the same disk; nothing else of it."""
    project.store.mkdir()
    taken = [cache / "sources"]
    for base in BASES:
        shown = project.done("show", base, "--store", str(cache), "--json").document
        if shown["state"] == "in store":
            taken += [Path(shown["path"]).parent, cache / "realisations" / f"{shown['key'].partition(':')[2]}.json"]
    how = "-al" if cache.stat().st_dev == project.store.stat().st_dev else "-a"
    for path in taken:
        if path.exists():
            target = project.store / path.relative_to(cache)
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", how, str(path), str(target)], check=True)


@pytest.mark.parametrize(
    ("name", "system", "file"),
    [
        ("hello", "autotools", "bin/hello"),
        ("json-c", "cmake", "lib/libjson-c.so.5"),
        ("serd", "meson", "bin/serdi"),
        ("six", "wheel", "python/six.py"),
    ],
)
def test_a_recipe_of_an_ordinary_archive_builds_at_once(workshop: Project, name: str, system: str, file: str) -> None:
    made = workshop.done("new", name, "--from", SOURCES[name], "--json").document
    assert (made["name"], made["system"], made["missing"]) == (name, system, [])
    result = workshop.orch("build", name, timeout=600)
    assert result.status == 0, result.err
    assert f"check passed    {name}" in result.err
    prefix = Path(result.out.strip()) / "usr/local" / name
    assert (prefix / file).exists()
    assert list((prefix / "share/licenses").iterdir())
    assert not list(prefix.rglob("*.la"))


# -- the walk of docs/recipes.md --------------------------------------------------------------------------------------


def walk() -> list[tuple[str, str]]:
    """The fenced blocks of the walk: their language and text."""
    page = (REPOSITORY / "docs/recipes.md").read_text()
    section = page.partition("\n## A recipe of your own\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def write(project: Project, text: str) -> None:
    """Do what a block with a file in it says: write the file, or replace its end."""
    head = text.partition("\n")[0]
    found = re.fullmatch(r"(?:#|//) (recipes/\S+?)(?:, from (\[\w+\]) on)?", head)
    assert found is not None, f"not a file of the walk: {head}"
    path, table = project.root / found[1], found[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    if table is None:
        path.write_text(text)
    else:
        kept, there, _ = path.read_text().partition(f"\n{table}\n")
        assert there, f"{path} has no {table}"
        path.write_text(f"{kept}\n{text.partition(chr(10))[2]}")


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it says."""
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in re.split(r"^\$ ", text, flags=re.M)[1:]]


def as_pattern(said: str) -> str:
    """What a command may say: `...` is anything, as a line of its own any lines. It may say nothing else."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, re.split(r" ?\.\.\.", line))) + "\n"
        for line in said.strip("\n").split("\n")
        if line
    ]
    return "".join(lines)


def test_the_walk_can_be_gone(workshop: Project, tmp_path: Path) -> None:
    orch = tmp_path / "bin/orch"
    orch.parent.mkdir()
    start = "from orchestrator.cli.main import entry; entry()"
    orch.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    orch.chmod(0o755)
    inside = environment(workshop.store)
    inside |= {"PATH": f"{orch.parent}:{inside['PATH']}", "COLUMNS": "80"}
    inside["PYTHONUNBUFFERED"] = "1"  # as on a terminal, where both streams come in their order
    ran = []
    for language, text in walk():
        if language != "console":
            write(workshop, text)
            continue
        for command, said in commands(text):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=workshop.root,
                env=inside,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
                check=False,
            )
            assert re.fullmatch(as_pattern(said), done.stdout), f"$ {command}\n{done.stdout}\nis not\n{said}"
            assert (done.returncode != 0) == ("\nerror: " in f"\n{said}"), f"$ {command}: {done.returncode}"
            ran.append(command.split()[:2])
    verbs = {verb for program, verb in ran if program == "orch"}
    assert {"new", "plan", "build", "log", "affected", "why"} <= verbs
