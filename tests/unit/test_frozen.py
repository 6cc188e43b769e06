"""Frozen values are to others what a frozen dataclass with slots is."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import typing
from functools import cached_property
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orchestrator.frozen import NamedTuple, field, frozen, is_frozen, names, replace, required


@frozen
class Value:
    """What is tried."""

    LIMIT: ClassVar[int] = 3

    name: str
    size: int = 0
    tags: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    aside: int = field(default=0, compare=False, repr=False)

    @property
    def twice(self) -> int:
        return 2 * self.size


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The same by the standard library."""

    LIMIT: ClassVar[int] = 3

    name: str
    size: int = 0
    tags: tuple[str, ...] = ()
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    aside: int = dataclasses.field(default=0, compare=False, repr=False)


@frozen(kw_only=False, cached=True)
class Pair:
    """By place, with a field that is made afterwards and a property that is kept."""

    first: int
    second: int = 2
    total: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.first + self.second)

    @cached_property
    def listed(self) -> list[int]:
        return [self.first, self.second]


texts = st.text(max_size=3)
given_fields = st.fixed_dictionaries(
    {"name": texts},
    optional={"size": st.integers(), "tags": st.lists(texts, max_size=2).map(tuple), "aside": st.integers()},
)


@given(given_fields, given_fields)
def test_it_is_what_a_dataclass_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    value, twin = Value(**one), Twin(**one)
    assert repr(value) == repr(twin).replace("Twin", "Value")
    assert dataclasses.asdict(value) == dataclasses.asdict(twin)
    assert (value == Value(**other)) == (twin == Twin(**other))
    assert value == Value(**one) != twin
    assert dataclasses.replace(value, **other) == replace(value, **other) == Value(**(one | other))
    for again in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert again == value
        assert again.aside == value.aside
    assert TypeAdapter(Value).validate_python(dataclasses.asdict(value)) == value


def test_equal_values_have_one_hash() -> None:
    assert len({Pair(1), Pair(1, 2), Pair(first=1), Pair(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Value(name="a dictionary is in it"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Value(), "lacks name"),
        (lambda: Value(name="", colour=1), "has no field colour"),
        (lambda: Value(size=1, colour=1), "lacks name and has no field colour"),
        (lambda: Value("x"), "takes 0 values by place, 1 were given"),
        (lambda: Pair(), "lacks first"),
        (lambda: Pair(1, 2, 3), "takes 3 values by place|has no field total"),
        (lambda: Pair(1, first=1), "first given twice"),
    ],
)
def test_wrong_fields_are_refused(make: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        make()


def test_nothing_of_it_is_set_again() -> None:
    value: Any = Value(name="x")
    for name in ("name", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del value.name
    assert not hasattr(value, "__dict__")
    assert Value.LIMIT == value.LIMIT == 3
    assert value.twice == 0


def test_what_is_made_afterwards_and_what_is_kept() -> None:
    pair = Pair(1)
    assert pair.total == 3
    assert pair.listed is pair.listed
    assert replace(pair, first=5).total == 7
    match pair:
        case Pair(first, second):
            assert (first, second) == (1, 2)


def test_what_is_said_of_the_fields() -> None:
    assert names(Value) == names(Value(name="x")) == ("name", "size", "tags", "notes", "aside")
    assert required(Value) == ("name",)
    assert [one.name for one in dataclasses.fields(Value)] == list(names(Value))
    assert is_frozen(Value)
    assert not is_frozen(Twin)
    assert not is_frozen(Value(name="x"))


class Place(NamedTuple):
    """What is tried."""

    name: str
    column: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        return cls(text)

    @property
    def twice(self) -> int:
        return 2 * self.column

    def __str__(self) -> str:
        return f"{self.name}:{self.column}"


class TypedPlace(typing.NamedTuple):
    """The same by the standard library."""

    name: str
    column: int = 0


def test_a_named_tuple_is_what_typing_makes() -> None:
    place = Place.parse("a")
    assert place == Place(name="a") == TypedPlace("a") == ("a", 0)
    assert repr(place) == repr(TypedPlace("a")).replace("TypedPlace", "Place")
    assert (str(place), place.twice, place._replace(column=2).twice) == ("a:0", 0, 4)
    assert place._asdict() == TypedPlace("a")._asdict()
    for what in ("_fields", "_field_defaults", "__module__", "__match_args__"):
        assert getattr(Place, what) == getattr(TypedPlace, what)
    assert list(Place.__annotations__) == list(TypedPlace.__annotations__)
    assert Place.__mro__[1:] == TypedPlace.__mro__[1:]
    assert (Place.__qualname__, Place.__doc__) == ("Place", "What is tried.")
    assert pickle.loads(pickle.dumps(place)) == place
    assert isinstance(pickle.loads(pickle.dumps(place)), Place)
    assert TypeAdapter(Place).validate_python(["a", 1]) == Place("a", 1)
    with pytest.raises(TypeError):
        Place("a", 1, 2)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        place.name = "b"  # type: ignore[misc]
