"""From the goals to every recipe that they need, each at its chosen version, in an order that works. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from orchestrator.errors import RecipeError
from orchestrator.frozen import NamedTuple
from orchestrator.graph.choose import Brought, Choice, Chooser, Input
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.parse import suggestion

Brings = dict[str, tuple[Brought, ...]]


class Walk(NamedTuple):
    """All choices by name, and the names whose checks are run: the goals and what is in their runtime closures."""

    choices: dict[str, Choice]
    checked: frozenset[str]


def _known(recipes: Mapping[str, Recipe], choice: Choice, name: str, field: str) -> str:
    if name not in recipes:
        kind = "an unknown recipe" if ".brings." in field else "an unknown input"
        hint = suggestion(name, recipes, label="recipes")
        raise RecipeError(f"{choice.name} names {kind} {name!r}", where=f"{choice.recipe.where}: {field}", hint=hint)
    return name


def _once(recipes: Mapping[str, Recipe], goals: Sequence[str], chooser: Chooser, brings: Brings) -> Walk:
    """Everything that the goals need, given what is brought."""
    choices: dict[str, Choice] = {}
    checked: set[str] = set()
    todo = [(goal, True) for goal in reversed(goals)]
    while todo:
        name, runs = todo.pop()
        fresh = name not in choices
        if not fresh and (not runs or name in checked):
            continue
        if fresh:
            brought = brings.get(name)
            choices[name] = chooser.choose(recipes[name], brought[0] if brought else None)
        choice = choices[name]
        todo += [(_known(recipes, choice, one.name, one.field), runs) for one in choice.runtime]
        if fresh:
            todo += [(_known(recipes, choice, one.name, one.field), False) for one in choice.build]
        if runs:
            checked.add(name)
            if choice.parts.check is not None:
                todo += [(_known(recipes, choice, one.name, one.field), False) for one in choice.check]
    return Walk(choices=choices, checked=frozenset(checked))


def _brings(recipes: Mapping[str, Recipe], walk: Walk) -> Brings:
    """What the choices bring, by recipe: in the order of the bringers' names."""
    found: Brings = {}
    for _, choice in sorted(walk.choices.items()):
        for name, version in choice.entry.brings.items():
            field = f"versions.{choice.version}.brings.{name}"
            where = f"{choice.recipe.where}: {field}"
            _known(recipes, choice, name, field)
            found[name] = (*found.get(name, ()), Brought(version=version, by=choice.label, where=where))
    return found


def walk_goals(recipes: Mapping[str, Recipe], goals: Sequence[str], chooser: Chooser) -> Walk:
    """The choices that agree with what they bring; RecipeError where two bring different versions of one recipe."""
    brings: Brings = {}
    seen: list[Brings] = []
    while True:
        walk = _once(recipes, goals, chooser, brings)
        found = _brings(recipes, walk)
        if found == brings:
            break
        if found in seen:
            name = next(name for name in sorted({*found, *brings}) if found.get(name) != brings.get(name))
            what = f"which version of {name} comes with the others depends on itself"
            raise RecipeError(what, hint=f"choose it: --set {name}.version=...")
        seen.append(found)
        brings = found
    for name, brought in sorted(brings.items()):
        other = next((b for b in brought if b.version != brought[0].version), None)
        if name in walk.choices and other is not None and chooser.settings.get(f"{name}.version") is None:
            first = brought[0]
            raise RecipeError(
                f"{first.by} brings {name} {first.version}, {other.by} brings {name} {other.version}",
                where=other.where,
                hint=f"choose one: --set {name}.version={first.version}",
            )
    return walk


def _needs(choice: Choice) -> list[Input]:
    return [*choice.build, *choice.runtime]


def _cycle(choices: Mapping[str, Choice], path: Sequence[str], name: str) -> RecipeError:
    round_ = [*path[path.index(name) :], name]
    steps = []
    for one, other in pairwise(round_):
        field = next(need.field for need in _needs(choices[one]) if need.name == other)
        steps.append(f"{choices[one].recipe.where}: {field} names {other}")
    return RecipeError(
        f"a cycle: {' -> '.join(round_)}", where=steps[0].partition(" names ")[0], why="; ".join(steps), hint="drop one"
    )


def in_order(choices: Mapping[str, Choice]) -> list[str]:
    """Every name, what it needs before it, ties by name; RecipeError with the path if that goes round in a circle.

    An order of the graph alone: what else a goal needs does not change how two recipes stand to each other.
    """
    height: dict[str, int] = {}
    for start in sorted(choices):
        path: list[str] = []
        on_path: set[str] = set()
        todo = [start]
        while todo:
            name = todo[-1]
            if name in height or (path and path[-1] == name):
                todo.pop()
                if path and path[-1] == name:
                    on_path.discard(path.pop())
                    height[name] = 1 + max((height[need.name] for need in _needs(choices[name])), default=-1)
                continue
            path.append(name)
            on_path.add(name)
            for need in reversed(_needs(choices[name])):
                if need.name in on_path:
                    raise _cycle(choices, path, need.name)
                if need.name not in height:
                    todo.append(need.name)
    return sorted(choices, key=lambda name: (height[name], name))
