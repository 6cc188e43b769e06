"""What the verbs that only answer say: list, show, plan, log, --help, --version; as text and as JSON."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from cli_project import REPOSITORY, Cli, InProcess

from orchestrator import __version__
from orchestrator.cli.main import VERBS

KEY = re.compile(r"blake3:[0-9a-f]{64}")


def test_list(cli: Cli) -> None:
    result = cli.run("list")
    assert (result.status, result.err) == (0, "")
    assert (
        result.out
        == """\
app   1.1       source  not built  What people use
base  bookworm  vendor  not built  A root
lib   2.0       source  not built  A library
tool  1         source  not built  Stands alone
"""
    )


def test_list_as_json(cli: Cli) -> None:
    document = cli.run("list", "--json").document
    assert (document["schema"], document["command"]) == (1, "list")
    assert document["recipes"][2] == {
        "name": "lib",
        "version": "2.0",
        "origin": "source",
        "summary": "A library",
        "versions": ["2.0", "1.0", "3.0"],
        "unlocked": ["3.0"],
        "state": "not built",
    }


def test_a_list_under_settings_that_not_all_read(cli: Cli) -> None:
    result = cli.run("list", "--set", "lib.version=1.0", "--set", "cuda=13", "--set", "lib.fast=on")
    assert (result.status, result.err) == (0, "")
    # app needs a newer lib: no fault of the recipes, and the reason is there.
    assert (
        result.out
        == """\
app   -         -       refused    lib 1.0 cannot be a build input of app 1.1: it has no headers
base  bookworm  vendor  not built  A root
lib   1.0       vendor  not built  A library
tool  1         source  not built  Stands alone
"""
    )


def test_what_is_not_locked_is_listed_so(cli: Cli) -> None:
    result = cli.run("list", "--set", "lib.version=3.0")
    assert result.status == 0
    assert "app   1.1       source  not locked  What people use\n" in result.out
    assert "lib   3.0       source  not locked  A library\n" in result.out


def test_show(cli: Cli) -> None:
    result = cli.run("show", "lib", "--set", "lib.fast=on")
    assert (result.status, result.err) == (0, "")
    assert (
        KEY.sub("KEY", result.out)
        == """\
lib 2.0 (source): A library
  licence   MIT
  homepage  https://example.org/lib
  recipe    recipes/lib/recipe.toml
  versions  2.0 (source), 1.0 (vendor), 3.0 (source, not locked)
  reads     cuda=12, fast=on
  flags     --prefix=/usr/local/lib --fast
  build     base
  runtime   base
  key       KEY
  state     not built
  option    lib.fast=off|on (default off): faster
  source    file:lib.txt  18 B
"""
    )


def test_show_as_json(cli: Cli) -> None:
    document = cli.run("show", "lib", "--json").document
    assert KEY.fullmatch(document.pop("key"))
    assert document == {
        "schema": 1,
        "command": "show",
        "name": "lib",
        "summary": "A library",
        "licence": "MIT",
        "homepage": "https://example.org/lib",
        "where": "recipes/lib/recipe.toml",
        "version": "2.0",
        "origin": "source",
        "versions": [
            {"version": "2.0", "origin": "source", "locked": True, "unproven": None, "when": {}},
            {"version": "1.0", "origin": "vendor", "locked": True, "unproven": None, "when": {}},
            {"version": "3.0", "origin": "source", "locked": False, "unproven": None, "when": {}},
        ],
        "options": {"fast": {"default": "off", "values": ["off", "on"], "doc": "faster"}},
        "reads": {"cuda": "12", "fast": "off"},
        "flags": ["--prefix=/usr/local/lib"],
        "unproven": None,
        "sources": [
            {
                "source": "file:lib.txt",
                "sha256": "28ba65c83f76c3dc11c8732b98442144e96d24d78982c071641c60b7ecac5598",
                "tree": None,
                "bytes": 18,
            }
        ],
        "build": ["base"],
        "runtime": ["base"],
        "state": "not built",
    }


def test_what_is_not_locked_can_be_shown(cli: Cli) -> None:
    result = cli.run("show", "lib", "--set", "lib.version=3.0")
    assert result.status == 0
    assert result.out.startswith("lib 3.0 (source): A library\n")
    assert "  state     not locked: lib 3.0\n" in result.out
    assert "  key  " not in result.out
    document = cli.run("show", "app", "--set", "lib.version=3.0", "--json").document
    assert (document["key"], document["state"], document["unlocked"]) == (None, "not locked", ["lib 3.0"])


def test_plan(cli: Cli) -> None:
    result = cli.run("plan", "app", "--set", "cuda=13")
    assert (result.status, result.err) == (0, "")
    assert (
        result.out
        == """\
app (cuda=13): 3 to build, 1 to check, time unknown; 1 to fetch, 5 B
  build   base bookworm  vendor  never built here
  build   lib 2.0        source  never built here
  build   app 1.1        source  never built here
  check   app 1.1        source  not checked yet
