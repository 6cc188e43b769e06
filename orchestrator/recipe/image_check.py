"""What can be wrong in an image recipe whose fields all have the right form. Pure: the files beside it and the lock are
image_load's concern."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from orchestrator.recipe.check import NAME, VERSION, leaves
from orchestrator.recipe.image import BASE_IMAGE, CHECKS, Checks, ImageDocument
from orchestrator.recipe.image_config import config_problems
from orchestrator.recipe.image_python import python_problems
from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.parse import Problem, suggestion
from orchestrator.recipe.project import OPTION_NAME, RESERVED

OCI = re.compile(r"oci:[a-z0-9][a-z0-9._-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)+@sha256:[0-9a-f]{64}")
WHEEL = re.compile(r"wheel:[a-z0-9]+(?:-[a-z0-9]+)*")
PLATFORM = re.compile(r"(x86_64|aarch64)-linux")
PLUGIN = re.compile(r"[A-Za-z0-9_]+")
SONAME = re.compile(r"[^\s/]+")
_REASON = "say in `reason` why that is right"


def _reason(reason: str, path: FieldPath, hint: str = _REASON) -> Iterator[Problem]:
    if not reason.strip():
        yield Problem(path, "the reason is empty", hint)


def _recipes(names: Iterable[tuple[FieldPath, str]], recipes: Collection[str]) -> Iterator[Problem]:
    for path, name in names:
        if name not in recipes:
            yield Problem(path, f"there is no recipe {name!r}", suggestion(name, recipes, label="recipes"))


def _named(document: ImageDocument) -> Iterator[tuple[FieldPath, str]]:
    """Every recipe that the image names, with the field that does."""
    if document.base.from_ is None or document.python is not None:  # whose Python makes the bytecode
        yield ("base", "recipe"), document.base.recipe
    for index, name in enumerate(document.components):
        yield ("components", index), name
    for distribution, name in (document.python.provided if document.python else {}).items():
        yield ("python", "provided", distribution), name


def _head(document: ImageDocument, directory: str, recipes: Collection[str]) -> Iterator[Problem]:
    if document.name != directory:
        yield Problem(("name",), f"name is {document.name!r}, its directory is {directory!r}")
    elif NAME.fullmatch(document.name) is None:
        yield Problem(("name",), f"an image cannot be called {document.name!r}")
    if document.name in recipes:
        yield Problem(("name",), f"there is a recipe {document.name!r} too", "call one of them otherwise")
    if VERSION.fullmatch(document.version) is None:
        yield Problem(("version",), f"a version cannot be called {document.version!r}")
    if not document.summary.strip():
        yield Problem(("summary",), "the summary is empty")
    for index, name in enumerate(document.components):
        if name in document.components[:index]:
            yield Problem(("components", index), f"{name} is named twice", "name it once")


def _base(document: ImageDocument) -> Iterator[Problem]:
    base = document.base
    if base.from_ is None:
        return
    if OCI.fullmatch(base.from_) is None:
        hint = "an image is pinned by its digest: oci:REPO@sha256:HEX (64 lower-case hex digits), REPO with its host"
        yield Problem(("base", "from"), f"not a pinned image: {base.from_!r}", hint)
    if base.recipe != type(base)().recipe:
        yield Problem(("base", "recipe"), "both recipe and from: an image stands on one of them", "leave one out")


def _platforms(document: ImageDocument) -> Iterator[Problem]:
    if not document.platforms:
        yield Problem(("platforms",), "no platform", 'write platforms = ["x86_64-linux"]')
    fields: list[tuple[FieldPath, str]] = [(("platforms", i), name) for i, name in enumerate(document.platforms)]
    fields += [(("refuses", name), name) for name in document.refuses]
    for path, name in fields:
        if PLATFORM.fullmatch(name) is None:
            yield Problem(path, f"not a platform: {name!r}", "platforms: x86_64-linux, aarch64-linux")
    for name, reason in document.refuses.items():
        yield from _reason(reason, ("refuses", name), "say why there is no such image")
        if name in document.platforms:
            yield Problem(("refuses", name), f"{name} is refused and among the platforms", "leave one out")


def _options(document: ImageDocument, globals_: Mapping[str, Sequence[str]], recipes: Collection[str]) -> list[Problem]:
    found: list[Problem] = []
    known = {**globals_, "origin": ("source", "vendor")}
    for name, value in document.options.items():
        path: FieldPath = ("options", name)
        owner, dot, option = name.rpartition(".")
        if name in known:
            if value not in known[name]:
                hint = f"values: {', '.join(known[name])}"
                found.append(Problem(path, f"{value!r} is not a value of {name}", hint))
        elif not dot:
            found.append(Problem(path, f"unknown option {name!r}", suggestion(name, known, label="options")))
        elif owner not in recipes:
            what = f"unknown option {name!r}: there is no recipe {owner!r}"
            found.append(Problem(path, what, suggestion(owner, recipes, label="recipes")))
        elif OPTION_NAME.fullmatch(option) is None or option in RESERVED:
            found.append(Problem(path, f"a recipe has no option called {option!r}"))
        elif not value:
            found.append(Problem(path, f"{name} has no value"))
    return found


def _component(name: str, path: FieldPath, recipes: Collection[str]) -> Iterator[Problem]:
    if WHEEL.fullmatch(name) is None and name not in ("bytecode", "system") and name not in recipes:
        hint = suggestion(name, recipes, label="a component is wheel:NAME (as the lock spells it) or a recipe")
        yield Problem(path, f"there is no component {name!r}", hint)


def _choices(document: ImageDocument, recipes: Collection[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    recipes = {*recipes, BASE_IMAGE} if document.base.from_ is not None else recipes
    for index, winner in enumerate(document.winners):
        at: FieldPath = ("winners", index)
        file = winner.path.removeprefix("/")
        if not file or posixpath.normpath(file) != file or leaves(file):
            yield Problem((*at, "path"), f"not a normalised path: {winner.path!r}")
        elif file in seen:
            yield Problem((*at, "path"), f"{winner.path} has two winners", "leave one out")
        seen.add(file)
        yield from _component(winner.component, (*at, "component"), recipes)
        yield from _reason(winner.reason, (*at, "reason"))
    for index, drop in enumerate(document.drop):
        at = ("drop", index)
        yield from _glob(drop.path, (*at, "path"))
        yield from _component(drop.component, (*at, "component"), recipes)
        if document.base.from_ is not None and drop.component == BASE_IMAGE:
            what = "nothing of a base from a registry can be left out: its layers are taken as they are"
            yield Problem((*at, "component"), what, "pin an image that does not have it")
        yield from _reason(drop.reason, (*at, "reason"))


def _glob(pattern: str, path: FieldPath) -> Iterator[Problem]:
    if not pattern:
        yield Problem(path, "an empty pattern matches nothing")
    elif leaves(pattern):
        yield Problem(
            path, f"matches nothing: {pattern!r}", "paths here are relative to the image's root: usr/lib/x.so"
        )


def _waivers(checks: Checks) -> Iterator[Problem]:
    for name, reason in checks.off.items():
        if name not in CHECKS:
            hint = suggestion(name, CHECKS, label="checks")
            yield Problem(("checks", "off", name), f"there is no check {name!r}", hint)
        yield from _reason(reason, ("checks", "off", name), "say why it is not run")
    for index, waiver in enumerate(checks.waive):
        at: FieldPath = ("checks", "waive", index)
        if waiver.check not in CHECKS:
            hint = suggestion(waiver.check, CHECKS, label="checks")
            yield Problem((*at, "check"), f"there is no check {waiver.check!r}", hint)
        elif waiver.check in checks.off:
            yield Problem((*at, "check"), f"{waiver.check} is off: there is nothing to waive", "leave one out")
        yield from _reason(waiver.reason, (*at, "reason"))
        yield from _glob(waiver.path.removeprefix("/"), (*at, "path"))
        if not waiver.name:
            yield Problem((*at, "name"), "an empty pattern matches nothing")
        if not (waiver.path.lstrip("/") + waiver.name).strip("*?"):
            hint = "name the one finding by path, name or both, or switch the check off"
            yield Problem(at, f"waives all that {waiver.check} finds", hint)


def _checks(checks: Checks) -> Iterator[Problem]:
    yield from _waivers(checks)
    if checks.budget is not None and checks.budget <= 0:
        yield Problem(("checks", "budget"), f"the budget is {checks.budget} bytes")
    lists = (("plugins", checks.plugins, PLUGIN), ("ucx_modules", checks.ucx_modules, PLUGIN))
    for field, names, form in (*lists, ("dlopen", checks.dlopen, SONAME)):
        for index, name in enumerate(names):
            if form.fullmatch(name) is None:
                yield Problem(("checks", field, index), f"cannot be a name in {field}: {name!r}")


def image_problems(
    document: ImageDocument, directory: str, globals_: Mapping[str, Sequence[str]], recipes: Collection[str]
) -> list[Problem]:
    """All that is wrong. `directory` is the name of the image's; `globals_` maps the project's options to values;
    `recipes` are the names of the project's."""
    return [
        *_head(document, directory, recipes),
        *_base(document),
        *_recipes(_named(document), recipes),
        *_platforms(document),
        *_options(document, globals_, recipes),
        *(python_problems(document.python, document.platforms) if document.python else ()),
        *_choices(document, recipes),
        *config_problems(document.config),
        *_checks(document.checks),
    ]
