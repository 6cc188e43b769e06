"""What can be wrong in the [config] table of an image recipe. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from datetime import datetime

from orchestrator.recipe.check import ENV_NAME
from orchestrator.recipe.image import Config
from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.parse import Problem

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
UMASK = re.compile(r"0?[0-7]{3}")
CREATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
MAX_ID = (1 << 32) - 2  # the highest is the kernel's "none"


def absolute(value: str, path: FieldPath, *, root: bool = False) -> Iterator[Problem]:
    """What is wrong with a path of the image; `root`: it may be the root itself."""
    if not value.startswith("/"):
        yield Problem(path, f"not an absolute path: {value!r}")
    elif posixpath.normpath(value) != value or value.startswith("//"):
        normal = "/" + posixpath.normpath(value).lstrip("/")
        yield Problem(path, f"not a normalised path: {value!r}", f"write {normal!r}")
    elif value == "/" and not root:
        yield Problem(path, "the root itself cannot be named here", "name a path below it")


def _identity(config: Config) -> Iterator[Problem]:
    if USER.fullmatch(config.user) is None:
        yield Problem(
            ("config", "user"), f"not a user's name: {config.user!r}", "lower case, digits, _ and -, at most 32"
        )
    for name, number in (("uid", config.uid), ("gid", config.gid)):
        if not 0 <= number <= MAX_ID:
            yield Problem(("config", name), f"{name} is {number}", f"it is from 0 to {MAX_ID}")
    if (config.user == "root") != (config.uid == 0):
        yield Problem(
            ("config", "uid"), f"the user {config.user} with uid {config.uid}", "root, and only root, has uid 0"
        )
    if UMASK.fullmatch(config.umask) is None:
        yield Problem(("config", "umask"), f"not a umask: {config.umask!r}", 'three octal digits, such as "002"')
    try:
        created = datetime.fromisoformat(config.created) if CREATED.fullmatch(config.created) else None
    except ValueError:
        created = None
    if created is None or created.timestamp() < 0:
        hint = "spell it like 1980-01-01T00:00:00Z, in UTC, not before 1970"
        yield Problem(("config", "created"), f"not a time: {config.created!r}", hint)


def config_problems(config: Config) -> Iterator[Problem]:
    """All that is wrong in [config]."""
    yield from _identity(config)
    yield from absolute(config.workdir, ("config", "workdir"), root=True)
    for index, directory in enumerate(config.ldconf):
        yield from absolute(directory, ("config", "ldconf", index))
    for index, directory in enumerate(config.directories):
        yield from absolute(directory, ("config", "directories", index))
        if directory in config.links:
            yield Problem(("config", "directories", index), f"{directory} is a directory and a link", "leave one out")
    for link, target in config.links.items():
        yield from absolute(link, ("config", "links", link))
        if not target or target == link:
            yield Problem(("config", "links", link), f"a link to {target!r}", "name what it leads to")
    for name in config.env:
        if ENV_NAME.fullmatch(name) is None:
            yield Problem(("config", "env", name), f"not a name of a variable: {name!r}")
    for name in config.labels:
        if LABEL.fullmatch(name) is None:
            yield Problem(("config", "labels", name), f"not a name of a label: {name!r}")
    for field, words in (("entrypoint", config.entrypoint), ("cmd", config.cmd)):
        if words and not words[0]:
            yield Problem(("config", field, 0), f"the program of {field} has no name")
