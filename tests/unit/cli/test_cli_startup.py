"""What a question costs before it is asked: modules that are for work alone are not imported for an answer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli_project import REPOSITORY, Cli

WORK = {"asyncio", "concurrent.futures", "requests", "rich", "sh", "orchestrator.build.realise", "orchestrator.fetch"}
READING = {"pydantic", "packaging", "tomllib"}
UNUSED = {"statistics", "shutil", "packaging", "orchestrator.events", "orchestrator.sandbox.spec"} | {
    f"orchestrator.{name}" for name in ("tree.manifest", "store.builds", "store.images", "store.blobs")
}
COUNTED = (
    "import json, sys\nfrom orchestrator.cli.main import run\nstatus = 0\n"
    "try:\n    status = run(json.loads(sys.argv[1]))\nexcept SystemExit as end:\n    status = end.code or 0\n"
    "print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)\n"
)


def imported(cli: Cli, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, json.dumps(arguments)],
        cwd=cli.root,
        env={"ORCH_STORE": str(cli.store), "PYTHONPATH": str(REPOSITORY), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    return set(modules)


@pytest.mark.parametrize(
    "command", ["plan app", "build app --dry-run", "list", "show app", "graph app", "source ls app", "log app --help"]
)
def test_a_question_imports_no_tools(command: str, cli: Cli) -> None:
    assert not imported(cli, *command.split(" ")) & WORK


@pytest.mark.parametrize("command", ["--help", "--version", "build --help"])
def test_help_reads_no_recipe(command: str, cli: Cli) -> None:
    assert not imported(cli, *command.split(" ")) & (WORK | READING)


def test_a_build_that_is_done_imports_no_tools(cli: Cli) -> None:
    done(cli, "tool")
    assert not imported(cli, "build", "tool") & WORK
    result = cli.run("build", "tool", "--json", PATH="/nonexistent")
    assert (result.status, result.err) == (0, "")
    assert (result.document["outcomes"], result.document["goals"][0]["name"]) == ({}, "tool")


def test_a_plan_of_what_is_done_imports_nothing_for_builds_or_trees(cli: Cli) -> None:
    done(cli, "tool")
    assert not imported(cli, "plan", "tool") & UNUSED


def done(cli: Cli, goal: str) -> None:
    """Record a goal as a build does that was carried out, without one."""
    from orchestrator.digest import Digest
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.graph.options import parse_settings
    from orchestrator.graph.resolve import resolve
    from orchestrator.recipe import find_project, load_recipes
    from orchestrator.store import ClosureItem, Goal, open_store, publish_tree, staging, write_goal
    from orchestrator.tree import scan

    project = find_project(cli.root)
    recipes = load_recipes(project)
    graph = resolve(recipes, project.options, (goal,), parse_settings((), recipes, project.options), "x86_64-linux")
    layout = open_store(cli.store)
    with staging(layout, "test") as stage:
        tree = stage / "tree"
        tree.mkdir()
        (tree / "file").write_text(goal)
        digest: Digest = publish_tree(layout, tree, scan(tree))
    names = (goal, *graph[goal].runtime)
    closure = tuple(ClosureItem(name, graph[name].version, graph[name].origin, digest) for name in names)
    key = closure_key(graph, goal, derivation_keys(graph))
    write_goal(layout, Goal(key=key, goal=goal, options=(), output=digest, closure=closure))


def test_a_signal_while_modules_load_is_no_bug() -> None:
    """What a handler imports could be half made: it imports nothing."""
    text = """
import sys, types
from orchestrator.cli import main
for name in ("signal", "enum"):
    sys.modules.pop(name, None)
sys.modules["enum"] = types.ModuleType("enum")
try:
    main._end(15, None)
except KeyboardInterrupt:
    print(main._ended_by)
"""
    done = subprocess.run([sys.executable, "-c", text], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[15]\n", "")
