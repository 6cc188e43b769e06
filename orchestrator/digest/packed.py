"""Frozen values as plain lists, tuples and tables that marshal takes, and back. Pure.

A list stands for a value: the number of its class, its fields, and which of those have values in them. Tuples and dicts
stand for themselves, bytes for a path. Loading a thousand recipes so takes some milliseconds, pickle five times that.
The form holds for one state of the code only: whoever keeps it keeps that beside it (looks.Moment).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.frozen import names


class Packer:
    """Packs values of these classes, and of what they are made of."""

    def __init__(self, *classes: type) -> None:
        self._classes = classes
        self._numbers = {kind: number for number, kind in enumerate(classes)}
        self._names = [names(kind) for kind in classes]
        self._setters: list[list[Callable[[Any, Any], None]]] = [
            [getattr(kind, name).__set__ for name in fields] for kind, fields in zip(classes, self._names, strict=True)
        ]

    def pack(self, value: Any) -> Any:
        """The plain form of a value."""
        return self._pack(value, {})

    def _pack(self, value: Any, made: dict[int, list[Any]]) -> Any:
        number = self._numbers.get(type(value))
        if number is not None:
            if id(value) not in made:  # the parts of both origins are mostly the same
                values = [self._pack(getattr(value, name), made) for name in self._names[number]]
                made[id(value)] = [number, tuple(index for index, one in enumerate(values) if _deep(one)), values]
            return made[id(value)]
        if isinstance(value, tuple):
            return tuple(self._pack(one, made) for one in value)
        if isinstance(value, dict):
            return {name: self._pack(one, made) for name, one in value.items()}
        return os.fsencode(value) if isinstance(value, Path) else value

    def unpack(self, packed: Any) -> Any:
        """What `pack` was given; `packed` is used up."""
        kind = type(packed)
        if kind is list:
            if len(packed) == 1:
                return packed[0]  # a part that stands in several places
            number, deep, values = packed
            for index in deep:
                values[index] = self.unpack(values[index])
            made = object.__new__(self._classes[number])
            for put, value in zip(self._setters[number], values):  # noqa: B905 - as many as there are fields
                put(made, value)
            packed[:] = (made,)
            return made
        if kind is tuple:
            return tuple([self.unpack(one) for one in packed])
        if kind is dict:
            return {name: self.unpack(one) for name, one in packed.items()}
        return Path(os.fsdecode(packed)) if kind is bytes else packed


def _deep(packed: Any) -> bool:
    """Whether there is anything to unpack in it."""
    if isinstance(packed, tuple):
        return any(map(_deep, packed))
    if isinstance(packed, dict):
        return any(map(_deep, packed.values()))
    return isinstance(packed, list | bytes)
