"""Names that a room offers and imports when they are first asked for: to import all of a room takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported(name: str) -> Any:
    """The module of this name. Not importlib's import_module: that itself takes half a millisecond to import."""
    __import__(name)
    return sys.modules[name]


def lazily(room: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of the package `room`; `homes` says which of its modules has a name."""

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(imported(f"{room}.{homes[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    return find
