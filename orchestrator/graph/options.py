"""What the user set: `--set` texts become settings, or an error that says what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.errors import RecipeError, UsageError
from orchestrator.frozen import field, frozen
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.parse import closest, suggestion
from orchestrator.recipe.project import GlobalOption

ORIGIN = "origin"
ORIGINS = ("source", "vendor")
VERSION = "version"


@frozen
class Settings:
    """Options by full name (`cuda`, `origin`, `ucx.version`, `libfabric.verbs`), sorted; only what was set."""

    values: tuple[tuple[str, str], ...] = ()
    _by_name: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(sorted(self.values)))
        object.__setattr__(self, "_by_name", dict(self.values))

    def get(self, name: str) -> str | None:
        return self._by_name.get(name)


def readable(recipes: Mapping[str, Recipe]) -> Iterator[Recipe]:
    """Every recipe that can be read: for messages only, so a broken one is passed over."""
    for name in recipes:
        try:
            yield recipes[name]
        except RecipeError:
            continue


def full_name(recipe: Recipe, option: str) -> str:
    """The name by which the user sets an option that `recipe` knows by its bare name."""
    return f"{recipe.name}.{option}" if option in recipe.options else option


def readers(recipes: Mapping[str, Recipe], option: str) -> list[str]:
    """Every `NAME VERSION` that reads `option`."""
    return [
        f"{recipe.name} {name}"
        for recipe in readable(recipes)
        for name, version in recipe.versions.items()
        if option in (full_name(recipe, read) for read in version.reading)
    ]


def _owners(option: str, value: str, recipes: Mapping[str, Recipe]) -> str:
    """The settings of recipes that have an option of this bare name."""
    owners = [recipe.name for recipe in readable(recipes) if option in recipe.options]
    return " or ".join(f"--set {owner}.{option}={value}" for owner in owners)


def _unknown_global(name: str, value: str, recipes: Mapping[str, Recipe], known: Sequence[str]) -> RecipeError:
    if hint := _owners(name, value, recipes):
        return RecipeError(f"unknown option {name!r}", where="--set", why="it is an option of one recipe", hint=hint)
    if name in recipes:
        hint = f"--set {name}.version={value}"
        return RecipeError(f"unknown option {name!r}", where="--set", why="it is a recipe", hint=hint)
    return RecipeError(f"unknown option {name!r}", where="--set", hint=suggestion(name, known, label="options"))


def _allowed(name: str, value: str, recipes: Mapping[str, Recipe], known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The values that option `name` takes."""
    if name in known:
        return known[name]
    owner, dot, option = name.rpartition(".")
    if not dot:
        raise _unknown_global(name, value, recipes, list(known))
    if owner not in recipes:
        hint = suggestion(owner, recipes, label="recipes")
        raise RecipeError(f"unknown option {name!r}: there is no recipe {owner!r}", where="--set", hint=hint)
    recipe = recipes[owner]
    if option == VERSION:
        return tuple(recipe.versions)
    if option not in recipe.options:
        has = (VERSION, *recipe.options)
        hint = closest(option, recipe.options) or _owners(option, value, recipes) or closest(option, has)
        raise RecipeError(f"unknown option {name!r}", where="--set", why=f"{owner} has {', '.join(has)}", hint=hint)
    return tuple(recipe.options[option].values)


def parse_settings(texts: Sequence[str], recipes: Mapping[str, Recipe], options: Sequence[GlobalOption]) -> Settings:
    """The settings that `NAME=VALUE` texts spell.

    UsageError for a text of another form, RecipeError for an option or value that is not there.
    """
    known = {ORIGIN: ORIGINS, **{option.name: option.values for option in options}}
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"not a setting: {text!r}", where="--set", hint="write --set NAME=VALUE")
        allowed = _allowed(name, value, recipes, known)
        if value not in allowed:
            why = f"values: {', '.join(allowed)}"
            raise RecipeError(
                f"{value!r} is not a value of {name}", where="--set", why=why, hint=closest(value, allowed)
            )
        if values.setdefault(name, value) != value:
            raise UsageError(f"{name} is set to {values[name]} and to {value}", where="--set", hint="set it once")
    return Settings(values=tuple(values.items()))
