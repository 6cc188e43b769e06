"""What is taken without the validator is what the validator gives."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import RecipeError
from orchestrator.recipe import parse as parsing
from orchestrator.recipe.image import ImageDocument
from orchestrator.recipe.model import Document
from orchestrator.recipe.shape import Doubt, shaped

REPOSITORY = Path(__file__).parents[3]
FILES = [*sorted(REPOSITORY.glob("recipes/*/recipe.toml")), *sorted(REPOSITORY.glob("recipes/images/*/image.toml"))]

LEAVES = st.one_of(
    st.text(max_size=3),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.dates(),
    st.lists(st.text(max_size=2), max_size=2),
)
VALUES = st.one_of(LEAVES, st.dictionaries(st.text(max_size=3), LEAVES, max_size=2), st.just({}), st.just([]))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        found += places(child, (*path, name))
    return found


def judged(table: dict[str, Any], kind: type) -> Any:
    """The validator's value, or None."""
    try:
        return parsing._judged(table, kind, "", "here")
    except RecipeError:
        return None


def plain(table: dict[str, Any], kind: type) -> Any:
    try:
        return shaped(table, kind)
    except Doubt:
        return None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_recipe_of_the_project_is_plain(file: Path) -> None:
    kind: type = Document if file.name == "recipe.toml" else ImageDocument
    table = tomllib.loads(file.read_text())
    assert plain(table, kind) == judged(table, kind) is not None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_validator_would_give_the_same(data: st.DataObject, whole: str) -> None:
    table = tomllib.loads(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        table = copy.deepcopy(table)
        path = data.draw(st.sampled_from([place for place in places(table) if place]))
        *way, last = path
        inner = table
        for part in way:
            inner = inner[part]
        match data.draw(st.sampled_from(["other", "gone", "more"])):
            case "other":
                inner[last] = data.draw(VALUES)
            case "gone":
                del inner[last]
            case "more" if isinstance(inner, dict):
                known = ["size", "unpack", "tree", "lock", "locked", "from_", "from", "when", "files", "provides"]
                inner[data.draw(st.sampled_from(known))] = data.draw(VALUES)
    taken = plain(table, Document)
    if taken is not None:
        assert taken == judged(table, Document)


def test_no_validator_is_imported_for_a_right_file(whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(kind: object) -> None:
        raise AssertionError(kind)

    monkeypatch.setattr(parsing, "_adapter", asked)
    assert parsing.parse(whole, Document, "recipe.toml").name == "ucx"
    with pytest.raises(AssertionError):
        parsing.parse(whole.replace("flags =", "flgs ="), Document, "recipe.toml")
