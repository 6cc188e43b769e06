"""Why things stay: every root of a store, and what each keeps. Reads, decides nothing and removes nothing.

| root | keeps |
|---|---|
| the last results of a goal with the same options | its runtime closure; the newest, what it was built with too |
| the last image of each name | its blobs, and the objects that its layers are made of |
| a link made with -o | the object that it points to, with the runtime closure that belongs to it |
| a pin | what the pinned goal or image was made of when it was pinned |
| a running command | what it needs (held.py) |
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from orchestrator.digest import blake3_bytes
from orchestrator.frozen import field, frozen
from orchestrator.store.goals import RECENT
from orchestrator.store.images import ImageRecord, latest_image, list_images
from orchestrator.store.index import GoalFacts, Index
from orchestrator.store.layout import Layout, safe_name
from orchestrator.store.records import mapping, read_record, text, write_record
from orchestrator.tree import disk, machine_error

RootKind = Literal["goal", "image", "link", "pin", "running"]


@frozen
class Root:
    """One reason to keep things. Objects and blobs by hex, each with the name of the component or layer that it is."""

    kind: RootKind
    label: str  # `goal nixl cuda=13`, `image sglang-cu12`, `link /home/me/result`, `pin nixl`
    objects: Mapping[str, str] = field(default_factory=dict)
    blobs: Mapping[str, str] = field(default_factory=dict)
    age: int = 0  # of a goal: how many newer results there are
    used: float = 0.0  # seconds since 1970: when it was made or asked for last
    record: Path | None = None  # what to remove to drop it


def find_roots(layout: Layout, index: Index) -> list[Root]:
    """Every root but running commands. Raise MachineError if the store may not be read."""
    goals = index.goals()
    by_output = {goal.output: goal for goal in reversed(goals)}
    return [*_goals(layout, index, goals), *_images(layout), *_registered(layout, by_output)]


def _goals(layout: Layout, index: Index, goals: list[GoalFacts]) -> Iterator[Root]:
    inputs, asked = index.inputs(), _asked(layout)
    goals = sorted(goals, key=lambda goal: (max(goal.finished, asked.get(goal.key, 0.0)), goal.key), reverse=True)
    seen: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for goal in goals:
        age = seen[goal.goal, goal.options]
        seen[goal.goal, goal.options] += 1
        if age >= RECENT:
            continue
        objects = {digest: name for name, _, _, digest, _ in goal.closure}
        if age == 0:
            for name, digest in _built_with(inputs, goal):
                objects.setdefault(digest, name)
        yield Root(
            kind="goal",
            label=" ".join(["goal", goal.goal, *(f"{name}={value}" for name, value in goal.options)])
            + (f" ({age} result{'s' if age > 1 else ''} ago)" if age else ""),
            objects=objects,
            age=age,
            used=max(goal.finished, asked.get(goal.key, 0.0)),
            record=layout.goals / f"{goal.key}.json",
        )


def _asked(layout: Layout) -> dict[str, float]:
    """When finished goals were asked for last, by key: notes say it (goals.py), and saved answers that name them."""
    found: dict[str, float] = {}
    for path in (layout.root / "index").glob("asked-*"):
        with suppress(OSError):
            found[path.name.removeprefix("asked-")] = path.stat().st_mtime
    for path in layout.answers.glob("*"):
        with suppress(OSError):
            when = path.stat().st_mtime
            for key in re.findall(rb"/goals/([0-9a-f]{64})\.json$", path.read_bytes(), re.MULTILINE):
                found[key.decode()] = max(when, found.get(key.decode(), 0.0))
    return found


def _built_with(inputs: Mapping[str, tuple[str, str | None, list[str]]], goal: GoalFacts) -> Iterator[tuple[str, str]]:
    """What a goal's closure was built with, as far as records tell: compilers, headers, bases."""
    todo = [key for _, _, _, _, key in goal.closure if key is not None]
    seen = set(todo)
    while todo:
        name, output, keys = inputs.get(todo.pop(), ("", None, ()))
        if output is not None:
            yield name, output
        fresh = [key for key in keys if key not in seen]
        seen.update(fresh)
        todo += fresh


