"""What a graph may not be, each refusal with its reason and a way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.errors import RecipeError
from orchestrator.graph.bounds import within
from orchestrator.graph.choose import Choice, Chooser, Input
from orchestrator.graph.options import ORIGIN, VERSION, Settings, full_name, readers
from orchestrator.recipe.model import Recipe, Requirement
from orchestrator.recipe.parse import suggestion


class Unread(RecipeError):
    """Nothing in the graph reads the option `name`, which was set."""

    name = ""


def refuse_platform(choice: Choice, platform: str) -> None:
    """A version is for the platforms that it names."""
    if platform not in choice.entry.platforms:
        others = [v for v, entry in choice.recipe.versions.items() if platform in entry.platforms]
        raise RecipeError(
            f"{choice.label} is not for {platform}",
            where=f"{choice.recipe.where}: versions.{choice.version}.platforms",
            why=f"it is for {', '.join(choice.entry.platforms)}",
            hint=f"--set {choice.name}.version={others[0]}" if others else "",
        )


def refuse_unlocked(choice: Choice) -> None:
    """A version whose hashes are not all known cannot be built."""
    if not choice.entry.locked:
        hint = f"orch source lock {choice.name}@{choice.version} completes it where its hosts answer"
        if choice.recipe.base is not None:
            security = " --security" if choice.version.endswith("-security") else ""
            hint = f"make its lock: orch lock {choice.name}{security}"
        raise RecipeError(
            f"{choice.label} is not locked",
            where=f"{choice.recipe.where}: versions.{choice.version}.locked",
            why=f"some hash of its sources is not known yet{'; ' if choice.entry.unproven else ''}"
            f"{choice.entry.unproven or ''}",
            hint=hint,
        )


def _instead(choice: Choice, chooser: Chooser, fits: Callable[[str], bool]) -> str:
    """The setting that chooses the first other version of a recipe that fits, if there is one."""
    there = [v for v in choice.recipe.versions if v != choice.version and fits(v)]
    here = [v for v in there if not chooser.absent(choice.recipe, v)]
    if here:
        return f"--set {choice.name}.version={here[0]}"
    if there:
        when = " ".join(f"--set {k}={v}" for k, v in choice.recipe.versions[there[0]].when.items())
        return f"{when} --set {choice.name}.version={there[0]}"
    return ""


def refuse_use(choice: Choice, choices: Mapping[str, Choice], chooser: Chooser) -> None:
    """A runtime-only version is no build input, a link-only one no runtime input."""
    build = ((one, choices[one.name].entry.runtime_only, "runtime_only", "build") for one in choice.build)
    runtime = ((one, choices[one.name].entry.link_only, "link_only", "runtime") for one in choice.runtime)
    for one, reason, field, kind in (*build, *runtime):
        if reason is not None:
            used = choices[one.name]

            def fits(version: str, used: Choice = used, field: str = field) -> bool:
                return getattr(used.recipe.versions[version], field) is None

            raise RecipeError(
                f"{used.label} cannot be a {kind} input of {choice.label}: {reason}",
                where=f"{choice.recipe.where}: {one.field}",
                why=f"{used.version} was chosen: {used.why}",
                hint=_instead(used, chooser, fits),
            )


def _satisfies(recipe: Recipe, version: str, need: Requirement) -> bool:
    if need.feature is not None:
        return need.feature in recipe.versions[version].provides
    return within(version, need.version or "")


def _spelt(need: Requirement) -> str:
    if need.feature is not None:
        return f"{need.recipe} with {need.feature}"
    parts = (re.sub(r"^\s*([<>=!~]+)\s*", r"\1 ", part).strip() for part in (need.version or "").split(","))
    return f"{need.recipe} {', '.join(parts)}"


def refuse_unmet(
    choice: Choice, choices: Mapping[str, Choice], recipes: Mapping[str, Recipe], chooser: Chooser
) -> None:
    """What a version requires of a recipe holds if that recipe is in the graph."""
    for index, need in enumerate(choice.entry.requires):
        where = f"{choice.recipe.where}: versions.{choice.version}.requires[{index}]"
        if need.recipe not in recipes:
            hint = suggestion(need.recipe, recipes, label="recipes")
            raise RecipeError(f"{choice.label} requires an unknown recipe {need.recipe!r}", where=where, hint=hint)
        other = choices.get(need.recipe)
        if other is None or _satisfies(other.recipe, other.version, need):
            continue

        def fits(version: str, other: Choice = other, need: Requirement = need) -> bool:
            return _satisfies(other.recipe, version, need)

        instead = _instead(other, chooser, fits)
        explicit = chooser.settings.get(f"{other.name}.{VERSION}") is not None
        ways = [f"leave out {other.why}"] if explicit else []
        raise RecipeError(
            f"{choice.label} needs {_spelt(need)}: {need.reason}",
            where=where,
            why=f"{other.label} was chosen: {other.why}",
            hint=" or ".join([*ways, instead] if instead else ways) or f"no version of {other.name} here has that",
        )


def the_base(choice: Choice, choices: Mapping[str, Choice], inputs: Sequence[Input], kind: str) -> str | None:
    """The base among inputs; RecipeError if there is more than one."""
    bases = [one for one in inputs if choices[one.name].is_base]
    if len(bases) > 1:
        raise RecipeError(
            f"{choice.label} has {len(bases)} bases among its {kind} inputs: {', '.join(one.name for one in bases)}",
            where=f"{choice.recipe.where}: {bases[1].field}",
            hint="name one",
        )
    return bases[0].name if bases else None


def no_build_base(choice: Choice, choices: Mapping[str, Choice]) -> RecipeError:
    """The refusal of a recipe that is built on no base."""
    known = [name for name, other in sorted(choices.items()) if other.is_base]
    return RecipeError(
        f"{choice.label} has no base among its build inputs",
        where=f"{choice.recipe.where}: {choice.parts.inputs_field}.build",
        hint=f"add a base, such as {known[0]}" if known else "add a base: a recipe with [base]",
    )


def refuse_two_bases(choice: Choice, choices: Mapping[str, Choice], bases: Iterable[str]) -> None:
    """A runtime closure has one root file system, so at most one base."""
    found = sorted(bases)
    if len(found) < 2:
        return
    paths: dict[str, tuple[str, ...]] = {choice.name: (choice.name,)}
    todo = [choice.name]
    for name in todo:
        for one in choices[name].runtime:
            if one.name not in paths:
                paths[one.name] = (*paths[name], one.name)
                todo.append(one.name)
    raise RecipeError(
        f"the runtime closure of {choice.label} has two bases: {found[0]} and {found[1]}",
        where=choice.recipe.where,
        why="; ".join(" -> ".join(paths[name]) for name in found[:2]),
        hint="give both the same base in inputs.runtime",
    )


def refuse_unread(
    settings: Settings, goals: Sequence[str], choices: Mapping[str, Choice], recipes: Mapping[str, Recipe]
) -> None:
    """A setting that changes nothing is a mistake: say who reads it."""
    read = {ORIGIN} | {f"{name}.{VERSION}" for name in choices}
    for choice in choices.values():
        read.update(full_name(choice.recipe, option) for option in choice.entry.reads)
        for entry in choice.recipe.versions.values():  # took part in choosing, chosen or not
            read.update(full_name(choice.recipe, option) for option in entry.when)
    for name, value in settings.values:
        if name in read:
            continue
        owner, _, option = name.rpartition(".")
        outside = f"{owner} is not in it" if owner and owner not in choices else ""
        who = readers(recipes, name) if option != VERSION else []
        read_by = f"read by {', '.join(who)}" if who else "no version reads it" if option != VERSION else ""
        unread = Unread(
            f"nothing in the closure of {' and '.join(goals)} reads {name}",
            where=f"--set {name}={value}",
            why="; ".join(part for part in (outside, read_by) if part),
            hint=f"leave out --set {name}={value}",
        )
        unread.name = name
        raise unread
