"""`orch why` and `orch affected` on a small project whose successes are only recorded: nothing is built here."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from cli_project import Cli, InProcess

from orchestrator.cli.affected import _lines
from orchestrator.cli.affected_reach import Reach, TouchedImage
from orchestrator.cli.opening import Opened
from orchestrator.digest import Digest, blake3_bytes, key_of
from orchestrator.graph.closure import closure_document
from orchestrator.graph.keys import derivation_document, derivation_keys
from orchestrator.recipe import find_project, load_recipes
from orchestrator.store import (
    BuildRecord,
    ClosureItem,
    Goal,
    Realisation,
    StepRecord,
    new_build_id,
    open_store,
    write_build,
    write_goal,
    write_realisation,
)


def succeed(cli: Cli, goal: str, *settings: str, at: float = 1000.0, old: bool = False, objects: bool = False) -> Goal:
    """Record that a goal was built, as `orch build` does; `old`: as an orch of before did."""
    project, layout = find_project(cli.root), open_store(cli.store)
    opened = Opened(project=project, recipes=load_recipes(project), store_root=layout.root)
    graph = opened.graph([goal], settings)
    keys = derivation_keys(graph)
    for node in graph.nodes:
        output = blake3_bytes(node.name.encode())
        if objects:
            (layout.objects / output.hex / "tree").mkdir(parents=True, exist_ok=True)
            (layout.objects / output.hex / "manifest.json").touch()
        document = derivation_document(node, {name: keys[name] for name in node.build})
        write_realisation(
            layout,
            Realisation(
                key=keys[node.name], kind="derivation", name=node.name, version=node.version, document=document,
                output=output, seconds=60.0, finished=at,
            ),
        )  # fmt: skip
    names = (*graph[goal].runtime, goal)
    hashed = closure_document(graph, goal, keys)
    record = Goal(
        key=key_of(hashed),
        goal=goal,
        options=graph.options,
        output=blake3_bytes(goal.encode()),
        closure=tuple(
            ClosureItem(
                name, graph[name].version, graph[name].origin, blake3_bytes(name.encode()), None if old else keys[name]
            )
            for name in names
        ),
        finished=0.0 if old else at,
        document=None if old else hashed,
    )
    write_goal(layout, record)
    return record


def say_built(cli: Cli, goal: Goal, *steps: tuple[str, str, str]) -> None:
    """Record the run that finished `goal`: step, outcome, detail."""
    write_build(
        open_store(cli.store),
        BuildRecord(
            id=new_build_id(goal.finished - 1), verb="build", goals=(goal.goal,), options=goal.options, words=(),
            began=goal.finished - 1, seconds=1.0, ending="done", outputs={goal.goal: str(goal.output)},
            steps=tuple(
                StepRecord(step=step, node=step.split()[1], outcome=outcome, began=0.0, seconds=1.0, detail=detail)
                for step, outcome, detail in steps
            ),
        ),
    )  # fmt: skip


def as_data(run: InProcess, *words: str) -> Any:
    status, out = run(*words, "--json")
    assert status == 0, out
    return json.loads(out)


def test_never_built(cli: Cli, in_process: InProcess) -> None:
    status, out = in_process("why", "app")
    assert (status, out) == (0, "app: never built in this store; orch plan app says what that takes\n")
    succeed(cli, "app")
    out = in_process("why", "app", "--set", "cuda=13")[1]
    assert out.startswith("app: never built with cuda=13; nearest success: with the default options\n")
    assert "  option cuda: 12 -> 13\n" in out
    assert not as_data(in_process, "why", "app", "--set", "cuda=13")["compared_with"]["same_options"]


def test_a_default_that_is_spelt_out_is_the_same_options(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app")
    cli.edit("recipes/lib/recipe.toml", "--prefix=/usr/local/lib", "--prefix=/usr")
    found = as_data(in_process, "why", "app", "--set", "cuda=12")
    assert found["compared_with"]["same_options"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('flags = ["--prefix=/usr/local/lib"]', 'flags = ["--prefix=/usr"]', "flags: + --prefix=/usr\n"),
        ('script = "make"', 'script = "make -k"', "    -make\n    +make -k\n"),
        ("unpack = \"\"\n", "unpack = \"src\"\n", "    lib.txt: unpack none -> src\n"),
        ('reads = ["cuda", "fast"]', 'reads = ["fast"]', "option cuda: 12 -> unread\n"),
        ('[build]\n', '[runtime]\nenv = { LIB = "/lib" }\n[build]\n', "environment LIB: unset -> /lib\n"),
    ],
)  # fmt: skip
def test_each_field_of_a_recipe(cli: Cli, in_process: InProcess, old: str, new: str, expected: str) -> None:
    succeed(cli, "app")
    cli.edit("recipes/lib/recipe.toml", old, new)
    out = in_process("why", "app")[1]
    assert "since its last success, 1970-01-01 00:16:40 UTC, key " in out
    assert expected in out
    assert as_data(in_process, "why", "app")["moved"][0]["name"] == "lib"


def test_the_last_rebuild_and_what_it_saved(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=1000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    done = succeed(cli, "app", at=2000.0, objects=True)
    assert "there is no record of that run" in in_process("why", "app")[1]
    steps = ("build lib", "built", "the same bytes as before"), ("build app", "same", "inputs came out the same")
    say_built(cli, done, *steps)
    found = as_data(in_process, "why", "app")
    assert (found["done"], found["finished"], found["compared_with"]["finished"]) == (True, 2000.0, 1000.0)
    assert found["run"]["cut_off"] == ["app"]
    assert found["run"]["saved_seconds"] == 60.0
    out = in_process("why", "app")[1]
    assert "app: nothing to rebuild; last built 1970-01-01 00:33:20 UTC" in out
    assert "cut off then: app: their inputs came out the same; that saved 1 min 00 s\n" in out
    assert "it was cut off" in in_process("why", "app", "app")[1]


def test_an_edit_that_was_taken_back(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=1000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    succeed(cli, "app", at=2000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make all"', 'script = "make"')
    found = as_data(in_process, "why", "app")
    assert (found["done"], found["finished"], found["compared_with"]) == (True, 1000.0, None)


def test_not_rebuilt_because(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=time.time() - 100, objects=True)
    for name in ("base", "lib", "app"):
        os.utime(cli.root / f"recipes/{name}/recipe.toml", (1000, 1000))
    os.utime(cli.root / "recipes/base/base.lock", (1000, 1000))
    cli.edit("recipes/lib/recipe.toml", "A library", "The library")
    cli.edit("recipes/app/recipe.toml", 'script = "make"', 'script = "make all"')
    out = in_process("why", "app")[1]
    assert "not rebuilt, though newer than that: lib\n" in out
    assert as_data(in_process, "why", "app", "lib")["rebuilt"] is False
    assert as_data(in_process, "why", "app", "base")["newer"] is None
    status, _ = in_process("why", "app", "tool")
    assert status == 2


def test_records_of_before_damaged_or_gone_are_unknown(cli: Cli, in_process: InProcess) -> None:
    goal = succeed(cli, "app")
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    key = Digest.parse(str(goal.closure[[item.name for item in goal.closure].index("lib")].derivation))
    record = cli.store / f"realisations/{key.hex}.json"
    record.write_bytes(record.read_bytes().replace(b"make", b"fake"))
    assert (
        "unknown: lib: what they were made of is not recorded, or the record is damaged\n"
        in in_process("why", "app")[1]
    )
    found = as_data(in_process, "why", "app")
    assert {one["name"]: one["kind"] for one in found["moved"]} == {"lib": "unknown", "app": "inputs"}
    (cli.store / f"goals/documents/{goal.key.hex}.json").write_text("{}")
    assert as_data(in_process, "why", "app")["checks_unknown"] == ["app"]


def test_a_record_of_an_older_orch(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", old=True)
    cli.edit("recipes/app/recipe.toml", '[versions."1.1"]', '[versions."1.2"]')
    out = in_process("why", "app")[1]
    assert "since its last success, at a time that is not known" in out
    assert "other versions: app 1.1 -> 1.2\n" in out
    assert "unknown: what else moved" in out
    assert "is of an older orch" in in_process("why", "app", "lib")[1]


def test_an_image_that_was_never_made(cli: Cli, in_process: InProcess) -> None:
    text = 'name = "demo"\nsummary = "A"\nversion = "1"\ncomponents = ["app"]\n[base]\nrecipe = "base"\n'
    cli.write("recipes/images/demo/image.toml", text)
    assert "demo: never made in this store; orch image demo --dry-run" in in_process("why", "demo")[1]
    found = as_data(in_process, "affected", "recipes/lib/recipe.toml")["images"]
    assert [(one["name"], one["components"], one["layers"]) for one in found] == [("demo", ["lib", "app"], None)]
    own = as_data(in_process, "affected", "recipes/images/demo/image.toml")
    assert (own["builds"], [one["touched"] for one in own["images"]]) == (0, [True])


def test_builds_that_only_images_need_are_told_apart() -> None:
    times = {"one": 60.0}
    reach = Reach(
        edited=("lib",), above=(), checks=(), unread=(), failed=(), builds=times, took=lambda name, key: None
    )  # fmt: skip
    image = TouchedImage(name="demo", components=("lib",), builds={**times, "other": 30.0})
    last = "at most 2 builds (1 with the default options, 1 more for images), 1 min 30 s by their last builds"
    assert list(_lines(reach, [image]))[-1] == last


def test_affected(cli: Cli, in_process: InProcess) -> None:
    found = as_data(in_process, "affected", "lib")
    assert (found["edited"], found["above"], found["checks"]) == (["lib"], ["app"], ["app"])
    assert (found["builds"], found["seconds"], found["seconds_unknown"]) == (2, 0, 2)
    assert in_process("affected", "lib")[1].endswith("at most 2 builds, of unknown length\n")
    succeed(cli, "app")
    assert in_process("affected", "lib")[1].endswith("at most 2 builds, 2 min 00 s by their last builds\n")
    assert as_data(in_process, "affected", "tool")["edited"] == ["tool"]
    assert as_data(in_process, "affected", "recipes/base/base.lock")["edited"] == ["base"]
    assert as_data(in_process, "affected", "recipes/lib/lib.txt")["edited"] == ["lib"]
    cli.write("recipes/lib/notes.md", "a note\n")
    out = in_process("affected", "recipes/lib/notes.md")[1]
    assert out == "recipes/lib/notes.md is not read by lib 2.0\nnothing is touched\n"
    assert in_process("affected", "lip")[0] == 2
    assert in_process("affected", "lib", "--set", "color=red")[0] == 3


def test_a_broken_recipe_is_told_of_and_hides_no_other(cli: Cli, in_process: InProcess) -> None:
    cli.write("recipes/tool/recipe.toml", "name =")
    found = as_data(in_process, "affected", "lib")
    assert (found["edited"], found["above"]) == (["lib"], ["app"])
    assert [one["name"] for one in found["not_known"]] == ["tool"]


def test_a_check_that_did_not_run_then_was_cut_off(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=1000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    out = in_process("why", "app")[1]
    assert "check of app: because of lib\n" in out
    done = succeed(cli, "app", at=2000.0, objects=True)
    say_built(cli, done, ("build lib", "built", "the same bytes as before"), ("build app", "same", ""))
    out = in_process("why", "app")[1]
    assert "check of app: because" not in out
    assert "checks cut off then: app: they had passed with the same bytes before\n" in out
    assert "its check was cut off" in in_process("why", "app", "app")[1]
    assert as_data(in_process, "why", "app")["run"]["checks_cut_off"] == ["app"]


def test_a_check_that_ran_then_is_told_with_its_cause(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=1000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    done = succeed(cli, "app", at=2000.0, objects=True)
    say_built(cli, done, ("build lib", "built", ""), ("build app", "built", ""), ("check app", "checked", ""))
    out = in_process("why", "app")[1]
    assert "check of app: because of lib\n" in out
    assert "cut off" not in out


def test_a_check_that_ran_then_for_its_own_change_alone(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", at=1000.0, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    text = (cli.root / "recipes/app/recipe.toml").read_text()
    before, mark, check = text.partition("[check]")
    cli.write("recipes/app/recipe.toml", before + mark + check.replace('script = "', 'script = "true; ', 1))
    done = succeed(cli, "app", at=2000.0, objects=True)
    steps = ("build lib", "built", "the same bytes as before"), ("build app", "same", ""), ("check app", "checked", "")
    say_built(cli, done, *steps)
    out = in_process("why", "app")[1]
    assert "check of app changed:\n" in out
    assert "check of app: because" not in out
    assert "checks cut off" not in out
    assert "its check: because" not in in_process("why", "app", "app")[1]


def test_an_edit_in_vain_of_what_was_the_last_cause(cli: Cli, in_process: InProcess) -> None:
    now = time.time()
    succeed(cli, "app", at=now - 200, objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    succeed(cli, "app", at=now - 100, objects=True)
    for name in ("base/recipe.toml", "base/base.lock", "lib/recipe.toml", "lib/lib.txt", "app/recipe.toml"):
        os.utime(cli.root / "recipes" / name, (1000, 1000))
    assert "newer" not in in_process("why", "app")[1]
    cli.edit("recipes/lib/recipe.toml", "A library", "The library")
    out = in_process("why", "app")[1]
    assert "lib 2.0 changed:\n" in out
    assert "not rebuilt, though newer than the last build: lib\n" in out
    assert "recipes/lib/recipe.toml is newer than that build" in in_process("why", "app", "lib")[1]
    assert as_data(in_process, "why", "app", "lib")["newer"] == "recipes/lib/recipe.toml"


def test_the_first_line_says_no_more_than_is_certain(cli: Cli, in_process: InProcess) -> None:
    succeed(cli, "app", objects=True)
    cli.edit("recipes/lib/recipe.toml", 'script = "make"', 'script = "make all"')
    assert in_process("why", "app")[1].startswith("app: perhaps to be built again; ")
    cli.edit("recipes/app/recipe.toml", 'script = "make"', 'script = "make all"')
    assert in_process("why", "app")[1].startswith("app: to be built again; ")


def test_a_check_that_left_the_goal_is_not_said_to_be_gone(cli: Cli, in_process: InProcess) -> None:
    text = (cli.root / "recipes/lib/recipe.toml").read_text()
    cli.write("recipes/lib/recipe.toml", text + '[check]\nscript = "true"\n')
    succeed(cli, "app")
    recipe = (cli.root / "recipes/app/recipe.toml").read_text()
    line = next(line for line in recipe.splitlines() if line.startswith("runtime = "))
    cli.edit("recipes/app/recipe.toml", line, 'runtime = ["base"]')
    out = in_process("why", "app")[1]
    assert "check of lib: no longer among this goal's checks\n" in out
    assert "any more" not in out
