"""The lock of an image's Python environment: which wheels it is made of, one a line, by hash. Names no host.

# orch python lock 1
# python 3.11
# platform x86_64-manylinux_2_36
# exclude-newer 2026-03-05
# input 5f1c...             BLAKE3 hex of what it was resolved from; another one: the lock is stale
# made 2026-11-22
NAME VERSION FILENAME SIZE SHA256
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from orchestrator.digest import key_of
from orchestrator.frozen import frozen, replace
from orchestrator.recipe.lock_form import DATE_FORM, SHA256, SIZE, Form, lock_text
from orchestrator.recipe.wheel_tags import PLATFORM, PYTHON, misfit

INPUT_SCHEMA = 1
_FORM = Form(
    title="orch python lock",
    header={
        "python": ("version of Python", PYTHON),
        "platform": ("platform", PLATFORM),
        "exclude-newer": DATE_FORM,
        "input": ("BLAKE3 in hex", SHA256),
        "made": DATE_FORM,
    },
    row={
        "name": re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*"),
        "version": re.compile(r"[0-9a-z.!+]+"),
        "wheel's name": re.compile(r"[0-9A-Za-z_][0-9A-Za-z._+!-]{0,249}\.whl"),
        "size": SIZE,
        "sha256": SHA256,
    },
    item="wheel",
    again="orch lock IMAGE",
)


@frozen
class Wheel:
    """One wheel: `name` normalised (PEP 503), `size` in bytes, `sha256` hex of the file."""

    name: str
    version: str
    file_name: str
    size: int
    sha256: str


@frozen
class PythonLock:
    """The wheels of one environment, by name; `input` says what they were resolved from (`lock_input`)."""

    python: str
    platform: str
    exclude_newer: str
    input: str
    made: str
    wheels: tuple[Wheel, ...]


class Environment(Protocol):
    """What is resolved: `[python]` of an image recipe is one."""

    @property
    def requirements(self) -> tuple[str, ...]: ...
    @property
    def constraints(self) -> tuple[str, ...]: ...
    @property
    def overrides(self) -> tuple[str, ...]: ...
    @property
    def excludes(self) -> tuple[str, ...]: ...
    @property
    def indexes(self) -> tuple[str, ...]: ...
    @property
    def version(self) -> str: ...
    @property
    def platform(self) -> str: ...
    @property
    def exclude_newer(self) -> str: ...


def lock_input(python: Environment) -> str:
    """BLAKE3 hex of all that the resolution depends on; lists in the order written, which the resolver may heed."""
    document = {
        "schema": INPUT_SCHEMA,
        "requirements": python.requirements,
        "constraints": python.constraints,
        "overrides": python.overrides,
        "excludes": python.excludes,
        "indexes": python.indexes,
        "version": python.version,
        "platform": python.platform,
        "exclude_newer": python.exclude_newer,
    }
    return key_of(document).hex


def _wheel(words: list[str]) -> Wheel:
    name, version, file_name, size, sha256 = words
    return Wheel(name=name, version=version, file_name=file_name, size=int(size), sha256=sha256)


def parse_python_lock(text: str, where: str, *, image: str = "IMAGE") -> PythonLock:
    """The lock that `text` spells, every wheel one that its Python and platform take; RecipeError naming `where` and
    the line if it is not. `image` is whom the hint says to lock again."""
    form = replace(_FORM, again=f"orch lock {image}")
    header, rows = form.parse(text, where)
    python, platform = header["python"], header["platform"]
    for number, (name, version, file_name, _, _) in rows:
        if wrong := misfit(file_name, name, version, python, platform):
            raise form.wrong(where, number, wrong.what, why=wrong.why)
    return PythonLock(
        python=python,
        platform=platform,
        exclude_newer=header["exclude-newer"],
        input=header["input"],
        made=header["made"],
        wheels=tuple(_wheel(words) for _, words in rows),
    )


def read_python_lock(path: Path, where: str = "", *, image: str = "IMAGE") -> PythonLock:
    """The lock in a file; `where` is how messages name it."""
    where = where or str(path)
    return parse_python_lock(lock_text(path, where), where, image=image)


def write_python_lock(lock: PythonLock) -> str:
    """The text of a lock: the same lock, the same bytes; `parse_python_lock` gives it back."""
    rows = [(wheel.name, wheel.version, wheel.file_name, str(wheel.size), wheel.sha256) for wheel in lock.wheels]
    text = _FORM.text((lock.python, lock.platform, lock.exclude_newer, lock.input, lock.made), rows)
    parse_python_lock(text, "the lock to write")
    return text
