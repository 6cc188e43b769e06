"""Recipes and records that are remembered change no answer: whatever is done to a project, a plan, a key or an error is
the one that is found with nothing remembered."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_project import Cli, InProcess

from orchestrator.cli import answers
from orchestrator.digest import blake3_bytes, key_of
from orchestrator.digest.looks import YOUNG
from orchestrator.graph.keys import derivation_document, derivation_keys
from orchestrator.graph.options import parse_settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import Recipe, find_project, load, load_recipes
from orchestrator.store import Realisation, open_store, write_realisation

LIB, APP = "recipes/lib/recipe.toml", "recipes/app/recipe.toml"


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process began long after all that was done to files so far."""
    monkeypatch.setattr(answers, "BEGAN", time.time_ns() + 1000 * YOUNG)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recipes that are really read."""
    names: list[str] = []
    truly = load.load_recipe

    def counted(path: Path, *rest: object, **options: object) -> Recipe:
        names.append(path.parent.name)
        return truly(path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "load_recipe", counted)
    return names


@pytest.fixture
def project(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """All that app needs is built."""
    cli.write("recipes/lib/fix.patch", "--- a\n")
    cli.write("recipes/lib/sub/helper.sh", "echo help\n")
    cli.edit(LIB, 'flags = ["--prefix', 'patches = ["fix.patch"]\nflags = ["--prefix')
    cli.edit(LIB, '[build]\nscript = "make"', '[build]\nfiles = ["sub/helper.sh"]\nscript = "make"')
    monkeypatch.setenv("COLUMNS", "200")
    build(cli)
    later(monkeypatch)
    return cli


def build(cli: Cli) -> None:
    found = find_project(cli.root)
    recipes = load_recipes(found)
    graph = resolve(recipes, found.options, ("app",), parse_settings((), recipes, found.options), "x86_64-linux")
    layout = open_store(cli.store)
    keys = derivation_keys(graph)
    outputs = {node.name: blake3_bytes(node.name.encode()) for node in graph.nodes}
    for node in graph.nodes:
        home = layout.object(outputs[node.name])
        (home / "tree").mkdir(parents=True)
        (home / "manifest.json").write_text("{}\n")
        for kind, inputs in (("derivation", keys), ("build", outputs)):
            document = derivation_document(node, inputs)
            write_realisation(
                layout,
                Realisation(
                    key=key_of(document),
                    kind="derivation" if kind == "derivation" else "build",
                    name=node.name,
                    version=node.version,
                    document=document,
                    output=outputs[node.name],
                    seconds=1.0,
                    finished=1.0,
                ),
            )


def forget(cli: Cli) -> None:
    for file in (cli.store / "index").iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def asked(in_process: InProcess, *words: str) -> list[tuple[int, str]]:
    """What the commands say that plan and show: reasons, keys, errors."""
    return [in_process(*verb, *words, "--json") for verb in (("plan", "app"), ("build", "--dry-run", "app", "tool"))]


def same_size_and_time(cli: Cli) -> None:
    file = cli.root / LIB
    before = file.stat()
    cli.edit(LIB, "--fast", "--last")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def older(cli: Cli) -> None:
    new = cli.root / "new"
    new.write_text((cli.root / LIB).read_text().replace("make", "cmake"))
    os.utime(new, (1, 1))
    new.replace(cli.root / LIB)


def turned(cli: Cli) -> None:
    """The helper is the same file, but no longer below the recipe."""
    (cli.root / "recipes/lib/sub").rename(cli.root / "elsewhere")
    (cli.root / "recipes/lib/sub").symlink_to(cli.root / "elsewhere")


def link_to_another(cli: Cli) -> None:
    patch = cli.root / "recipes/lib/fix.patch"
    patch.rename(cli.root / "recipes/lib/old.patch")
    cli.write("recipes/lib/new.patch", "--- other\n")
    patch.symlink_to("new.patch")


def another_directory(cli: Cli) -> None:
    (cli.root / "recipes/lib").rename(cli.root / "old")
    shutil.copytree(cli.root / "old", cli.root / "recipes/lib")
    cli.edit(LIB, "make", "cmake")


CHANGES: dict[str, Callable[[Cli], object]] = {
    "nothing": lambda cli: None,
    "a script": lambda cli: cli.edit(LIB, "make", "cmake"),
    "a summary": lambda cli: cli.edit(LIB, "A library", "The library"),
    "same size and time": same_size_and_time,
    "replaced by an older file": older,
    "the goal": lambda cli: cli.edit(APP, "make", "cmake"),
    "a patch": lambda cli: cli.write("recipes/lib/fix.patch", "--- b\n"),
    "a patch is gone": lambda cli: (cli.root / "recipes/lib/fix.patch").unlink(),
    "a helper": lambda cli: cli.write("recipes/lib/sub/helper.sh", "echo other\n"),
    "a helper may be run": lambda cli: (cli.root / "recipes/lib/sub/helper.sh").chmod(0o755),
    "a helper lies elsewhere": turned,
    "a patch is a link": link_to_another,
    "a local source": lambda cli: cli.write("recipes/lib/lib.txt", "other\n"),
    "a lock": lambda cli: cli.edit("recipes/base/base.lock", "cdcd", "abab"),
    "a lock is broken": lambda cli: cli.edit("recipes/base/base.lock", "cdcd", ""),
    "a lock is gone": lambda cli: (cli.root / "recipes/base/base.lock").unlink(),
    "an input": lambda cli: cli.edit(APP, 'build = ["base", "lib"]', 'build = ["base", "lib", "tool"]'),
    "a wrong field": lambda cli: cli.edit(LIB, "reads", "raeds"),
    "no TOML": lambda cli: cli.edit(LIB, "=", ""),
    "a recipe is gone": lambda cli: shutil.rmtree(cli.root / "recipes/lib"),
    "a recipe is there": lambda cli: shutil.copytree(cli.root / "recipes/lib", cli.root / "recipes/more"),
    "another directory": another_directory,
    "a version's order": lambda cli: cli.edit(APP, 'versions."1.1"', 'versions."1.2"'),
    "a default": lambda cli: cli.edit(LIB, 'default = "off"', 'default = "on"'),
    "a global option": lambda cli: cli.edit("orch.toml", 'default = "12"', 'default = "13"'),
    "an option's values": lambda cli: cli.edit("orch.toml", '"13"]', '"14"]'),
    "an option is gone": lambda cli: cli.write("orch.toml", ""),
    "a record": lambda cli: [file.unlink() for file in (cli.store / "realisations").glob("*.json")][:0],
    "a record is damaged": lambda cli: [f.write_bytes(b"x") for f in (cli.store / "realisations").glob("*.json")][:0],
    "an object": lambda cli: [shutil.rmtree(file) for file in (cli.store / "objects").iterdir()][:0],
    "half an object": lambda cli: [file.rmdir() for file in (cli.store / "objects").glob("*/tree")][:0],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_as_with_nothing_remembered(
    change: Callable[[Cli], object], project: Cli, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asked(in_process)
    time.sleep(0.02)
    assert before[0][0] == 0
    assert {file.name.partition("-")[0] for file in (project.store / "index").iterdir()} >= {"recipes", "outputs"}
    change(project)
    kept = shutil.copytree(project.store / "realisations", project.store.parent / "kept")
    remembered = asked(in_process)
    shutil.rmtree(project.store / "realisations")  # a damaged record is put aside by the first that sees it
    kept.rename(project.store / "realisations")
    later(monkeypatch)
    forget(project)
    assert remembered == asked(in_process)
    later(monkeypatch)
    assert remembered == asked(in_process)


@pytest.mark.parametrize("words", ["--set cuda=13", "--set lib.fast=on", "--set lib.version=1.0", "--set lib.fast=no"])
def test_options_are_no_part_of_what_is_remembered(words: str, project: Cli, in_process: InProcess) -> None:
    asked(in_process)
    remembered = asked(in_process, *words.split(" "))
    forget(project)
    assert remembered == asked(in_process, *words.split(" "))


@pytest.mark.usefixtures("project")
def test_only_what_changed_is_read(
    cli: Cli, read: list[str], in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(in_process)
    assert sorted(set(read)) == ["app", "base", "lib", "tool"]
    read.clear()
    said = asked(in_process)
    assert (read, said[0][0]) == ([], 0)
    time.sleep(0.02)
    cli.edit(LIB, "make", "cmake")
    monkeypatch.setattr(answers, "BEGAN", time.time_ns())
    assert asked(in_process) == asked(in_process) != said
    assert read == ["lib"] * 4  # it is young: each looks again
    read.clear()
    later(monkeypatch)
    assert asked(in_process) == asked(in_process) != said
    assert read == ["lib"]


@pytest.mark.usefixtures("project")
def test_with_another_orch_all_is_read_again(
    read: list[str], in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asked(in_process)
    read.clear()
    _, newest = answers.code()
    monkeypatch.setattr(answers, "code", lambda: (b"other", newest))
    assert asked(in_process) == said
    assert sorted(read) == ["app", "base", "lib", "tool"]
    read.clear()
    monkeypatch.setattr(answers, "code", lambda: (b"new", answers.BEGAN))  # changed just now: nothing is believed
    assert asked(in_process) == said
    assert set(read) == {"app", "base", "lib", "tool"}


@pytest.mark.usefixtures("project")
def test_a_directory_that_is_no_store_is_not_written_to(cli: Cli, in_process: InProcess) -> None:
    (cli.root / "site/index").mkdir(parents=True)
    cli.write("site/page.html", "hello")
    assert in_process("plan", "app", "--store", "site")[0] == 4
    assert list((cli.root / "site/index").iterdir()) == []
