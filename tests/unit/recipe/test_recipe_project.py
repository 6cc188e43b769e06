"""Projects: where they begin and what orch.toml may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RecipeError, UsageError
from orchestrator.recipe import GlobalOption, Project, find_project


def test_the_nearest_project_upwards(project: Project) -> None:
    assert find_project(project.root / "recipes/ucx") == project
    assert project.options == (GlobalOption(name="cuda", doc="CUDA", values=("12", "13"), default="12"),)
    assert (project.mirrors, project.store) == ({}, None)


def test_mirrors_and_store(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text('[mirrors]\npypi = ["a", "b"]\n[store]\npath = "place"\n')
    found = find_project(tmp_path)
    assert found.mirrors == {"pypi": ("a", "b")}
    assert found.store == tmp_path / "place"


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_project(tmp_path)
    assert caught.value.what == "no orch.toml here or above"
    assert caught.value.where == str(tmp_path)
    assert caught.value.hint == "change to a project's directory, or start one with an empty orch.toml beside recipes/"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("[option.cuda]", "orch.toml:1: option", "unknown key 'option'"),
        ("[options.cuda]\nvalues = ['12']", "orch.toml:1: options.cuda.default", "default is missing"),
        ("[options.cuda]\nvalues = ['12']\ndefault = '13'", "orch.toml:3: options.cuda.default",
         "'13' is not a value of cuda"),
        ("[options.origin]\nvalues = ['a']\ndefault = 'a'", "orch.toml:1: options.origin",
         "an option cannot be called 'origin'"),
        ("[mirrors]\npipy = ['x']", "orch.toml:2: mirrors.pipy", "unknown key 'pipy'"),
        ("[store]\npath = 1", "orch.toml:2: store.path", "path is a number, not a string"),
        ("[", "orch.toml:1", "not TOML: Invalid initial character for a key part"),
    ],
)  # fmt: skip
def test_what_orch_toml_may_not_say(tmp_path: Path, text: str, where: str, what: str) -> None:
    (tmp_path / "orch.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        find_project(tmp_path)
    assert (caught.value.where, caught.value.what) == (where, what)


def test_what_is_copied_from_and_who_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "orch.toml").write_text(
        '[store]\nsubstituters = ["https://c.example.com/orch", "/srv/orch", "near"]\ntrusted_keys = ["a:b"]\n'
    )
    found = find_project(tmp_path)
    assert found.substituters == ("https://c.example.com/orch", "/srv/orch", str(tmp_path / "near"))
    assert found.trusted_keys == ("a:b",)
