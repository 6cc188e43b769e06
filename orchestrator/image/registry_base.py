"""An image from a registry as what others stand on: fetched, unpacked, looked at, and what it adds to them.

Knows no recipe's components and assembles nothing. What the registry's image says of itself is not trusted. For an
image that stands on a recipe there is no such base, and each function says so: None, nothing, no bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import RecipeError
from orchestrator.events import Monitor, Notice, StepFinished, StepStarted
from orchestrator.fetch.oci import fetch_image, look_up_image
from orchestrator.image.base_layers import BaseImage, base_tree, is_unpacked
from orchestrator.image.layer_stack import real_directory
from orchestrator.image.model import Component
from orchestrator.recipe.image import BASE_IMAGE, Image
from orchestrator.store import Layout, object_tree, read_manifest
from orchestrator.tree import disk

_UNPACKED = 3  # bytes of a tree for one of its layers, compressed: more than most images take
_SHOWN = 8
_UNFIT = re.compile("[\0\ud800-\udfff]")  # what no variable and no UTF-8 can hold
_LINKS = 40  # as many as Linux follows
_TOLD = ("created", "created_by", "author", "comment")  # of a line of the history


def base_needs(layout: Layout, image: Image, platform: str) -> tuple[int, int]:
    """How many bytes of the image's base there are to fetch, and about how many its tree will take. The registry is
    asked for a manifest that the store does not have. Raises what fetch_image does."""
    name = image.document.base.from_
    if name is None:
        return 0, 0
    manifest, missing = look_up_image(layout, name, platform=platform, where=_where(image))
    tree = 0 if is_unpacked(layout, manifest) else _UNPACKED * sum(blob.size for blob in manifest.layers)
    return missing, tree


def registry_base(layout: Layout, image: Image, platform: str, *, monitor: Monitor) -> BaseImage | None:
    """The base that `image` names, in the store and unpacked. Raise RecipeError if the image cannot stand on it, and
    what fetch_image and base_tree raise."""
    name, where = image.document.base.from_, _where(image)
    if name is None:
        return None
    manifest = fetch_image(layout, name, platform=platform, monitor=monitor, where=where)
    if is_unpacked(layout, manifest):
        base = base_tree(layout, manifest, name=name, where=where)
    else:
        step, began, outcome = f"unpack {name.rpartition('/')[2]}", time.monotonic(), "failed"
        monitor(StepStarted(step=step))
        try:
            base = base_tree(layout, manifest, name=name, where=where)
            outcome = "built"
        finally:
            monitor(StepFinished(step=step, outcome=outcome, seconds=time.monotonic() - began))
    _refuse_unfit(layout, image, base)
    if base.setuid:
        shown = ", ".join(f"/{path}" for path in base.setuid[:_SHOWN])
        more = f" and {len(base.setuid) - _SHOWN} more" if len(base.setuid) > _SHOWN else ""
        count = f"{len(base.setuid)} setuid or setgid program{'' if len(base.setuid) == 1 else 's'}"
        text = f"{image.name}: its base brings {count}: {shown}{more}; its layers are taken as they are"
        monitor(Notice(text=text))
    return base


def base_components(image: Image, base: BaseImage | None) -> tuple[Component, ...]:
    """The base as the lowest component. It has no key: its layers are there already."""
    if base is None:
        return ()
    pinned = base.name.rpartition(":")[2]
    component = Component(
        name=BASE_IMAGE,
        version=pinned[:12],
        origin="vendor",
        kind="base",
        object=base.object,
        key=None,
        sources=(base.name,),
        recipe=_where(image),
    )
    return (component,)


def with_base_environment(own: Mapping[str, str], base: BaseImage | None) -> dict[str, str]:
    """The environment of an image that stands on `base`, `own` being what the image's recipes and itself say. What the
    base sets and they do not stays. A variable whose name ends in PATH is a list, the base's part last."""
    joined = dict(own)
    for name, value in _environment(base).items():
        if name not in joined:
            joined[name] = value
        elif name.endswith("PATH"):
            places = [place for text in (joined[name], value) for place in text.split(":")]
            joined[name] = ":".join(dict.fromkeys(place for place in places if place))
    return dict(sorted(joined.items()))


def base_history(base: BaseImage | None) -> tuple[dict[str, Any], ...]:
    """The history that the base's configuration tells, if it tells of its layers; else nothing."""
    told = base.config.get("history") if base is not None else None
    if base is None or not isinstance(told, list) or not all(isinstance(entry, dict) for entry in told):
        return ()
    lines: list[dict[str, Any]] = []
    for entry in told:
        line: dict[str, Any] = {name: entry[name] for name in _TOLD if _is_text(entry.get(name))}
        lines.append(line | ({"empty_layer": True} if entry.get("empty_layer") is True else {}))
    return tuple(lines) if sum("empty_layer" not in line for line in lines) == len(base.layers) else ()


def loader_directories(layout: Layout, base: BaseImage | None) -> tuple[str, ...]:
    """The directories that the files in the base's /etc/ld.so.conf.d name, in the order in which ldconfig reads them.
    Raise MachineError."""
    if base is None:
        return ()
    tree, found = object_tree(layout, base.object), list[str]()
    for entry in read_manifest(layout, base.object).entries:
        directory, _, name = entry.path.rpartition("/")
        if entry.kind == "file" and directory == "etc/ld.so.conf.d" and name.endswith(".conf"):
            with disk("read", tree / entry.path):
                lines = (tree / entry.path).read_text(encoding="utf-8", errors="replace").splitlines()
            found += [line.partition("#")[0].strip() for line in lines]
    return tuple(dict.fromkeys(line for line in found if line.startswith("/")))


def _where(image: Image) -> str:
    return f"{image.where}: base.from"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _UNFIT.search(value)


def _environment(base: BaseImage | None) -> dict[str, str]:
    config = base.config.get("config") if base is not None else None
    lines = config.get("Env") if isinstance(config, dict) else None
    pairs = (line.partition("=") for line in lines or () if _is_text(line)) if isinstance(lines, list) else ()
    return {name: value for name, equals, value in pairs if name and equals}


def _refuse_unfit(layout: Layout, image: Image, base: BaseImage) -> None:
    """Raise RecipeError if the base lacks a program that the image is made or used with."""
    python = image.document.python
    wanted = [
        ("/sbin/ldconfig", "it writes the image's loader cache", "pin an image with the GNU C library"),
        ("/bin/sh", "the image's entrypoint is a shell script", "pin an image that has a shell"),
    ]
    if image.document.run is not None:
        wanted.append(("/bin/bash", "[run] is run by it", "pin an image that has bash, or remove [run]"))
    if python is not None:
        wanted.append(
            (
                program := f"/usr/bin/python{python.version}",
                f"the Python environment {python.prefix} runs it, and its bytecode is for Python {python.version}",
                f"pin an image that has it; or, where it has that Python elsewhere, let {program} lead there under"
                " [config] links",
            )
        )
    tree = object_tree(layout, base.object)
    for program, why, hint in wanted:
        if program not in image.document.config.links and not _is_file(tree, program):
            raise RecipeError(f"the base image has no {program}", where=_where(image), why=why, hint=hint)


def _is_file(tree: Path, path: str) -> bool:
    """Whether a process in `tree` finds a file at `path`."""
    for _ in range(_LINKS):
        directory, _, name = path.rpartition("/")
        real = real_directory(tree, directory)
        if real is None:
            return False
        file = tree / real / name
        if not file.is_symlink():
            return file.is_file()
        target = str(file.readlink())
        path = target if target.startswith("/") else f"{real}/{target}"
    return False
