"""Rooms that import what they offer when it is asked for: every name is there, and none is a module's too."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOMS = ["process", "recipe", "store", "tree"]


@pytest.mark.parametrize("room", ROOMS)
def test_all_that_a_room_offers_is_there(room: str) -> None:
    package = importlib.import_module(f"orchestrator.{room}")
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType), name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_a_modules_too(room: str) -> None:
    """Python puts a module that is imported into its package: it would be taken for what is offered by that name."""
    package = importlib.import_module(f"orchestrator.{room}")
    assert not {file.stem for file in Path(str(package.__file__)).parent.glob("*.py")} & {*package.__all__}


@pytest.mark.parametrize("room", ROOMS)
def test_names_are_where_the_type_checker_is_told_that_they_are(room: str) -> None:
    package = importlib.import_module(f"orchestrator.{room}")
    told = {
        alias.name: node.module
        for node in ast.walk(ast.parse(Path(str(package.__file__)).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package.__name__)
        for alias in node.names
    }
    assert set(told) == {*package.__all__}
    homes = {name: f"{package.__name__}.{home}" for name, home in package._HOMES.items()}
    assert homes.items() <= told.items()
