"""Locks: one text for one lock, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.recipe import Project, load_recipes, read_lock, write_lock
from orchestrator.recipe.lock import Deb, Lock, parse_lock

SHA = "cd" * 32
BASH = Deb(name="bash", version="5.2.15-2+b13", path="pool/main/b/bash/bash_5.2.15-2+b13_amd64.deb", size=9, sha256=SHA)
BISON = Deb(name="bison", version="2:3.8.2+dfsg-1", path="pool/main/b/bison/bison_3.8.2_amd64.deb", size=7, sha256=SHA)
LOCK = Lock(suite="bookworm", architecture="amd64", packages=("bison",), made="2026-11-22", debs=(BASH, BISON))
TEXT = f"""\
# orch lock 1
# suite bookworm
# architecture amd64
# packages bison
# made 2026-11-22
bash 5.2.15-2+b13 pool/main/b/bash/bash_5.2.15-2+b13_amd64.deb 9 {SHA}
bison 2:3.8.2+dfsg-1 pool/main/b/bison/bison_3.8.2_amd64.deb 7 {SHA}
"""
BASE = """\
name = "base"
[base]
suite = "bookworm"
packages = ["bison"]
setuid = [{ path = "/usr/bin/su", reason = "none" }]
[versions.bookworm]
origin = "vendor"
lock = "bookworm.lock"
"""


def test_a_lock_is_written_and_read(tmp_path: Path) -> None:
    assert write_lock(LOCK) == TEXT
    (tmp_path / "a.lock").write_text(TEXT)
    assert read_lock(tmp_path / "a.lock") == LOCK


def test_debs_are_written_in_the_order_of_their_names() -> None:
    lock = Lock(suite="bookworm", architecture="amd64", packages=("bison",), made="2026-11-22", debs=(BISON, BASH))
    assert write_lock(lock) == TEXT


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("# orch lock 1", "# orch lock 2", 1, "lock schema 2 is not known; this orch reads 1"),
        ("# suite bookworm\n", "", 2, "a lock has '# suite' and a value here, not '# architecture amd64'"),
        ("2026-11-22", "today", 5, "not a date: 'today'"),
        (" 9 ", " 9  ", 6, "a line has 5 fields (name, version, pool path, size, sha256), this one 6"),
        (" 9 ", " 0 ", 6, "not a size: '0'"),
        (f" 9 {SHA}", " 9 abc", 6, "not a sha256: 'abc'"),
        ("pool/main/b/bash", "pool/../bash", 6, "not a pool path: 'pool/../bash/bash_5.2.15-2+b13_amd64.deb'"),
        ("pool/main/b/bash", "/pool/bash", 6, "not a pool path: '/pool/bash/bash_5.2.15-2+b13_amd64.deb'"),
        ("bash 5", "bison 5", 7, "bison is listed twice: one .deb a line, sorted by name"),
        ("bash 5", "zsh 5", 7, "bison stands after zsh: one .deb a line, sorted by name"),
    ],
)
def test_what_is_no_lock(old: str, new: str, line: int, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_lock(TEXT.replace(old, new), "recipes/base/bookworm.lock")
    assert (caught.value.where, caught.value.what) == (f"recipes/base/bookworm.lock:{line}", what)
    assert caught.value.hint == "make it again: orch lock"


def test_a_lock_that_was_cut_off() -> None:
    for cut in (TEXT[:-1], TEXT[:40], "", TEXT[: TEXT.index("bash")]):
        with pytest.raises(RecipeError):
            parse_lock(cut, "x")


def test_a_base_has_its_lock(project: Project) -> None:
    directory = project.root / "recipes/base"
    directory.mkdir()
    (directory / "recipe.toml").write_text(BASE)
    with pytest.raises(RecipeError) as caught:
        load_recipes(project)["base"]
    assert caught.value.what == "bookworm.lock does not exist beside the recipe"
    assert caught.value.hint == "make it: orch lock base"
    (directory / "bookworm.lock").write_text(TEXT)
    assert load_recipes(project)["base"].locks == {"bookworm.lock": LOCK}
    (directory / "bookworm.lock").write_text(TEXT.replace("packages bison", "packages bash"))
    with pytest.raises(RecipeError) as caught:
        load_recipes(project)["base"]
    assert caught.value.what == "bookworm.lock was made for another suite or other packages than [base] names"
    assert caught.value.where == "recipes/base/recipe.toml:8: versions.bookworm.lock"
