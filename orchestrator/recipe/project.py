"""A project is the directory of the nearest orch.toml upwards. Knows no store and no command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from orchestrator.errors import RecipeError, UsageError
from orchestrator.frozen import field, frozen
from orchestrator.recipe.amounts import parse_size
from orchestrator.recipe.model import STRICT
from orchestrator.recipe.parse import Problem, failure, parse

FILE = "orch.toml"
RESERVED = ("origin",)  # options of orch itself
OPTION_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@frozen
class GlobalOption:
    """An option that holds for a whole closure: `--set NAME=VALUE`."""

    name: str
    doc: str
    values: tuple[str, ...]
    default: str


@frozen
class Project:
    """What orch.toml says. `mirrors` maps a source scheme to addresses tried in turn; `store` is None if not said."""

    root: Path
    options: tuple[GlobalOption, ...] = ()
    mirrors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    store: Path | None = None
    keep_free: int | None = None  # bytes of the store's disk that a run frees before it begins, if it can
    substituters: tuple[str, ...] = ()  # directories and URLs to copy from instead of building, asked in turn
    trusted_keys: tuple[str, ...] = ()  # `NAME:BASE64`: whose signatures are believed there


@frozen
class _OptionTable:
    """One `[options.NAME]` table."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    values: tuple[str, ...]
    default: str
    doc: str = ""


@frozen
class _Mirrors:
    """`[mirrors]`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    pypi: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()


@frozen
class _StoreTable:
    """`[store]`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    path: str | None = None
    keep_free: str | None = None
    substituters: tuple[str, ...] = ()
    trusted_keys: tuple[str, ...] = ()


@frozen
class _Document:
    """A whole orch.toml. (Without such a text, dataclass makes one up, which takes longer than all else it does.)"""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    options: dict[str, _OptionTable] = field(default_factory=dict)
    mirrors: _Mirrors = _Mirrors()
    store: _StoreTable | None = None


def _problems(document: _Document) -> list[Problem]:
    found = []
    for name, option in document.options.items():
        path = ("options", name)
        if name in RESERVED or OPTION_NAME.fullmatch(name) is None:
            found.append(Problem(path, f"an option cannot be called {name!r}"))
        if option.default not in option.values:
            hint = f"values: {', '.join(option.values)}"
            found.append(Problem((*path, "default"), f"{option.default!r} is not a value of {name}", hint))
    if document.store is not None and document.store.keep_free is not None:
        try:
            parse_size(document.store.keep_free)
        except ValueError as error:
            found.append(Problem(("store", "keep_free"), str(error)))
    return found


def load_project(root: Path) -> Project:
    """The project whose orch.toml is in `root`; RecipeError if the file is wrong."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{FILE} cannot be read", where=str(root / FILE), why=error.strerror or "") from error
    except UnicodeDecodeError as error:
        raise RecipeError("not UTF-8 text", where=FILE, why=str(error)) from error
    document = parse(text, _Document, FILE)
    mirrors = {"pypi": document.mirrors.pypi, "debian": document.mirrors.debian}
    if problems := _problems(document):
        raise failure(problems, text, FILE)
    return Project(
        root=root,
        options=tuple(
            GlobalOption(name=name, doc=option.doc, values=option.values, default=option.default)
            for name, option in document.options.items()
        ),
        mirrors={scheme: addresses for scheme, addresses in mirrors.items() if addresses},
        store=root / _expanded(document.store.path) if document.store and document.store.path else None,
        keep_free=parse_size(document.store.keep_free) if document.store and document.store.keep_free else None,
        substituters=tuple(_place(root, text) for text in document.store.substituters) if document.store else (),
        trusted_keys=document.store.trusted_keys if document.store else (),
    )


def _place(root: Path, text: str) -> str:
    """A URL as it stands; a directory below the project if it is no absolute one."""
    return text if "://" in text else str(root / _expanded(text))


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = path.partition("/")[0]
        raise RecipeError(f"there is no home directory for {user}", where=f"{FILE}: store.path") from error


def find_project(start: Path) -> Project:
    """The project that `start` lies in; UsageError if there is none."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file():
            return load_project(directory)
    raise UsageError(
        f"no {FILE} here or above",
        where=str(start),
        hint=f"change to a project's directory, or start one with an empty {FILE} beside recipes/",
    )
