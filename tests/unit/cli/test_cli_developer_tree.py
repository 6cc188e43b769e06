"""`--source NAME=DIR`: what counts of a developer's own tree, where it shows, and what is refused of it."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import pytest
from asking import Asking
from cli_project import REPOSITORY, Cli

from orchestrator.cli.opening import open_project
from orchestrator.graph.closure import closure_key
from orchestrator.graph.derivation import Graph
from orchestrator.graph.keys import derivation_keys
from orchestrator.store import ClosureItem, Goal, Layout, open_store, publish_tree, staging, write_goal
from orchestrator.tree import scan

GIT = "recipes/lib/recipe.toml"


@pytest.fixture
def tree(cli: Cli, tmp_path: Path) -> Path:
    """Somebody's clone of lib, which the recipe takes as an unpacked archive."""
    cli.edit(GIT, 'unpack = ""\n', 'unpack = "lib"\n')
    own = tmp_path / "own"
    (own / ".git").mkdir(parents=True)
    (own / "src").mkdir()
    (own / "src/lib.c").write_text("int lib;\n")
    return own


def key(cli: Cli, tree: Path, name: str = "lib") -> str:
    shown = cli.run("show", name, "--source", f"lib={tree}", "--json")
    assert shown.status == 0, shown.err
    return str(shown.document["key"])


def test_what_changes_the_key_and_what_does_not(cli: Cli, tree: Path) -> None:
    before = key(cli, tree)
    assert before != cli.run("show", "lib", "--json").document["key"]
    os.utime(tree / "src/lib.c", (1, 1))
    (tree / "src/lib.c").chmod(0o600)
    (tree / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tree / "src/.git").write_text("gitdir: elsewhere\n")
    assert key(cli, tree) == before, "touched, another mode for others, and git's own"
    other = tree.parent / "another place"
    tree.rename(other)
    assert key(cli, other) == before
    (other / "src/lib.c").chmod(0o755)
    executable = key(cli, other)
    (other / "src/lib.c").write_text("int lib = 1;\n")
    edited = key(cli, other)
    (other / "src/ignored.o").write_text("")
    assert len({before, executable, edited, key(cli, other)}) == 4, "what git ignores counts too"


def test_it_is_dirty_wherever_it_shows(cli: Cli, tree: Path) -> None:
    """With all that is built with it."""
    plan = cli.run("plan", "app", "--source", f"lib={tree}", "--json").document
    assert {step["name"]: step["origin"] for step in plan["steps"]} == {
        "base": "vendor", "lib": "dirty", "app": "dirty",
    }  # fmt: skip
    assert any(fetch["source"] == f"dir:{tree}" for fetch in plan["fetch"])
    shown = cli.run("show", "lib", "--source", f"lib={tree}")
    assert shown.out.startswith("lib 2.0 (dirty): A library\n")
    assert f"source    dir:{tree}" in shown.out
    said = cli.run("plan", "app", "--source", f"lib={tree}").out
    assert "lib 2.0        dirty" in said


def test_a_version_that_is_not_locked_can_be_built_from_a_tree(cli: Cli, tree: Path) -> None:
    words = ("lib", "--set", "lib.version=3.0")
    refused = cli.run("plan", *words)
    assert refused.status == 3
    assert "orch source lock lib@3.0 completes it where its hosts answer" in refused.err
    assert cli.run("plan", *words, "--source", f"lib={tree}").status == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["lib", "--source", "lib"], 2, "not a source: 'lib'"),
        (["lib", "--source", "lib=TREE", "--source", "lib=."], 2, "lib has two sources"),
        (["tool", "--source", "lib=TREE"], 2, "tool is not made of lib"),
        (["lib", "--source", "lib=/nowhere/at/all"], 2, "no directory /nowhere/at/all"),
        (["tool", "--source", "tool=TREE"], 3, "tool 1 is not built from a source tree"),
        (["base", "--source", "base=TREE"], 3, "base bookworm is not built from a source tree"),
    ],
)
def test_what_is_refused(cli: Cli, tree: Path, words: list[str], status: int, said: str) -> None:
    result = cli.run("plan", *(word.replace("TREE", str(tree)) for word in words))
    assert (result.status, result.err.splitlines()[0]) == (status, f"error: {said}")


def test_what_no_source_may_hold(cli: Cli, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    result = cli.run("plan", "lib", "--source", f"lib={tree}")
    assert result.status == 3
    assert "pipe is a fifo" in result.err
    assert str(tree) in result.err


def test_no_saved_answer_is_given_for_a_tree_that_may_have_changed(
    cli: Cli, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the goal is finished and a command without `--source` is answered at once."""
    asking = Asking(cli=cli, code=REPOSITORY)
    monkeypatch.chdir(cli.root)
    for own in ([], [f"lib={tree}"]):
        opened = open_project(Namespace(store=cli.store, own_sources=own))
        finish(open_store(cli.store), opened.graph(["lib"], []))
    asking.settle("build", "lib")
    words = ("build", "lib", "--source", f"lib={tree}")
    assert not any(asking.ask(*words).saved for _ in range(3))


def finish(layout: Layout, graph: Graph) -> None:
    """Record that a goal was built, as a build does, without one."""
    with staging(layout, "test") as stage:
        (stage / "tree").mkdir()
        (stage / "tree/file").write_text("built\n")
        digest = publish_tree(layout, stage / "tree", scan(stage / "tree"))
    keys = derivation_keys(graph)
    (goal,) = graph.goals
    names = (goal, *graph[goal].runtime)
    items = tuple(ClosureItem(name, graph[name].version, graph[name].origin, digest) for name in names)
    key = closure_key(graph, goal, keys)
    write_goal(layout, Goal(key=key, goal=goal, options=(), output=digest, closure=items))
