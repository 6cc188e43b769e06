"""What can be wrong in the [python] table of an image recipe, and whether a lock is still the lock of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from orchestrator.recipe.check import leaves
from orchestrator.recipe.image import Python
from orchestrator.recipe.image_config import absolute
from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.lock_form import is_date
from orchestrator.recipe.parse import Problem
from orchestrator.recipe.python_lock import PythonLock, lock_input
from orchestrator.recipe.wheel_tags import OLDEST, PLATFORM, PYTHON

INDEX = re.compile(r"https://[^/@\s?#]+(?:/[^\s?#]*)?|http://(?:localhost|127[.0-9]+|\[::1\])(?::\d+)?(?:/[^\s?#]*)?")
_SPELT = "spell it like 'nixl', 'sglang==0.5.8' or 'vllm[runai]>=0.14'"


def _requirements(python: Python) -> Iterator[Problem]:
    from packaging.requirements import InvalidRequirement, Requirement

    if not python.requirements:
        yield Problem(("python", "requirements"), "no requirements", "name what is to be there, or leave [python] out")
    lists = (("constraints", python.constraints), ("overrides", python.overrides))
    for field, texts in (("requirements", python.requirements), *lists):
        for index, text in enumerate(texts):
            path: FieldPath = ("python", field, index)
            try:
                parsed = Requirement(text)
            except InvalidRequirement as error:
                reason = str(error).partition("\n")[0]
                yield Problem(path, f"not a requirement: {text!r} ({reason})", _SPELT)
                continue
            if parsed.url is not None:
                hint = "name the distribution, and its index in python.indexes if it has its own"
                yield Problem(path, f"{text!r} names an address: a lock names none", hint)


def _distributions(python: Python) -> Iterator[Problem]:
    from packaging.utils import InvalidName, canonicalize_name

    fields: list[tuple[FieldPath, str]] = [(("python", "excludes", i), name) for i, name in enumerate(python.excludes)]
    fields += [(("python", "provided", name), name) for name in python.provided]
    for path, name in fields:
        try:
            normal = canonicalize_name(name, validate=True)
        except InvalidName:
            yield Problem(path, f"not a distribution's name: {name!r}", "only the name, without a version")
            continue
        if normal != name:
            yield Problem(path, f"not a normalised name: {name!r}", f"write {normal!r}")


def python_problems(python: Python, platforms: Collection[str]) -> Iterator[Problem]:
    """All that is wrong in [python] of an image for `platforms`."""
    yield from _requirements(python)
    yield from _distributions(python)
    for index, address in enumerate(python.indexes):
        if INDEX.fullmatch(address) is None:
            yield Problem(("python", "indexes", index), f"not an index: {address!r}", "it is spelt https://HOST/PATH")
    yield from absolute(python.prefix, ("python", "prefix"))
    if not is_date(python.exclude_newer):
        yield Problem(("python", "exclude_newer"), f"not a date: {python.exclude_newer!r}", "spell it YYYY-MM-DD")
    if PYTHON.fullmatch(python.version) is None:
        yield Problem(("python", "version"), f"not a version of Python: {python.version!r}", 'such as "3.11"')
    match = PLATFORM.fullmatch(python.platform)
    if match is None or int(match[2]) < OLDEST[match[1]]:
        hint = "ARCH-manylinux_2_N, such as x86_64-manylinux_2_36"
        yield Problem(("python", "platform"), f"not a platform of wheels: {python.platform!r}", hint)
    elif f"{match[1]}-linux" not in platforms:
        what = f"the wheels are for {match[1]}, the image for {', '.join(platforms)}"
        yield Problem(("python", "platform"), what, "change [python] platform or platforms")
    if not python.lock or leaves(python.lock) or "/" in python.lock:
        yield Problem(("python", "lock"), f"not a file beside the recipe: {python.lock!r}", 'such as "python.lock"')


def stale(python: Python, lock: PythonLock) -> str:
    """How the lock differs from what the recipe asks for now, as far as the lock tells; "" if it does not."""
    pairs = (
        ("Python", lock.python, python.version),
        ("platform", lock.platform, python.platform),
        ("exclude_newer", lock.exclude_newer, python.exclude_newer),
    )
    told = [f"its {name} is {old}, the recipe's {new}" for name, old, new in pairs if old != new]
    if told:
        return "; ".join(told)
    if lock.input != lock_input(python):
        return (
            f"requirements, constraints, overrides, excludes or indexes have changed since it was made on {lock.made}"
        )
    return ""
