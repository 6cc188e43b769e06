"""Which version of each recipe a graph has, and so which inputs. Pure.

A version is chosen by `--set NAME.version`, else by a chosen dependent that brings one, else by the order in the recipe
(of the preferred origin first), among those that exist under the options. One that nobody here has built (`unproven`)
is not chosen by order alone while another is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.errors import RecipeError
from orchestrator.frozen import NamedTuple, frozen
from orchestrator.graph.options import ORIGIN, VERSION, Settings
from orchestrator.recipe.model import Parts, Recipe, Version
from orchestrator.recipe.parse import suggestion


class Input(NamedTuple):
    """A recipe named as an input, and the field that names it."""

    name: str
    field: str


class Brought(NamedTuple):
    """A version that a chosen recipe brings, and who brings it."""

    version: str
    by: str
    where: str


@frozen
class Choice:
    """A recipe at a version. `why` says how the version was chosen; `options` holds all that it reads."""

    recipe: Recipe
    version: str
    entry: Version
    parts: Parts
    why: str
    options: tuple[tuple[str, str], ...]
    build: tuple[Input, ...]
    runtime: tuple[Input, ...]
    check: tuple[Input, ...]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def label(self) -> str:
        return f"{self.recipe.name} {self.version}"

    @property
    def is_base(self) -> bool:
        return self.recipe.base is not None


class Chooser:
    """Chooses under fixed settings. `globals_` holds the project's options, defaults included."""

    def __init__(self, settings: Settings, globals_: Mapping[str, str]) -> None:
        self.settings = settings
        self.globals = globals_

    def option(self, recipe: Recipe, name: str) -> str:
        """The value of an option as `recipe` sees it."""
        if name in recipe.options:
            return self.settings.get(f"{recipe.name}.{name}") or recipe.options[name].default
        return self.globals[name]

    def absent(self, recipe: Recipe, version: str) -> str:
        """Why a version does not exist under these options; empty if it does."""
        when = recipe.versions[version].when
        unmet = [name for name, value in when.items() if self.option(recipe, name) != value]
        if not unmet:
            return ""
        wanted = " and ".join(f"{name}={when[name]}" for name in unmet)
        here = " and ".join(f"{name}={self.option(recipe, name)}" for name in unmet)
        return f"{recipe.name} {version} exists only with {wanted}, and here {here}"

    def _explicit(self, recipe: Recipe, version: str) -> str:
        setting = f"--set {recipe.name}.version={version}"
        if version not in recipe.versions:
            hint = suggestion(version, recipe.versions, label="versions")
            raise RecipeError(f"{recipe.name} has no version {version}", where=recipe.where, hint=hint)
        if absent := self.absent(recipe, version):
            wanted = " ".join(f"--set {name}={value}" for name, value in recipe.versions[version].when.items())
            where = f"{recipe.where}: versions.{version}.when"
            raise RecipeError(absent, where=where, hint=f"say {wanted} too, or leave out {setting}")
        return setting

    def _brought(self, recipe: Recipe, brought: Brought) -> str:
        if brought.version not in recipe.versions:
            hint = suggestion(brought.version, recipe.versions, label=f"versions of {recipe.name}")
            what = f"{brought.by} brings {recipe.name} {brought.version}, which does not exist"
            raise RecipeError(what, where=brought.where, hint=hint)
        if absent := self.absent(recipe, brought.version):
            hint = f"choose a version of {recipe.name}: --set {recipe.name}.version=..."
            raise RecipeError(f"{brought.by} brings {absent}", where=brought.where, hint=hint)
        return f"{brought.by} brings it"

    def _listed(self, recipe: Recipe) -> tuple[str, str]:
        there = [version for version in recipe.versions if not self.absent(recipe, version)]
        if not there:
            why = "; ".join(self.absent(recipe, version) for version in recipe.versions)
            raise RecipeError(f"no version of {recipe.name} exists with these options", where=recipe.where, why=why)
        origin = self.settings.get(ORIGIN)
        for version in there:
            if recipe.versions[version].origin == origin:
                return version, f"the first of origin {origin}"
        proven = [version for version in there if recipe.versions[version].unproven is None]
        return (proven or there)[0], "the first listed"

    def choose(self, recipe: Recipe, brought: Brought | None) -> Choice:
        """The choice for `recipe`; RecipeError if what was asked for cannot be."""
        explicit = self.settings.get(f"{recipe.name}.{VERSION}")
        if explicit is not None:
            version, why = explicit, self._explicit(recipe, explicit)
        elif brought is not None:
            version, why = brought.version, self._brought(recipe, brought)
        else:
            version, why = self._listed(recipe)
        return self.at(recipe, version, why)

    def at(self, recipe: Recipe, version: str, why: str) -> Choice:
        """The choice of `version`, which exists here."""
        entry = recipe.versions[version]
        parts = recipe.parts[entry.origin]
        field = parts.inputs_field
        options = tuple((name, self.option(recipe, name)) for name in entry.reading)
        build = [Input(name, f"{field}.build") for name in parts.inputs.build]
        runtime = [Input(name, f"{field}.runtime") for name in parts.inputs.runtime]
        for name, value in options:
            if name in recipe.options:
                at = f"options.{name}.values.{value}"
                adds = recipe.options[name].values[value]
                build += [Input(added, f"{at}.build") for added in adds.build]
                runtime += [Input(added, f"{at}.runtime") for added in adds.runtime]
        return Choice(
            recipe=recipe,
            version=version,
            entry=entry,
            parts=parts,
            why=why,
            options=options,
            build=_once(build),
            runtime=_once(runtime),
            check=_once(Input(name, f"{field}.check") for name in parts.inputs.check),
        )


def _once(inputs: Iterable[Input]) -> tuple[Input, ...]:
    named: dict[str, Input] = {}
    for one in inputs:
        named.setdefault(one.name, one)
    return tuple(named.values())
