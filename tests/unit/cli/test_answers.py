"""A saved answer is given only while all that led to it still holds; whatever is done to a project, a store or orch
itself, the command says what it would have said without answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from asking import AGE, QUICK, SETTLED, START, Asking
from cli_project import REPOSITORY, Cli, InProcess

from orchestrator.cli import answers, remember
from orchestrator.digest import Digest
from orchestrator.graph.closure import closure_key
from orchestrator.graph.keys import derivation_keys
from orchestrator.graph.options import parse_settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import find_project, load_recipes
from orchestrator.store import ClosureItem, Goal, open_store, publish_tree, staging, write_goal
from orchestrator.tree import scan

TOOL = """\
name = "tool"
summary = "Stands alone"
[inputs]
build = ["base"]
[versions."1"]
origin = "source"
[build]
script = "WHAT"
files = ["helper.sh"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Asking):
    """A project in which `tool` is done, with either of two scripts of one length."""

    def script(self, what: str) -> None:
        self.cli.write("recipes/tool/recipe.toml", TOOL.replace("WHAT", what))


def finish(cli: Cli, goal: str, content: str) -> Path:
    """Record a goal as a build does that was carried out, without one; where it is."""
    project = find_project(cli.root)
    recipes = load_recipes(project)
    graph = resolve(recipes, project.options, (goal,), parse_settings((), recipes, project.options), "x86_64-linux")
    layout = open_store(cli.store)
    with staging(layout, "test") as stage:
        (stage / "tree").mkdir()
        (stage / "tree/file").write_text(content)
        digest: Digest = publish_tree(layout, stage / "tree", scan(stage / "tree"))
    names = (goal, *graph[goal].runtime)
    closure = tuple(ClosureItem(name, graph[name].version, graph[name].origin, digest) for name in names)
    key = closure_key(graph, goal, derivation_keys(graph))
    write_goal(layout, Goal(key=key, goal=goal, options=(), output=digest, closure=closure))
    return layout.object(digest) / "tree"


@pytest.fixture
def asked(cli: Cli, code: Path) -> Asked:
    asked = Asked(cli=cli, code=code)
    cli.write("recipes/tool/helper.sh", "echo help\n")
    for what in ("mage", "make"):
        asked.script(what)
        finish(cli, "tool", what)
    return asked


def path(asked: Asked, what: str) -> str:
    """Where the output of one of the two scripts is."""
    (found,) = (file.parent for file in asked.cli.store.glob("objects/*/tree/file") if file.read_text() == what)
    return f"{found}\n"


def test_nothing_is_imported_for_it(asked: Asked) -> None:
    bare = replace(asked, start="pass").ask()
    quick = asked.settle()
    ours = {"orchestrator", "orchestrator.cli", "orchestrator.cli.answers", "orchestrator.cli.main"}
    assert quick.imported - bare.imported <= {*ours, "orchestrator.errors", "__future__", "_blake2", "gc"}
    assert (quick.status, quick.out) == (0, path(asked, "make"))


def begin(monkeypatch: pytest.MonkeyPatch, asked: Asked, *, later: int = 0) -> None:
    """As if this process had been started for a command now, or `later`."""
    monkeypatch.chdir(asked.cli.root)
    monkeypatch.setattr(answers, "BEGAN", time.time_ns() + later)
    monkeypatch.setattr(answers, "HERE", str(asked.cli.root))


# -- what is done to a project or a store; then a command prints the path with a script, or ends with a status ---------


