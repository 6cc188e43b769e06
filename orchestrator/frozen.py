"""Frozen values with named fields: what `@dataclass(frozen=True, slots=True, kw_only=True)` makes, without the wait.

dataclass writes and compiles six functions for each class, 0.4 ms, and imports what it needs for that, 8 ms: with the
sixty classes on the way to a build, a third of all that `orch` did before it did anything. Here the functions are
written once and know the fields by their slots. Who asks (`dataclasses.fields`, `replace`, `asdict`, the validator) is
told that it is a dataclass; only then one is made. Forward references have to be text, as
`from __future__ import annotations` makes them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _NamedTuples(type):
        """The class of `NamedTuple`, which makes of each class below it a named tuple."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
            fields = body.get("__annotations__", {})
            given = [field in body for field in fields]
            if given != sorted(given):
                raise TypeError(f"{name}: a field without a default comes after one with one")
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in fields and key not in ("__module__", "__qualname__"):
                    setattr(made, key, value)
            made.__qualname__ = body["__qualname__"]
            return made

    # As typing's, which compiles the text of every annotation: 0.1 ms a class, and 0.8 for the first in a process.
    NamedTuple = type.__new__(_NamedTuples, "NamedTuple", (), {})

T = TypeVar("T")
_MISSING: Any = object()


class _Field(NamedTuple):
    """What is said of a field besides its name and type."""

    default: Any = _MISSING
    default_factory: Any = _MISSING
    init: bool = True
    repr: bool = True
    compare: bool = True


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] = _MISSING,
    init: bool = True,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """As `dataclasses.field`."""
    return _Field(default, default_factory, init, repr, compare)


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, kw_only: bool = True, cached: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = True, cached: bool = False) -> Any:
    """A class decorator: the annotated names are fields, in slots, given by name (with `kw_only=False` by place too),
    compared and hashed together, never set again. `cached`: it has properties that are (functools.cached_property)."""
    return _made(cls, kw_only, cached) if cls is not None else lambda made: _made(made, kw_only, cached)


def names(value: Any) -> tuple[str, ...]:
    """The names of the fields of a frozen value or its class, in their order."""
    return tuple(value._fields)


def required(kind: Any) -> tuple[str, ...]:
    """The fields of a class that have no default."""
    said: dict[str, _Field] = kind._fields
    return tuple(name for name, one in said.items() if one.default is _MISSING and one.default_factory is _MISSING)


def is_frozen(kind: Any) -> bool:
    """Whether `kind` is a class that `frozen` made."""
    return isinstance(kind, type) and isinstance(kind.__dict__.get("_fields"), dict)


def replace(value: T, **changes: Any) -> T:
    """`value` with other values in some fields."""
    said: dict[str, _Field] = value._fields  # type: ignore[attr-defined]
    kept = {name: getattr(value, name) for name, one in said.items() if one.init}
    return type(value)(**(kept | changes))


def _made(cls: Any, kw_only: bool, cached: bool) -> Any:
    names = [name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar")]
    body = dict(cls.__dict__)
    said: dict[str, _Field] = {}
    for name in names:
        value = body.pop(name, _MISSING)
        said[name] = value if isinstance(value, _Field) else _Field(default=value)
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    own = {
        "__slots__": (*names, "__dict__") if cached else tuple(names),
        "__match_args__": () if kw_only else tuple(names),
        "_fields": said,
        "__dataclass_fields__": _AsDataclass(kw_only),
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__getstate__": _state,
        "__setstate__": _restore,
    }
    made = type(cls)(cls.__name__, cls.__bases__, {**_written(said), **body, **own})
    made.__qualname__ = cls.__qualname__
    if "__init__" not in body:
        made.__init__ = _initialiser(made, said, () if kw_only else tuple(names))
    return made


def _initialiser(made: Any, said: dict[str, _Field], places: tuple[str, ...]) -> Callable[..., None]:
    """The `__init__` of a class, whose slots are there by now."""
    puts = tuple((name, made.__dict__[name].__set__) for name, one in said.items() if one.init)
    defaults = {name: one.default for name, one in said.items() if one.init and one.default is not _MISSING}
    factories = tuple((name, one.default_factory) for name, one in said.items() if one.default_factory is not _MISSING)
    after = getattr(made, "__post_init__", None)

    def __init__(self: Any, /, *given: Any, **named: Any) -> None:
        if given:
            if len(given) == len(puts) == len(places) and not named and after is None:  # as digests are made
                for (_, put), value in zip(puts, given):  # noqa: B905 - as many as there are fields
                    put(self, value)
                return
            named = _placed(made, places, given, named)
        values = {**defaults, **named} if defaults else named
        for name, make in factories:
            if name not in named:
                values[name] = make()
        if len(values) != len(puts):
            raise _wrong(made, puts, values)
        try:
            for name, put in puts:
                put(self, values[name])
        except KeyError:
            raise _wrong(made, puts, values) from None
        if after is not None:
            after(self)

    return __init__


def _placed(made: Any, places: tuple[str, ...], given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    if len(given) > len(places):
        raise TypeError(f"{made.__qualname__} takes {len(places)} values by place, {len(given)} were given")
    by_place = dict(zip(places, given, strict=False))
    if twice := by_place.keys() & named.keys():
        raise TypeError(f"{made.__qualname__}: {', '.join(sorted(twice))} given twice")
    return by_place | named


def _wrong(made: Any, puts: tuple[tuple[str, Any], ...], values: dict[str, Any]) -> TypeError:
    known = [name for name, _ in puts]
    missing, unknown = [name for name in known if name not in values], sorted(values.keys() - set(known))
    parts = [f"{what} {', '.join(names)}" for what, names in (("lacks", missing), ("has no field", unknown)) if names]
    return TypeError(f"{made.__qualname__} {' and '.join(parts)}")


def _written(said: dict[str, _Field]) -> dict[str, Any]:
    """`__eq__`, `__hash__` and `__repr__`."""
    shown = tuple(name for name, one in said.items() if one.repr)
    compared = tuple(name for name, one in said.items() if one.compare)
    values = attrgetter(*compared) if compared else lambda self: ()

    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    return {"__eq__": __eq__, "__hash__": __hash__, "__repr__": __repr__}


def _refuse_to_set(self: object, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    """For copies: the values, in the order of the fields."""
    return [getattr(self, name) for name in self._fields]


def _restore(self: Any, state: list[Any]) -> None:
    for name, value in zip(self._fields, state, strict=True):
        object.__setattr__(self, name, value)


class _AsDataclass:
    """`__dataclass_fields__` of a class, made when somebody asks for it: those of a dataclass like it."""

    def __init__(self, kw_only: bool) -> None:
        self._kw_only = kw_only

    def __get__(self, value: object, owner: Any) -> dict[str, Any]:
        import dataclasses

        specs = []
        for name, one in owner._fields.items():
            how = {"init": one.init, "repr": one.repr, "compare": one.compare}
            for key in ("default", "default_factory"):
                if (said := getattr(one, key)) is not _MISSING:
                    how[key] = said
            specs.append((name, owner.__annotations__[name], dataclasses.field(**how)))
        twin = dataclasses.make_dataclass(owner.__name__, specs, kw_only=self._kw_only)
        found: dict[str, Any] = vars(twin)["__dataclass_fields__"]
        owner.__dataclass_fields__ = found
        return found
