"""A recipe from the index is the recipe that was read."""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.digest.kept import Moment
from orchestrator.digest.looks import YOUNG
from orchestrator.recipe import Project, Recipe, find_project, load_recipes
from orchestrator.recipe.index import PACKER, RecipeIndex

REPOSITORY = find_project(Path(__file__))
RECIPES = load_recipes(REPOSITORY)
LATER = Moment(began=time.time_ns() + 1000 * YOUNG, code=b"code")


@pytest.mark.parametrize("name", RECIPES.names)
def test_every_recipe_of_the_project_comes_back(name: str) -> None:
    recipe = RECIPES[name]
    back = PACKER.unpack(marshal.loads(marshal.dumps(PACKER.pack(recipe))))
    assert back == recipe
    assert list(back.versions) == list(recipe.versions)  # the order chooses
    assert [list(option.values) for option in back.options.values()] == [
        list(option.values) for option in recipe.options.values()
    ]


def test_it_comes_back_from_another_process(load: Callable[..., Recipe], project: Project) -> None:
    recipe = load()
    file = project.root / "index"
    index = RecipeIndex(file, project, LATER)
    assert index.get("ucx") is None
    index.add(recipe)
    index.save()
    index = RecipeIndex(file, project, LATER)
    assert index.get("ucx") == recipe
    assert index.get("ucx") == recipe  # asking takes nothing away
    index.add(recipe)
    index.save()
    assert RecipeIndex(file, project, LATER).get("ucx") == recipe


def test_other_options_are_another_index(load: Callable[..., Recipe], project: Project) -> None:
    index = RecipeIndex(project.root / "index", project, LATER)
    index.add(load())
    index.save()
    text = (project.root / "orch.toml").read_text()
    (project.root / "orch.toml").write_text(text.replace('"13"]', '"14"]'))
    other = find_project(project.root)
    assert RecipeIndex(project.root / "index", other, LATER).get("ucx") is None