"""
    )


def test_a_dry_run_is_the_plan(cli: Cli) -> None:
    assert cli.run("build", "app", "--dry-run").out == cli.run("plan", "app").out
    plan = cli.run("plan", "app", "--json").document
    assert plan == {
        "schema": 1,
        "command": "plan",
        "goals": ["app"],
        "done": {},
        "steps": [
            {
                "action": action,
                "name": name,
                "version": version,
                "origin": origin,
                "maybe": False,
                "reason": reason,
                "copy_bytes": 0,
                "expected_seconds": None,
            }
            for action, name, version, origin, reason in (
                ("build", "base", "bookworm", "vendor", "never built here"),
                ("build", "lib", "2.0", "source", "never built here"),
                ("build", "app", "1.1", "source", "never built here"),
                ("check", "app", "1.1", "source", "not checked yet"),
            )
        ],
        "fetch": [
            {"source": "debian:pool/main/g/glibc/libc6_2.36-9_amd64.deb", "bytes": 5},
            {"source": "file:lib.txt", "bytes": 18},
        ],
        "fetch_bytes": 5,
        "copy_bytes": 0,
        "expected_seconds": None,
        "expected_complete": False,
        "accuracy": None,
    }
    assert cli.run("build", "app", "--dry-run", "--json").document == {**plan, "command": "build"}


@pytest.mark.parametrize("verb", [*VERBS, "source ls", "source fetch", "source add", "source lock", "source verify"])
def test_every_verb_explains_itself(verb: str, cli: Cli) -> None:
    result = cli.run(*verb.split(" "), "--help", COLUMNS="80")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"usage: orch {verb} ")
    examples = result.out.partition("\nexamples:\n")[2].splitlines()
    assert sum(f"orch {verb}" in line for line in examples) >= 2  # the others go on with a remark, or lead further
    assert not [line for line in result.out.splitlines() if len(line) > 110]


def test_the_overview(cli: Cli) -> None:
    result = cli.run("--help")
    assert (result.status, result.err) == (0, "")
    for verb, text in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(text)}$", result.out, re.MULTILINE)
    assert all(len(line) <= 100 for line in result.out.splitlines())
    nothing = cli.run()
    assert (nothing.status, nothing.out, nothing.err) == (2, "", result.out)


def test_the_version(cli: Cli, tmp_path: Path) -> None:
    assert cli.run("--version", cwd=tmp_path).out == f"orch {__version__}\n"


def test_a_path_of_any_bytes_can_be_named(cli: Cli) -> None:
    result = cli.run("log", "app", "--store", str(cli.store) + "-\udcff")
    assert result.status == 2
    assert "there is no log of a build of app" in result.err


@pytest.mark.parametrize(
    "command", ["list", "list --set cuda=13", "source ls", "source ls --set cuda=13", "plan nixl", "show ucx"]
)
def test_the_real_recipes_can_be_asked(
    command: str, cli: Cli, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    status, out = in_process(*command.split(" "))
    assert status == 0
    assert len(out.splitlines()) > 5


QUESTIONS = ("plan app", "list", "show lib", "source ls")


def test_a_question_makes_no_store(cli: Cli) -> None:
    for question in QUESTIONS:
        assert cli.run(*question.split()).status == 0, question
    assert not cli.store.exists()
    cli.store.mkdir()
    for question in QUESTIONS:
        assert cli.run(*question.split()).status == 0, question
    assert list(cli.store.iterdir()) == []


def test_a_question_reads_a_store_that_cannot_be_written(cli: Cli) -> None:
    assert cli.run("source", "add", "recipes/lib/lib.txt").status == 0
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    rights = ("--user", "--map-root-user") if os.geteuid() else ()
    before = ("unshare", *rights, "--mount", "sh", "-c", mount, str(cli.store))
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    for question in QUESTIONS:
        result = cli.run(*question.split(), before=before)
        assert (result.status, "error" in result.err) == (0, False), (question, result.err)
    result = cli.run("build", "app", before=before)
    assert result.status == 4


def test_an_empty_name_of_a_store(cli: Cli) -> None:
    result = cli.run("list", "--store", "")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: argument --store: it is empty\n")
    (cli.root / "empty").mkdir()
    assert cli.run("list", ORCH_STORE="", cwd=cli.root / "empty").status == 0
    assert list((cli.root / "empty").iterdir()) == []


def test_an_image_stands_on_a_base(cli: Cli) -> None:
    text = 'name = "small"\nsummary = "s"\nversion = "1"\ncomponents = ["app"]\n[base]\nrecipe = "lib"\n'
    cli.write("recipes/images/small/image.toml", text)
    result = cli.run("image", "small", "--dry-run")
    assert (result.status, result.out) == (3, "")
    assert result.err.startswith("error: lib is no base\n  where: recipes/images/small/image.toml: base.recipe\n")
