"""Recipes as plain lists, tuples and tables that marshal takes, and back. Pure.

A list stands for one of the classes below: its number, its fields, and which of those have classes in them. Tuples and
dicts stand for themselves, bytes for a path. Loading a thousand recipes so takes some milliseconds, pickle five times
that. The form holds for one state of the code only: whoever keeps it keeps that beside it (index.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.frozen import names
from orchestrator.recipe.lock import Deb, Lock
from orchestrator.recipe.model import (
    Base,
    Inputs,
    LocalFile,
    Option,
    OptionValue,
    Parts,
    Recipe,
    Requirement,
    Runtime,
    Script,
    Setuid,
    SourceEntry,
    Version,
)

_CLASSES: tuple[type, ...] = (
    Recipe, Version, SourceEntry, Requirement, Option, OptionValue, Parts, Inputs, Runtime, Script, Base, Setuid,
    LocalFile, Lock, Deb,
)  # fmt: skip
_NUMBERS = {kind: number for number, kind in enumerate(_CLASSES)}
_NAMES = [names(kind) for kind in _CLASSES]
_SETTERS: list[list[Callable[[Any, Any], None]]] = [
    [getattr(kind, name).__set__ for name in names] for kind, names in zip(_CLASSES, _NAMES, strict=True)
]


def pack(value: Any) -> Any:
    """The plain form of a recipe or a part of one."""
    return _pack(value, {})


def _pack(value: Any, made: dict[int, list[Any]]) -> Any:
    number = _NUMBERS.get(type(value))
    if number is not None:
        if id(value) not in made:  # the parts of both origins are mostly the same
            values = [_pack(getattr(value, name), made) for name in _NAMES[number]]
            made[id(value)] = [number, tuple(index for index, one in enumerate(values) if _deep(one)), values]
        return made[id(value)]
    if isinstance(value, tuple):
        return tuple(_pack(one, made) for one in value)
    if isinstance(value, dict):
        return {name: _pack(one, made) for name, one in value.items()}
    return os.fsencode(value) if isinstance(value, Path) else value


def _deep(packed: Any) -> bool:
    """Whether there is anything to unpack in it."""
    if isinstance(packed, tuple):
        return any(map(_deep, packed))
    if isinstance(packed, dict):
        return any(map(_deep, packed.values()))
    return isinstance(packed, list | bytes)


def unpack(packed: Any) -> Any:
    """What `pack` was given; `packed` is used up."""
    kind = type(packed)
    if kind is list:
        if len(packed) == 1:
            return packed[0]  # a part that stands in several places
        number, deep, values = packed
        for index in deep:
            values[index] = unpack(values[index])
        made = object.__new__(_CLASSES[number])
        for put, value in zip(_SETTERS[number], values):  # noqa: B905 - as many as there are fields
            put(made, value)
        packed[:] = (made,)
        return made
    if kind is tuple:
        return tuple([unpack(one) for one in packed])
    if kind is dict:
        return {name: unpack(one) for name, one in packed.items()}
    return Path(os.fsdecode(packed)) if kind is bytes else packed
