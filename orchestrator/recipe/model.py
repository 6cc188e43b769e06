"""What a recipe holds, as frozen values named like the fields of recipe.toml (docs/recipes.md).

They are plain dataclasses, so that only reading a file needs the validator. `__pydantic_config__` is what it goes by:
every type as written, no key that is not named here. A name that Python keeps for itself ends in `_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from orchestrator.frozen import field, frozen
from orchestrator.recipe.lock import Lock

Origin = Literal["source", "vendor"]


def _toml_name(field_name: str) -> str:
    return field_name.rstrip("_")


STRICT: dict[str, object] = {"strict": True, "extra": "forbid", "alias_generator": _toml_name}


@frozen
class LocalFile:
    """A patch or helper file beside the recipe. Its text and whether it can be run are in the key, its place is not."""

    name: str
    sha256: str
    path: Path
    executable: bool = False


@frozen
class Setuid:
    """A path of a base that keeps its setuid or setgid bit, and why."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    path: str
    reason: str


@frozen
class SourceEntry:
    """One `sources` entry. `unpack` None: the recipe's name."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    from_: str
    sha256: str | None = None
    tree: str | None = None
    size: int | None = None
    unpack: str | None = None
    when: dict[str, str] = field(default_factory=dict)


@frozen
class Requirement:
    """What a version needs of another recipe: a `version` specifier or a `feature`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    recipe: str
    reason: str
    version: str | None = None
    feature: str | None = None


@frozen
class Version:
    """One `[versions."V"]` table."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    origin: Origin
    when: dict[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ("x86_64-linux",)
    brings: dict[str, str] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    provides: tuple[str, ...] = ()
    runtime_only: str | None = None
    link_only: str | None = None
    locked: bool = True
    unproven: str | None = None  # why nobody here has built it: such a version is no default
    lock: str | None = None
    sources: tuple[SourceEntry, ...] = ()

    @property
    def reading(self) -> tuple[str, ...]:
        """The options it reads, `when` included, in the order written."""
        return tuple(dict.fromkeys((*self.when, *self.reads)))


@frozen
class OptionValue:
    """What a value of an option adds."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    flags: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()


@frozen
class Option:
    """One `[options.NAME]` table of a recipe."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    default: str
    values: dict[str, OptionValue]
    doc: str = ""


@frozen
class Inputs:
    """`[inputs]`: names of recipes."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    build: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    check: tuple[str, ...] = ()


@frozen
class Runtime:
    """`[runtime]`: what a user of the output has in the environment and in the loader's path."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    env: dict[str, str] = field(default_factory=dict)
    ldconf: tuple[str, ...] = ()


@frozen
class Script:
    """`[build]` or `[check]`: a script and the files beside the recipe that it gets."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    script: str
    files: tuple[str, ...] = ()


@frozen
class OriginTable:
    """`[vendor]` or `[source]`: each table in it replaces the shared one of that name, for versions of that origin."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    inputs: Inputs | None = None
    runtime: Runtime | None = None
    build: Script | None = None
    check: Script | None = None


@frozen
class Base:
    """`[base]`: the recipe is a base, made from a lock of .debs."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    suite: str
    packages: tuple[str, ...]
    setuid: tuple[Setuid, ...] = ()


@frozen
class Document:
    """A whole recipe.toml."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    name: str
    versions: dict[str, Version]
    summary: str = ""
    licence: str = ""
    homepage: str = ""
    inputs: Inputs = Inputs()
    options: dict[str, Option] = field(default_factory=dict)
    runtime: Runtime = Runtime()
    build: Script | None = None
    check: Script | None = None
    vendor: OriginTable = OriginTable()
    source: OriginTable = OriginTable()
    base: Base | None = None


@frozen
class Parts:
    """The tables that hold for one origin, and where the inputs stand (`inputs` or `vendor.inputs`), for messages."""

    inputs: Inputs
    runtime: Runtime
    build: Script | None
    check: Script | None
    inputs_field: str


@frozen
class Recipe:
    """A recipe that was read, checked, and whose files beside it were hashed."""

    name: str
    where: str  # its file, as messages name it
    place: str  # the path of its directory: a Path takes longer to make than all the rest
    summary: str
    licence: str
    homepage: str
    options: dict[str, Option]
    versions: dict[str, Version]
    parts: dict[Origin, Parts]
    base: Base | None
    files: dict[str, LocalFile]  # by the name that the recipe uses
    locks: dict[str, Lock]  # by the name that the recipe uses

    @property
    def directory(self) -> Path:
        return Path(self.place)

    def beside(self) -> Iterator[str]:
        """The names of all files in its directory that were looked at besides its own; some are not there."""
        yield from self.files
        for version in self.versions.values():
            if version.lock is not None:
                yield version.lock
            for source in version.sources:
                scheme, _, rest = source.from_.partition(":")
                if scheme == "file" and not rest.startswith("/"):
                    yield rest
