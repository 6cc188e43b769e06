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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RecipeError

SCHEMA = "1"
_HEADER = ("orch lock", "suite", "architecture", "packages", "made")
_FIELDS = {
    "name": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "version": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]*"),
    "pool path": re.compile(r"(?!.*(?:^|/)\.\.?(?:/|$))[0-9A-Za-z._][0-9A-Za-z._+~%:/-]*\.deb"),
    "size": re.compile(r"[1-9][0-9]*"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deb:
    """One .deb: `path` is its place below the archive's root, `size` in bytes."""

    name: str
    version: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a base is made of. `packages` is what was asked for, `made` the day (YYYY-MM-DD) it was resolved."""

    suite: str
    architecture: str
    packages: tuple[str, ...]
    made: str
    debs: tuple[Deb, ...]  # by name


def _wrong(where: str, line: int, what: str, hint: str = "") -> RecipeError:
    return RecipeError(what, where=f"{where}:{line}", hint=hint or "make it again: orch lock")


def _header(lines: Sequence[str], where: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, name in enumerate(_HEADER, start=1):
        line = lines[number - 1] if number <= len(lines) else ""
        start = f"# {name} "
        if not line.startswith(start) or not line[len(start) :].strip():
            raise _wrong(where, number, f"a lock has {start.strip()!r} and a value here, not {line!r}")
        values[name] = line[len(start) :]
    if values["orch lock"] != SCHEMA:
        raise _wrong(where, 1, f"lock schema {values['orch lock']} is not known; this orch reads {SCHEMA}")
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", values["made"]) is None:
        raise _wrong(where, len(_HEADER), f"not a date: {values['made']!r}")
    return values


def _deb(line: str, number: int, where: str) -> Deb:
    words = line.split(" ")
    if len(words) != len(_FIELDS):
        raise _wrong(where, number, f"a line has {len(_FIELDS)} fields ({', '.join(_FIELDS)}), this one {len(words)}")
    for (field, form), word in zip(_FIELDS.items(), words, strict=True):
        if form.fullmatch(word) is None:
            raise _wrong(where, number, f"not a {field}: {word!r}")
    name, version, path, size, sha256 = words
    return Deb(name=name, version=version, path=path, size=int(size), sha256=sha256)


def parse_lock(text: str, where: str) -> Lock:
    """The lock that `text` spells; RecipeError naming `where` and the line if it is not one."""
    if not text.endswith("\n"):
        raise _wrong(where, text.count("\n") + 1, "the last line has no end: the file was cut off")
    lines = text[:-1].split("\n")
    header = _header(lines, where)
    debs: list[Deb] = []
    for number, line in enumerate(lines[len(_HEADER) :], start=len(_HEADER) + 1):
        deb = _deb(line, number, where)
        if debs and deb.name <= debs[-1].name:
            fault = "is listed twice" if deb.name == debs[-1].name else f"stands after {debs[-1].name}"
            raise _wrong(where, number, f"{deb.name} {fault}: one .deb a line, sorted by name")
        debs.append(deb)
    if not debs:
        raise _wrong(where, len(lines), "lists no .deb")
    return Lock(
        suite=header["suite"],
        architecture=header["architecture"],
        packages=tuple(header["packages"].split()),
        made=header["made"],
        debs=tuple(debs),
    )


def read_lock(path: Path, where: str = "") -> Lock:
    """The lock in a file; `where` is how messages name it."""
    where = where or str(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RecipeError("the lock cannot be read", where=where, why=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise RecipeError("the lock is not UTF-8 text", where=where, why=str(error)) from error
    return parse_lock(text, where)


def write_lock(lock: Lock) -> str:
    """The text of a lock: the same lock, the same bytes; `parse_lock` gives it back."""
    header = (SCHEMA, lock.suite, lock.architecture, " ".join(lock.packages), lock.made)
    lines = [f"# {name} {value}" for name, value in zip(_HEADER, header, strict=True)]
    debs = sorted(lock.debs, key=lambda deb: deb.name)
    lines += [f"{deb.name} {deb.version} {deb.path} {deb.size} {deb.sha256}" for deb in debs]
    text = "\n".join(lines) + "\n"
    parse_lock(text, "the lock to write")
    return text
