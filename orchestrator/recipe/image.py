"""What an image recipe holds, recipes/images/NAME/image.toml, as frozen values named like its fields (docs/images.md).

Plain dataclasses, as in model.py: only reading a file needs the validator.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from orchestrator.frozen import field, frozen
from orchestrator.recipe.model import STRICT, LocalFile, Script
from orchestrator.recipe.python_lock import PythonLock

CHECKS = (
    "cuda-major",
    "one-copy",
    "needed",
    "dlopen",
    "plugins",
    "stubs",
    "glibc",
    "wheels",
    "requirements",
    "contents",
    "secrets",
    "budget",
)  # what clashes is decided before these: by [[winners]]


BASE_IMAGE = "base-image"  # the component that is a base from a registry


@frozen
class ImageBase:
    """`[base]`: what the image stands on: a base recipe, or a registry's image by digest (`oci:REPO@sha256:...`)."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    recipe: str = "debian-runtime"
    from_: str | None = None


@frozen
class Python:
    """`[python]`: the Python environment and what its lock is made from."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    requirements: tuple[str, ...]
    exclude_newer: str  # YYYY-MM-DD: the resolver sees nothing that was uploaded later
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()  # requirements that stand in for what packages themselves ask of a distribution
    excludes: tuple[str, ...] = ()  # distributions that may not be there, whoever asks for them
    provided: dict[str, str] = field(default_factory=dict)  # distribution -> the recipe that brings it, at its version
    indexes: tuple[str, ...] = ()  # a vendor's own index beside the machine's
    version: str = "3.11"
    platform: str = "x86_64-manylinux_2_36"  # the newest tag that the base's C library serves
    prefix: str = "/opt/dynamo/venv"
    lock: str = "python.lock"


@frozen
class Winner:
    """Of several components that have `path` with different content, the image takes that of `component`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    path: str
    component: str  # such as wheel:flashinfer-python
    reason: str


@frozen
class Drop:
    """Files of a component that the image leaves out: `path` is a glob (`*` crosses '/'), relative to the root."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    path: str
    component: str
    reason: str


@frozen
class Config:
    """`[config]`: the OCI image configuration and the system files that go with it."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    env: dict[str, str] = field(default_factory=dict)  # beside what the recipes' [runtime] env says
    ldconf: tuple[str, ...] = ()  # loader directories beside the recipes' own
    links: dict[str, str] = field(default_factory=dict)  # absolute path -> target of a symbolic link
    directories: tuple[str, ...] = ()  # absolute paths of empty directories of the image's user
    user: str = "dynamo"
    uid: int = 1000
    gid: int = 0
    umask: str = "002"
    workdir: str = "/workspace"
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    created: str = "1980-01-01T00:00:00Z"


@frozen
class Waiver:
    """One finding of one check that is let pass. One that matches nothing is an error. Patterns are globs."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    check: str
    reason: str
    path: str = "*"  # of the file
    name: str = "*"  # what is found there: a soname, a requirement


@frozen
class Checks:
    """`[checks]`: what must hold before the image gets its name."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    plugins: tuple[str, ...] = ()  # NIXL plugins, such as UCX
    ucx_modules: tuple[str, ...] = ()  # such as uct_ib
    dlopen: tuple[str, ...] = ()  # sonames that something opens at run time and that must be there
    budget: int | None = None  # bytes, of the unpacked image
    waive: tuple[Waiver, ...] = ()
    off: dict[str, str] = field(default_factory=dict)  # check -> the reason why it is not run


@frozen
class ImageDocument:
    """A whole image.toml."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    name: str
    summary: str
    version: str
    python: Python | None = None
    components: tuple[str, ...] = ()  # recipes; their runtime closures come with them
    licence: str = ""
    options: dict[str, str] = field(default_factory=dict)  # --set beats them
    platforms: tuple[str, ...] = ("x86_64-linux",)
    refuses: dict[str, str] = field(default_factory=dict)  # platform -> the reason
    base: ImageBase = ImageBase()
    winners: tuple[Winner, ...] = ()
    drop: tuple[Drop, ...] = ()
    config: Config = Config()
    checks: Checks = Checks()
    run: Script | None = None  # run in the image before it gets its name


@frozen
class Image:
    """An image recipe that was read and checked, its lock and the files beside it too."""

    document: ImageDocument
    where: str  # its file, as messages name it
    directory: Path
    lock: PythonLock | None  # None: there is no [python], or (see `lock_missing`) nobody wrote its lock yet
    lock_missing: bool
    files: dict[str, LocalFile]  # of [run] files, by the name that the recipe uses

    @property
    def name(self) -> str:
        return self.document.name
