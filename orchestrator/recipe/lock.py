"""The lock of a base: which .debs it is made of, one a line, by hash. Names no host.

# orch lock 1
# suite bookworm
# architecture amd64
# packages gcc make
# made 2026-11-22
NAME VERSION POOLPATH SIZE SHA256
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from orchestrator.recipe.lock_form import Form


@frozen
class Deb:
    """One .deb: `path` is its place below the archive's root, `size` in bytes."""

    name: str
    version: str
    path: str
    size: int
    sha256: str


@frozen
class Lock:
    """What a base is made of. `packages` is what was asked for, `made` the day (YYYY-MM-DD) it was resolved."""

    suite: str
    architecture: str
    packages: tuple[str, ...]
    made: str
    debs: tuple[Deb, ...]  # by name


@cache
def _form() -> Form:
    from orchestrator.recipe.lock_form import ANY, DATE_FORM, NAME, SHA256, SIZE, Form

    return Form(
        title="orch lock",
        header={
            "suite": ("suite", ANY),
            "architecture": ("architecture", ANY),
            "packages": ("list of packages", ANY),
            "made": DATE_FORM,
        },
        row={
            "name": NAME,
            "version": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]*"),
            "pool path": re.compile(r"(?!.*(?:^|/)\.\.?(?:/|$))[0-9A-Za-z._][0-9A-Za-z._+~%:/-]*\.deb"),
            "size": SIZE,
            "sha256": SHA256,
        },
        item=".deb",
        again="orch lock",
    )


def _deb(words: list[str]) -> Deb:
    name, version, path, size, sha256 = words
    return Deb(name=name, version=version, path=path, size=int(size), sha256=sha256)


def parse_lock(text: str, where: str) -> Lock:
    """The lock that `text` spells; RecipeError naming `where` and the line if it is not one."""
    header, rows = _form().parse(text, where)
    return Lock(
        suite=header["suite"],
        architecture=header["architecture"],
        packages=tuple(header["packages"].split()),
        made=header["made"],
        debs=tuple(_deb(words) for _, words in rows),
    )


def read_lock(path: Path, where: str = "") -> Lock:
    """The lock in a file; `where` is how messages name it."""
    from orchestrator.recipe.lock_form import lock_text

    where = where or str(path)
    return parse_lock(lock_text(path, where), where)


def write_lock(lock: Lock) -> str:
    """The text of a lock: the same lock, the same bytes; `parse_lock` gives it back."""
    rows = [(deb.name, deb.version, deb.path, str(deb.size), deb.sha256) for deb in lock.debs]
    text = _form().text((lock.suite, lock.architecture, " ".join(lock.packages), lock.made), rows)
    parse_lock(text, "the lock to write")
    return text
