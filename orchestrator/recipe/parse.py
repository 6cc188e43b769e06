"""TOML text becomes a value, or one error that names file, line and field of all that is wrong. Reads no file.

The validator is imported here, and only for a file that is not right beyond doubt (shape.py): it says what is wrong.
"""

from __future__ import annotations

import json
import os
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, TypeVar

from orchestrator.errors import RecipeError
from orchestrator.frozen import frozen, is_frozen, names
from orchestrator.recipe import toml
from orchestrator.recipe.lines import FieldPath, field_lines
from orchestrator.recipe.shape import Doubt, shaped

T = TypeVar("T")

_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
}
_DATE = "a date or time"  # the one kind of TOML value that JSON lacks
_GIVEN = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}


@frozen(kw_only=False)
class Problem:
    """One thing that is wrong: the field, the fact, the remedy."""

    path: FieldPath
    what: str
    hint: str = ""


def closest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'flags'?`, or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def suggestion(word: str, known: Iterable[str], *, label: str) -> str:
    """`did you mean 'flags'?`, or what is known if nothing is close."""
    names = list(known)
    return closest(word, names) or (f"{label}: {', '.join(names)}" if names else "")


def dotted(path: FieldPath) -> str:
    """`versions.1.4.1.sources[0].sha256`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def failure(problems: Sequence[Problem], text: str, where: str) -> RecipeError:
    """One error for all `problems` of a file, in the order of its lines: the first in full, the others listed."""
    lines = field_lines(text)

    def line(path: FieldPath) -> int:
        return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)

    def place(problem: Problem) -> str:
        number = line(problem.path)
        file = f"{where}:{number}" if number else where
        return f"{file}: {dotted(problem.path)}" if problem.path else file

    first, *others = sorted(problems, key=lambda problem: line(problem.path))
    more = "".join(f"\n{place(other)}: {other.what}" for other in others)
    return RecipeError(first.what, where=place(first), hint=first.hint, why=f"also wrong:{more}" if more else "")


def _inside(kind: Any, part: str | int) -> Any:
    """The type of field or item `part` of `kind`."""
    if is_frozen(kind):
        hints = typing.get_type_hints(kind)
        name = str(part)
        kind = hints[name] if name in hints else hints[f"{name}_"]
    else:
        kind = typing.get_args(kind)[0 if isinstance(part, int) else 1]
    choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
    return choices[0] if typing.get_origin(kind) is UnionType else kind


def _allowed(kind: Any, path: FieldPath) -> list[str]:
    """The keys of the table at `path` of a document of type `kind`."""
    for part in path:
        kind = _inside(kind, part)
    return [name.rstrip("_") for name in names(kind)]


def _problem(kind: type, error: Mapping[str, Any]) -> Problem:
    path: FieldPath = tuple(error["loc"])
    start = max((index for index, part in enumerate(path) if isinstance(part, str)), default=0)
    name = dotted(path[start:])  # `build[0]` for an item of a list
    match error["type"]:
        case "missing":
            return Problem(path, f"{name} is missing")
        case "unexpected_keyword_argument":
            hint = suggestion(name, _allowed(kind, path[:-1]), label="keys here")
            return Problem(path, f"unknown key {name!r}", hint)
        case "literal_error":
            return Problem(path, f"{name} is {error['input']!r}", f"it is {error['ctx']['expected']}")
        case code if code in _WANTED:
            value = error["input"]
            given = _DATE if isinstance(value, dict) and _DATE in value else _GIVEN.get(type(value), "something else")
            return Problem(path, f"{name} is {given}, not {_WANTED[code]}")
    return Problem(path, f"{name}: {error['msg']}")


@cache
def _adapter(kind: Any) -> Any:
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for some takes longer than the parsing
    from pydantic import TypeAdapter  # a tenth of a second: only when a file is parsed

    return TypeAdapter(kind)


def _table(text: str, where: str) -> dict[str, Any]:
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError as error:
        fact, _, place = str(error).rpartition(" (at ")
        line = re.match(r"line (\d+)", place)
        number = int(line[1]) if line else text.count("\n", 0, len(text.rstrip())) + 1
        raise RecipeError(f"not TOML: {fact or error}", where=f"{where}:{number}") from error


def _with_nul(value: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """The strings with a NUL character, which no path, argument or script can hold."""
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _with_nul(name, (*path, name))
            yield from _with_nul(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _with_nul(child, (*path, index))


def parse(text: str, kind: type[T], where: str) -> T:
    """The value of type `kind` that TOML `text` spells; RecipeError with file, line and field if it does not."""
    try:
        return _parse(text, kind, where)
    except RecursionError:
        raise RecipeError("its tables or lists are nested too deeply", where=where) from None


def _parse(text: str, kind: type[T], where: str) -> T:
    table = _table(text, where)
    if nul := [Problem(path, "a string holds a NUL character") for path in _with_nul(table)]:
        raise failure(nul, text, where)
    any_kind: Any = kind
    try:
        value: T = shaped(table, any_kind)
    except Doubt:
        value = _judged(table, any_kind, text, where)
    return value


def _judged(table: dict[str, Any], kind: Any, text: str, where: str) -> Any:
    """What the validator makes of a table."""
    adapter = _adapter(kind)
    from pydantic import ValidationError

    try:
        # Through JSON, where the validator takes tables and lists for what they are while staying strict on the leaves.
        return adapter.validate_json(json.dumps(table, default=lambda leaf: {_DATE: str(leaf)}))
    except ValidationError as errors:
        raise failure([_problem(kind, error) for error in errors.errors()], text, where) from None
