"""Recipes, options and goals become a graph of derivations in which nothing is left to look up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.errors import UsageError
from orchestrator.graph.choose import Choice, Chooser
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.node import Mounts, make_node
from orchestrator.graph.options import Settings
from orchestrator.graph.refuse import (
    no_build_base,
    refuse_platform,
    refuse_two_bases,
    refuse_unlocked,
    refuse_unmet,
    refuse_unread,
    refuse_use,
    the_base,
)
from orchestrator.graph.walk import Walk, in_order, walk_goals
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.parse import suggestion
from orchestrator.recipe.project import GlobalOption


class _Closures:
    """What is mounted where: sets of positions in one order, top first, so that a closure is a union, sorted."""

    def __init__(self, walk: Walk, order: Sequence[str]) -> None:
        self.choices = walk.choices
        height: dict[str, int] = {}
        for name in order:
            height[name] = 1 + max((height[one.name] for one in self.choices[name].runtime), default=-1)
        self.names = sorted(order, key=lambda name: (self.choices[name].is_base, -height[name], name))
        self.position = {name: index for index, name in enumerate(self.names)}
        self.bases = {self.position[name] for name in order if self.choices[name].is_base}
        self.runtime: dict[str, set[int]] = {}
        for name in order:
            self.runtime[name] = self._closed(one.name for one in self.choices[name].runtime)
            refuse_two_bases(self.choices[name], self.choices, (self.names[i] for i in self.runtime[name] & self.bases))

    def _closed(self, names: Iterable[str]) -> set[int]:
        """The positions of `names` and of their runtime closures."""
        closed: set[int] = set()
        for name in names:
            closed.add(self.position[name])
            closed |= self.runtime[name]
        return closed

    def _listed(self, positions: set[int], base: str | None) -> tuple[str, ...]:
        """Names top first, of the bases only `base`."""
        upper = sorted(positions - self.bases)
        return (*(self.names[index] for index in upper), *([base] if base is not None else []))

    def mounts(self, choice: Choice, *, checked: bool) -> Mounts:
        """What is mounted for `choice`."""
        runtime = self.runtime[choice.name]
        build: tuple[str, ...] = ()
        if not choice.is_base:
            base = the_base(choice, self.choices, choice.build, "build")
            if base is None:
                raise no_build_base(choice, self.choices)
            build = self._listed(self._closed(one.name for one in choice.build), base)
        check: tuple[str, ...] = ()
        if checked:
            base = the_base(choice, self.choices, choice.check, "check")
            if base is not None and self.position[base] in runtime:
                base = None
            others = self._closed(one.name for one in choice.check) - runtime - {self.position[choice.name]}
            check = self._listed(others, base)
        return Mounts(build=build, runtime=tuple(self.names[index] for index in sorted(runtime)), check=check)


def _known_goals(recipes: Mapping[str, Recipe], goals: Sequence[str]) -> tuple[str, ...]:
    for goal in goals:
        if goal not in recipes:
            raise UsageError(f"there is no recipe {goal!r}", hint=suggestion(goal, recipes, label="recipes"))
    return tuple(dict.fromkeys(goals))


def _nodes(walk: Walk, order: Sequence[str], platform: str) -> tuple[Node, ...]:
    closures = _Closures(walk, order)
    nodes = []
    for name in order:
        choice = walk.choices[name]
        checked = name in walk.checked and choice.parts.check is not None
        nodes.append(make_node(choice, closures.mounts(choice, checked=checked), platform, checked=checked))
    return tuple(nodes)


def resolve(
    recipes: Mapping[str, Recipe],
    options: Sequence[GlobalOption],
    goals: Sequence[str],
    settings: Settings,
    platform: str,
    *,
    allow_unlocked: bool = False,
    replaced: frozenset[str] = frozenset(),
) -> Graph:
    """The graph that `goals` need; one graph, so one version of each recipe, for all of them.

    UsageError for a goal that is not there, RecipeError for all else. `allow_unlocked` is for showing only; the
    recipes named in `replaced` get another source (dirty.py), so their own need not be locked.
    """
    goals = _known_goals(recipes, goals)
    values = {option.name: settings.get(option.name) or option.default for option in options}
    chooser = Chooser(settings, values)
    walk = walk_goals(recipes, goals, chooser)
    refuse_unread(settings, goals, walk.choices, recipes)
    order = in_order(walk.choices)
    for name in order:
        choice = walk.choices[name]
        refuse_platform(choice, platform)
        if not allow_unlocked and name not in replaced:
            refuse_unlocked(choice)
        refuse_use(choice, walk.choices, chooser)
        refuse_unmet(choice, walk.choices, recipes, chooser)
    return Graph(goals=goals, nodes=_nodes(walk, order, platform), options=settings.values)