def same_size_and_time(asked: Asked) -> str:
    recipe = asked.cli.root / "recipes/tool/recipe.toml"
    before = recipe.stat()
    with recipe.open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("make", "mage"))
    os.utime(recipe, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = recipe.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    return "mage"


def another_file_moved_over(asked: Asked) -> str:
    recipe = asked.cli.root / "recipes/tool/recipe.toml"
    new = recipe.with_name("new")
    new.write_text(TOOL.replace("WHAT", "mage"))
    new.replace(recipe)
    return "mage"


def comment(asked: Asked) -> str:
    asked.cli.edit("recipes/tool/recipe.toml", "name =", "# nothing\nname =")
    return "make"


def new_recipe(asked: Asked) -> str:
    asked.cli.write("recipes/other/recipe.toml", TOOL.replace('"tool"', '"other"'))
    return "make"


def recipe_gone(asked: Asked) -> int:
    shutil.rmtree(asked.cli.root / "recipes/tool")
    return 2


def input_gone(asked: Asked) -> int:
    shutil.rmtree(asked.cli.root / "recipes/base")
    return 3


def wrong_project(asked: Asked) -> int:
    asked.cli.edit("orch.toml", "[options.cuda]", "[options.cuda")
    return 3


def helper_edited(asked: Asked) -> int:
    (asked.cli.root / "recipes/tool/helper.sh").write_text("echo hell\n")
    return 4


def helper_mode(asked: Asked) -> int:
    (asked.cli.root / "recipes/tool/helper.sh").chmod(0o755)
    return 4


def helper_gone(asked: Asked) -> int:
    (asked.cli.root / "recipes/tool/helper.sh").unlink()
    return 3


def lock_edited(asked: Asked) -> int:
    asked.cli.edit("recipes/base/base.lock", "cdcd", "cecd")
    return 4


def lock_damaged(asked: Asked) -> int:
    asked.cli.edit("recipes/base/base.lock", "# suite", "# sweet")
    return 3


def object_gone(asked: Asked) -> int:
    for home in (asked.cli.store / "objects").iterdir():
        home.chmod(0o755)
        (home / "tree").chmod(0o755)
        shutil.rmtree(home)
    return 4


def manifest_gone(asked: Asked) -> int:
    for manifest in asked.cli.store.glob("objects/*/manifest.json"):
        manifest.parent.chmod(0o755)
        manifest.unlink()
    return 4


def goal_gone(asked: Asked) -> int:
    shutil.rmtree(asked.cli.store / "goals")
    return 4


def goal_damaged(asked: Asked) -> int:
    for record in (asked.cli.store / "goals").glob("*.json"):
        data = bytearray(record.read_bytes())
        data[20] ^= 1
        record.write_bytes(data)
    return 4


def store_gone(asked: Asked) -> int:
    asked.cli.store.rename(asked.cli.store.with_name("elsewhere"))
    return 4


def newer_store(asked: Asked) -> int:
    (asked.cli.store / "schema").write_text("9\n")
    return 4


def recipes_became_a_link(asked: Asked) -> str:
    recipes = asked.cli.root / "recipes"
    shutil.copytree(recipes, asked.cli.root / "others", copy_function=shutil.copy2)
    (asked.cli.root / "others/tool/recipe.toml").write_text(TOOL.replace("WHAT", "mage"))
    recipes.rename(asked.cli.root / "away")
    recipes.symlink_to("others")
    return "mage"


def another_project_in_its_place(asked: Asked) -> str:
    asked.cli.root.rename(asked.cli.root.with_name("moved"))
    shutil.copytree(asked.cli.root.with_name("moved"), asked.cli.root, copy_function=shutil.copy2)
    asked.script("mage")
    return "mage"


CHANGES: tuple[Callable[[Asked], str | int], ...] = (
    same_size_and_time, another_file_moved_over, comment, new_recipe, recipe_gone, input_gone, wrong_project,
    helper_edited, helper_mode, helper_gone, lock_edited, lock_damaged, object_gone, manifest_gone, goal_gone,
    goal_damaged, store_gone, newer_store, recipes_became_a_link, another_project_in_its_place,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen(asked: Asked, change: Callable[[Asked], str | int]) -> None:
    asked.settle()
    expected = change(asked)
    said = asked.ask()
    assert not said.saved
    if isinstance(expected, str):
        assert (said.status, said.out) == (0, path(asked, expected))
    else:
        assert (said.status, said.out) == (expected, "")
    truth = asked.truth()
    assert (said.status, said.out) == (truth.status, truth.out)


def test_a_source_beside_a_recipe_is_watched(asked: Asked) -> None:
    finish(asked.cli, "lib", "a library")
    asked.settle("build", "lib")
    (asked.cli.root / "recipes/lib/lib.txt").write_bytes(b"the source of LIB\n")
    said = asked.ask("build", "lib")
    assert (said.status, said.out, said.saved) == (3, "", False)


def test_a_link_turned_elsewhere_is_seen(asked: Asked) -> None:
    """recipes/, a recipe and the store, each by way of a link."""
    root, store = asked.cli.root, asked.cli.store
    (root / "recipes").rename(root / "one")
    shutil.copytree(root / "one", root / "two")
    (root / "two/tool/recipe.toml").write_text(TOOL.replace("WHAT", "mage"))
    (root / "recipes").symlink_to("one")
    (store.parent / "link").symlink_to(store)
    env = {"ORCH_STORE": str(store.parent / "link")}
    asked.settle(**env)
    (root / "recipes").unlink()
    (root / "recipes").symlink_to("two")
    assert asked.ask(**env).out == path(asked, "mage")
    asked.settle(**env)
    (root / "two/tool").rename(root / "away")
    (root / "two/tool").symlink_to("../one/tool")
    assert asked.ask(**env).out == path(asked, "make")
    asked.settle(**env)
    subprocess.run(["cp", "-a", str(store), str(store.parent / "copy")], check=True)
    (store.parent / "link").unlink()
    (store.parent / "link").symlink_to("copy")
    assert asked.ask(**env).out == path(asked, "make").replace(f"{store}/", f"{store.parent}/copy/")


def test_the_store_decides_and_so_does_what_names_it(asked: Asked) -> None:
    store = asked.cli.store
    made = asked.settle().out
    other = store.parent / "other"
    subprocess.run(["cp", "-al", str(store), str(other)], check=True)
    assert asked.ask(ORCH_STORE=str(other)).out == made.replace(str(store), str(other))
    assert asked.ask("build", "tool", "--store", str(other)).out == made.replace(str(store), str(other))
    assert asked.ask(ORCH_STORE=str(store.parent / "new")).status == 4
    asked.settle("build", "tool", "--store", str(store), ORCH_STORE="/nonexistent")
    asked.cli.edit("orch.toml", "[options.cuda]", f'[store]\npath = "{store}"\n[options.cuda]')
    asked.settle(ORCH_STORE="")
    asked.cli.edit("orch.toml", str(store), str(other))
    assert asked.ask(ORCH_STORE="").out == made.replace(str(store), str(other))
    asked.cli.edit("orch.toml", str(other), "~/store")
    asked.settle(ORCH_STORE="", HOME=str(store.parent))
    assert asked.ask(ORCH_STORE="", HOME=str(store.parent / "nobody")).status == 4


def test_each_directory_and_command_line_has_its_own(asked: Asked) -> None:
    asked.settle()
    below = asked.cli.root / "recipes/tool"
    assert asked.ask(cwd=below).out == path(asked, "make")
    asked.settle("build", "--", "tool", cwd=below)
    (below / "orch.toml").write_text("")
    said = asked.ask("build", "--", "tool", cwd=below)
    assert (said.saved, said.status) == (False, 3)
    assert asked.ask("build", "tool", "nothing").status == 2
    assert asked.ask("build", "tool", "--set", "cuda=13").status == 3


def test_what_does_more_than_print_is_never_saved(asked: Asked, tmp_path: Path) -> None:
    asked.settle()
    link = tmp_path / "result"
    for _ in range(2):
        assert asked.ask("build", "tool", "-o", str(link)).out == path(asked, "make")
        assert f"{link.readlink()}\n" == path(asked, "make")
        link.unlink()
        assert not asked.ask("build", "tool", "--json").saved
        assert not asked.ask("build", "tool", "--dry-run").saved
        assert not asked.ask("plan", "tool").saved


def test_another_orch_answers_for_itself(asked: Asked, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "orchestrator", tmp_path / "code/orchestrator")
    ours = replace(asked, code=tmp_path / "code")
    ours.settle()
    assert asked.ask().saved is False  # the same text at another place
    ours.settle()
    with (tmp_path / "code/orchestrator/graph/keys.py").open("a") as file:
        file.write("# upgraded\n")
    assert ours.ask().saved is False
    ours.settle()
    (tmp_path / "code/orchestrator/new.py").touch()
    assert ours.ask().saved is False


def test_edits_within_one_tick_are_seen(asked: Asked) -> None:
    """As fast as edits and commands can follow each other, with the age that people get."""
    real = replace(asked, start=START)
    for what in ("mage", "make") * 4:
        asked.script(what)
        assert real.ask().out == path(asked, what)


def test_an_edit_after_the_look_is_in_no_answer(
    asked: Asked, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written while the command runs, or just before it began, may be written again in the same tick."""
    words = ["build", "tool"]
    begin(monkeypatch, asked, later=10 * remember.YOUNG)  # all of it is old
    assert in_process(*words) == (0, path(asked, "make"))
    assert answers.find(words) == path(asked, "make").encode()
    asked.script("make")
    assert answers.find(words) is None
    for answer in (asked.cli.store / "answers").iterdir():
        answer.unlink()
    for _ in range(20):
        asked.script("make")
        begin(monkeypatch, asked)
        assert in_process(*words) == (0, path(asked, "make"))
        asked.script("mage")  # perhaps in the tick of the first
        assert not list((asked.cli.store / "answers").iterdir())


def test_damage_anywhere_means_no_answer(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    out = asked.settle().out
    (answer,) = (asked.cli.store / "answers").iterdir()
    data = answer.read_bytes()
    for at in range(0, len(data), 7):
        answer.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert found(asked, monkeypatch) is None
        answer.write_bytes(data[:at])
        assert found(asked, monkeypatch) is None
    said = asked.ask()
    assert (said.status, said.out, said.saved) == (0, out, False)


def found(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> bytes | None:
    """What is found in this process for the answer of another."""
    monkeypatch.setattr(answers, "__file__", str(asked.code / "orchestrator/cli/answers.py"))
    monkeypatch.chdir(asked.cli.root)
    monkeypatch.setenv("ORCH_STORE", str(asked.cli.store))
    monkeypatch.setenv("HOME", "/nonexistent")
    return answers.find(["build", "tool"])


def test_an_answer_of_another_process_is_found_here(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else the test of damage would show nothing."""
    assert asked.settle().out.encode() == found(asked, monkeypatch)


def test_a_disk_that_takes_nothing_is_no_error(
    asked: Asked, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    begin(monkeypatch, asked, later=10 * remember.YOUNG)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        assert in_process("build", "tool") == (0, path(asked, "make"))
    assert list((asked.cli.store / "answers").iterdir()) == []
    assert in_process("build", "tool") == (0, path(asked, "make"))
    assert len(list((asked.cli.store / "answers").iterdir())) == 1


def test_the_oldest_go(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = open_store(asked.cli.store)
    begin(monkeypatch, asked, later=10 * remember.YOUNG)
    monkeypatch.setattr(remember, "KEPT", 3)
    monkeypatch.setenv("ORCH_STORE", str(asked.cli.store))
    for number in range(6):
        assert remember.save(layout, ["build", str(number)], watched=(), required=(), out="x\n")
        time.sleep(0.02)
    assert len(list(layout.answers.iterdir())) == 3
    assert answers.find(["build", "5"]) == b"x\n"
    with pytest.raises(FileNotFoundError):
        answers.find(["build", "2"])


def test_a_place_that_takes_no_answer_is_told_as_ever(asked: Asked) -> None:
    asked.settle()
    env = {"ORCH_STORE": str(asked.cli.store), "HOME": "/nonexistent", "PYTHONPATH": str(asked.code)}
    command = [sys.executable, "-c", QUICK + START, "build", "tool"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=asked.cli.root, env=env, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, b"No space left" in done.stderr) == (4, True)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, cwd=asked.cli.root, env=env, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 141


def test_what_moved_in_just_now_is_in_no_answer(
    asked: Asked, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old files that stand where others were read: only the way to them is new."""
    root = asked.cli.root
    (root / "recipes/tool/parts").mkdir()
    shutil.copy(root / "recipes/tool/helper.sh", root / "recipes/tool/parts")
    asked.cli.write("recipes/tool/recipe.toml", TOOL.replace("WHAT", "made").replace("helper", "parts/helper"))
    made = f"{finish(asked.cli, 'tool', 'made')}\n"
    shutil.copytree(root / "recipes", root / "copy")
    shutil.copytree(root / "recipes/tool/parts", root / "parts")
    monkeypatch.setattr(remember, "YOUNG", AGE)
    words = ["build", "tool"]

    def moved_in(*, saved: bool) -> None:
        begin(monkeypatch, asked)
        assert in_process(*words) == (0, made)
        answers_now = list((asked.cli.store / "answers").iterdir())
        assert bool(answers_now) == saved
        for answer in answers_now:
            answer.unlink()

    time.sleep(SETTLED)
    moved_in(saved=True)
    (root / "recipes").rename(root / "one")
    (root / "recipes").symlink_to("copy")
    moved_in(saved=False)
    time.sleep(SETTLED)
    moved_in(saved=True)
    (root / "copy/tool/parts").rename(root / "gone")
    (root / "parts").rename(root / "copy/tool/parts")
    moved_in(saved=False)
    time.sleep(SETTLED)
    moved_in(saved=True)
