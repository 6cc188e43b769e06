"""A table that plainly has the form of a type becomes its value, without the validator. Pure; knows no messages.

The validator takes longer to import than a thousand recipes take to read, and nearly every file is right. So what is
right beyond doubt is taken here, and everything else, wrong or only unusual, is left to the validator (parse.py), which
has the last word and all the words. A value that is given here is the one that the validator gives: a test holds the
two together.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable
from functools import cache
from types import ModuleType, NoneType, UnionType
from typing import Any

from orchestrator.frozen import is_frozen, names, required

_LARGEST = 1 << 63  # integers from here on are unusual


class Doubt(Exception):
    """The validator is to be asked."""


def shaped(table: dict[str, Any], kind: Any) -> Any:
    """The value of type `kind`, a frozen class, that `table` holds; raise Doubt if that is not plain."""
    return _reader(kind)(table)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    if is_frozen(kind):
        return _of_fields(kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return _of_items(inner[0])
    if origin is dict and inner[0] is str:
        return _of_entries(inner[1])
    if origin is typing.Literal:
        return _of_words(inner)
    if origin in (UnionType, typing.Union) and len(inner) == 2 and inner[1] is NoneType:
        return _reader(inner[0])  # TOML has no word for None
    if kind is int:
        return _number
    return _leaf(kind) if kind in (str, bool) else _never


def _never(value: Any) -> Any:
    raise Doubt


def _leaf(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise Doubt
        return value

    return read


def _number(value: Any) -> Any:
    if type(value) is not int or not -_LARGEST < value < _LARGEST:
        raise Doubt
    return value


def _of_words(words: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not str or value not in words:
            raise Doubt
        return value

    return read


def _of_items(kind: Any) -> Callable[[Any], Any]:
    item = _reader(kind)

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Doubt
        return tuple([item(one) for one in value])

    return read


def _of_entries(kind: Any) -> Callable[[Any], Any]:
    entry = _reader(kind)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Doubt
        return {name: entry(one) for name, one in value.items()}

    return read


@cache
def _evaluated(text: str, module: ModuleType) -> Any:
    """The type that an annotation of `module` spells. typing.get_type_hints would do it once for each field."""
    return eval(text, vars(module))


def _of_fields(kind: Any) -> Callable[[Any], Any]:
    module = sys.modules[kind.__module__]
    hints = {name: _evaluated(kind.__annotations__[name], module) for name in names(kind)}
    known = {name.rstrip("_"): (name, _reader(hints[name])) for name in names(kind)}
    needed = {name.rstrip("_") for name in required(kind)}

    def read(value: Any) -> Any:
        if type(value) is not dict or not needed <= value.keys() <= known.keys():
            raise Doubt
        return kind(**{known[key][0]: known[key][1](one) for key, one in value.items()})

    return read
