"""The recipes of a project as they were read before: an unchanged one need not be read again.

Only a recipe that was read without fault is in the index: a wrong one is read again, and says so again.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from pathlib import Path

from orchestrator.digest.looks import Looks, Moment
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.packed import pack, unpack
from orchestrator.recipe.project import Project


class RecipeIndex:
    """The index of one project, kept in `file`."""

    def __init__(self, file: Path, project: Project, moment: Moment) -> None:
        # All that a recipe is read by, besides what lies in its directory.
        options = repr([(option.name, option.values) for option in project.options])
        self._looks = Looks(str(file), f"{project.root}/recipes", moment, options)

    def get(self, name: str) -> Recipe | None:
        """The recipe `name`, if it and all beside it look as they did when it was read."""
        packed = self._looks.get(name)
        if packed is None:
            return None
        recipe: Recipe = unpack(marshal.loads(packed))
        return recipe

    def add(self, recipe: Recipe) -> None:
        """Remember a recipe that this process has read."""
        self._looks.add(recipe.name, _made_of(recipe), marshal.dumps(pack(recipe)))

    def save(self) -> None:
        """Let what was added be found from now on."""
        self._looks.save()


def _made_of(recipe: Recipe) -> Iterator[str]:
    """Its directory, its files, and the directories between: paths below the recipes' directory."""
    directory = recipe.directory.name
    yield directory
    for name in ("recipe.toml", *recipe.beside()):
        parts = name.split("/")
        yield from ("/".join((directory, *parts[:end])) for end in range(1, len(parts) + 1))