def image_contents(image: ImageRecord) -> tuple[dict[str, str], dict[str, str]]:
    """The objects and the blobs of an image, by hex."""
    blobs = {layer.digest.hex: layer.name for layer in image.layers}
    blobs |= {image.config.hex: "configuration", image.manifest.hex: "manifest"}
    return {one.object.hex: one.name for one in image.components}, blobs


def _images(layout: Layout) -> Iterator[Root]:
    for name in sorted({image.name for image in list_images(layout)}):
        image = latest_image(layout, name)
        if image is None:
            continue
        record = layout.images / f"{image.key.hex}.json"
        objects, blobs = image_contents(image)
        yield Root(
            kind="image",
            label=f"image {name}",
            objects=objects,
            blobs=blobs,
            used=_mtime(layout.images / "latest" / f"{safe_name(name)}.json", record),
            record=record,
        )


def _mtime(*paths: Path) -> float:
    found = 0.0
    for path in paths:
        try:
            found = max(found, path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return found


def _registered(layout: Layout, by_output: Mapping[str, GoalFacts]) -> Iterator[Root]:
    for path in sorted(layout.roots.glob("*.json")):
        document = read_record(layout, path, dict)
        if document is None:
            continue
        if "pin" in document:
            objects, blobs = (_names(mapping(document, field)) for field in ("objects", "blobs"))
            yield Root(kind="pin", label=f"pin {document['pin']}", objects=objects, blobs=blobs, record=path)
            continue
        link = Path(str(document.get("link", "")))
        digest = linked_object(layout, link)
        if digest is not None:
            goal = by_output.get(digest)
            objects = {one: name for name, _, _, one, _ in goal.closure} if goal else {}
            objects.setdefault(digest, str(document.get("label", "")))
            yield Root(kind="link", label=f"link {link}", objects=objects, record=path)


def _names(document: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in document.items()}


def linked_object(layout: Layout, link: Path) -> str | None:
    """The hex of the object that a result link points to; None if it is gone or points elsewhere."""
    try:
        target = Path(os.path.normpath(link.parent / link.readlink()))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP):
            return None  # it is gone, or no link any more
        raise machine_error(error, "read the result link", link) from error  # it may be there: nothing is collected
    if target.name != "tree" or target.parent.parent != layout.objects:
        return None
    return target.parent.name


def drop(layout: Layout, root: Root) -> None:
    """Let a root keep nothing any more. Of a link, the link itself stays; an image's name is taken out of the OCI
    layout before, by whoever knows that (image/layout.py). Raise MachineError."""
    with disk("drop a root of", layout.root):
        if root.kind == "image":
            (layout.images / "latest" / f"{safe_name(root.label.removeprefix('image '))}.json").unlink(missing_ok=True)
        if root.record is not None:
            root.record.unlink(missing_ok=True)


def pin(layout: Layout, label: str, objects: Mapping[str, str], blobs: Mapping[str, str]) -> None:
    """Keep these until unpinned. A pin of the same label is replaced. Raise MachineError."""
    write_record(layout, _pin(layout, label), {"pin": label, "objects": dict(objects), "blobs": dict(blobs)})


def unpin(layout: Layout, label: str) -> bool:
    """Remove a pin; whether there was one."""
    try:
        _pin(layout, label).unlink()
    except FileNotFoundError:
        return False
    return True


def pins(layout: Layout) -> list[str]:
    """The labels of all pins."""
    found = (read_record(layout, path, lambda one: text(one, "pin")) for path in layout.roots.glob("pin-*.json"))
    return sorted(label for label in found if label is not None)


def _pin(layout: Layout, label: str) -> Path:
    return layout.roots / f"pin-{blake3_bytes(label.encode()).hex}.json"
