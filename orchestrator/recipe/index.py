"""The recipes of a project as they were read before: an unchanged one need not be read again.

Only a recipe that was read without fault is in the index: a wrong one is read again, and says so again. Of most recipes
nobody wants to know more than whether they are still the same: for that they have prints.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.digest import blake3_bytes
from orchestrator.digest.kept import Moment
from orchestrator.digest.looks import Looks
from orchestrator.digest.packed import Packer
from orchestrator.frozen import replace
from orchestrator.recipe.lock import Deb, Lock
from orchestrator.recipe.model import (
    Base,
    Inputs,
    LocalFile,
    Option,
    OptionValue,
    Parts,
    Recipe,
    Requirement,
    Runtime,
    Script,
    Setuid,
    SourceEntry,
    Version,
)
from orchestrator.recipe.project import Project

PACKER = Packer(
    Recipe, Version, SourceEntry, Requirement, Option, OptionValue, Parts, Inputs, Runtime, Script, Base, Setuid,
    LocalFile, Lock, Deb,
)  # fmt: skip
_PRINT = 16  # bytes


# The prints of a recipe: a hash of all that was read, and one of its outline, all that decides anything besides what
# the recipe's own output is made of: which version is chosen, what it is built with, run with and needs of others.
Prints = bytes


def outline(prints: Prints) -> bytes:
    """That part of a recipe's prints which is of its outline."""
    return prints[_PRINT:]


def prints(recipe: Recipe) -> Prints:
    """The prints of `recipe`."""
    versions = {
        name: replace(version, flags=(), patches=(), sources=(), lock=None) for name, version in recipe.versions.items()
    }
    options = {
        name: (option.default, {value: (adds.build, adds.runtime) for value, adds in option.values.items()})
        for name, option in recipe.options.items()
    }
    parts = {origin: (one.inputs, one.inputs_field, one.check is None) for origin, one in recipe.parts.items()}
    rest = (recipe.name, recipe.base is None, versions, options, parts)
    return _print(recipe) + _print(rest)


def _print(value: object) -> bytes:
    return bytes.fromhex(blake3_bytes(repr(value).encode("utf-8", "surrogatepass")).hex)[:_PRINT]


class RecipeIndex:
    """The index of one project, kept in `file`."""

    def __init__(self, file: Path, project: Project, moment: Moment) -> None:
        # All that a recipe is read by, besides what lies in its directory.
        options = repr([(option.name, option.values) for option in project.options])
        self._looks = Looks(str(file), f"{project.root}/recipes", moment, options)

    def get(self, name: str) -> Recipe | None:
        """The recipe `name`, if it and all beside it look as they did when it was read."""
        kept = self._looks.get(name)
        if kept is None:
            return None
        recipe: Recipe = PACKER.unpack(marshal.loads(memoryview(kept)[2 * _PRINT :]))
        return recipe

    def prints(self, name: str) -> Prints | None:
        """The prints of the recipe that `get` gives."""
        kept = self._looks.get(name)
        return None if kept is None else kept[: 2 * _PRINT]

    def made_of(self, name: str) -> tuple[str, ...] | None:
        """What the recipe that `get` gives was read from: paths below the recipes' directory. If one of its files was
        not there, the directory that it would be in."""
        return self._looks.paths(name)

    def unlike(self, names: Sequence[str], prints: Sequence[Prints]) -> list[int]:
        """The places of the recipes that may have other prints than these."""
        return self._looks.unlike(names, prints)

    def add(self, recipe: Recipe) -> Prints:
        """Remember a recipe that this process has read; its prints."""
        made = prints(recipe)
        self._looks.add(recipe.name, _made_of(recipe), made + marshal.dumps(PACKER.pack(recipe)))
        return made

    def save(self) -> None:
        """Let what was added be found from now on."""
        self._looks.save()


def _made_of(recipe: Recipe) -> Iterator[str]:
    """Its files, as paths below the recipes' directory. If there are others beside its own, its directory too, and
    those between: one of the files may not be there yet."""
    directory = recipe.directory.name
    names = tuple(recipe.beside())
    if names:
        yield directory
    for name in ("recipe.toml", *names):
        parts = name.split("/")
        yield from ("/".join((directory, *parts[:end])) for end in range(1 if names else len(parts), len(parts) + 1))
