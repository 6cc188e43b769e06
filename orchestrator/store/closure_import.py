"""Takes a closure file (closure_file.py) into a store.

Objects and blobs are published one by one, each verified, so that one that is killed goes on from there. Records are
looked at in a directory of their own, and written when all that they lead to is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, key_of
from orchestrator.frozen import frozen, replace
from orchestrator.store.blobs import adopt_blob, blob_path, has_blob
from orchestrator.store.closure_file import ClosureReader, Progress
from orchestrator.store.durable import write_file
from orchestrator.store.goals import Goal, read_goal, read_goal_document, write_goal
from orchestrator.store.held import hold, holding
from orchestrator.store.images import ImageRecord, read_image, write_image
from orchestrator.store.layout import Layout, open_store
from orchestrator.store.objects import has_object
from orchestrator.store.packed import CHUNK, Refused, unpack_object
from orchestrator.store.realisations import (
    Realisation,
    read_check,
    read_realisation,
    write_check,
    write_realisations,
)
from orchestrator.store.records import read_record, settle, text, write_record
from orchestrator.store.stage import staging, sweep
from orchestrator.tree import disk

_MAX_RECORD = 64 << 20  # bytes


@frozen
class Imported:
    """What came, and what was there already."""

    name: str
    kind: str
    objects: int
    objects_there: int
    blobs: int
    blobs_there: int
    goals: tuple[Goal, ...]
    images: tuple[ImageRecord, ...]  # recorded; the layout of images has their names still to learn


def import_closure(layout: Layout, path: Path, *, progress: Progress) -> Imported:
    """Import the file. Raise SourceError for what is not as it should be, naming the entry; MachineError."""
    sweep(layout)
    with disk("read", path), path.open("rb") as file, holding(layout), staging(layout, "import") as room:
        return _Import(layout, ClosureReader(file, path), room, progress).run()


class _Import:
    def __init__(self, layout: Layout, reader: ClosureReader, room: Path, progress: Progress) -> None:
        self._layout = layout
        self._reader = reader
        self._room = room
        self._aside = open_store(room / "records")  # records are read there first, by those who read the store's
        self._progress = progress
        self._came = {"objects": 0, "blobs": 0}
        self._there = {"objects": 0, "blobs": 0}

    def run(self) -> Imported:
        reader = self._reader
        take = {"objects": self._object, "blobs": self._blob, "records": self._record}
        for count, name in enumerate(reader.names):
            self._progress(name, count, len(reader.names))
            kind, _, rest = name.partition("/")
            take[kind](rest, reader.open(name))
            reader.skip()
        reader.end()
        goals, images = self._write_records()
        return Imported(
            name=reader.name,
            kind=reader.kind,
            objects=self._came["objects"],
            objects_there=self._there["objects"],
            blobs=self._came["blobs"],
            blobs_there=self._there["blobs"],
            goals=goals,
            images=images,
        )

    def _object(self, name: str, size: int) -> None:
        digest = Digest("blake3", name.partition(".")[0])
        if has_object(self._layout, digest):
            self._there["objects"] += 1
            return
        try:
            unpack_object(self._layout, self._reader, digest, self._room)
        except Refused as refused:
            raise self._reader.refused(str(refused)) from refused
        settle(self._layout.objects)  # whatever comes then, this one stays
        self._came["objects"] += 1

    def _blob(self, name: str, size: int) -> None:
        digest = Digest("sha256", name)
        if has_blob(self._layout, digest, size):
            self._there["blobs"] += 1
            return
        hasher, staged = hashlib.sha256(), self._room / f"blob-{name[:12]}"
        with disk("write", staged), staged.open("xb") as file:
            while piece := self._reader.read(CHUNK):
                hasher.update(piece)
                file.write(piece)
        if hasher.hexdigest() != name:
            raise self._reader.refused(f"its content has the sha256 {hasher.hexdigest()}")
        adopt_blob(self._layout, staged, digest)
        self._came["blobs"] += 1

    def _record(self, name: str, size: int) -> None:
        if size > _MAX_RECORD:
            raise self._reader.refused(f"a record of more than {_MAX_RECORD} bytes")
        path = self._aside.root / name
        with disk("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, self._reader.read(size), sync=False)
        if not self._is_sound(name):
            raise self._reader.refused("a record that is damaged, or not what its name says")

    def _is_sound(self, name: str) -> bool:
        kind, key = name.rpartition("/")[0], Digest("blake3", Path(name).stem)
        if kind in ("realisations", "checks"):
            found = (read_realisation if kind == "realisations" else read_check)(self._aside, key)
            return found is not None and key_of(found.document) == key
        if kind == "goals/documents":
            return read_goal_document(self._aside, key) is not None
        if kind == "goals":
            return read_goal(self._aside, key) is not None
        if kind == "images":
            return read_image(self._aside, key) is not None
        return self._layer(key) is not None

    def _layer(self, key: Digest) -> dict[str, Any] | None:
        found = read_record(self._aside, self._aside.layers / f"{key.hex}.json", dict)
        return found if found is not None and found.get("key") == str(key) else None

    # -- once all is there -----------------------------------------------------------------------------------------

    def _write_records(self) -> tuple[tuple[Goal, ...], tuple[ImageRecord, ...]]:
        """Write what is not recorded yet: what leads to objects first, then what leads to those."""
        keys: dict[str, list[Digest]] = {}
        for name in self._reader.names:
            kind, _, rest = name.partition("/")
            if kind == "records":
                keys.setdefault(rest.rpartition("/")[0], []).append(Digest("blake3", Path(rest).stem))
        goals = tuple(self._goal(key) for key in keys.get("goals", ()))
        images = tuple(self._image(key) for key in keys.get("images", ()))
        layers = [self._layer_of(images, key) for key in keys.get("layers", ())]
        self._write_realisations(keys.get("realisations", []))
        for key in keys.get("checks", ()):
            check = read_check(self._aside, key)
            if check is not None and read_check(self._layout, key) is None:
                write_check(self._layout, replace(check, log=""))
        for layer in layers:
            path = self._layout.layers / f"{Digest.parse(layer['key']).hex}.json"
            if not path.exists():
                write_record(self._layout, path, layer)
        for goal in goals:
            if read_goal(self._layout, goal.key) is None:
                write_goal(self._layout, goal)
        for image in images:
            write_image(self._layout, image)
        return goals, images

    def _write_realisations(self, keys: list[Digest]) -> None:
        new: list[Realisation] = []
        for key in keys:
            found = read_realisation(self._aside, key)
            if found is not None and read_realisation(self._layout, key) is None:
                new.append(replace(found, log=""))  # logs stay where they were written
        if new:
            write_realisations(self._layout, new, self._room)
            settle(self._layout.realisations)

    def _goal(self, key: Digest) -> Goal:
        goal, document = read_goal(self._aside, key), read_goal_document(self._aside, key)
        if goal is None or document is None:
            raise self._reader.refused(f"the goal {key} comes without what its key was made of")
        if missing := [item.name for item in goal.closure if not self._has(item.digest)]:
            raise self._reader.refused(f"the goal {goal.goal} comes without {', '.join(missing)}")
        if document.get("goal") != goal.goal or not goal.closure or goal.closure[-1].digest != goal.output:
            raise self._reader.refused(f"the record of {goal.goal} is not of the goal that its key was made of")
        return replace(goal, document=document)

    def _has(self, digest: Digest) -> bool:
        hold(self._layout, "object", digest.hex)
        return has_object(self._layout, digest)

    def _image(self, key: Digest) -> ImageRecord:
        """The record of an image, which has to say what the image's own documents say."""
        image = read_image(self._aside, key)
        assert image is not None  # it was read when it came
        blobs = {layer.digest: layer.size for layer in image.layers}
        blobs |= {image.manifest: image.manifest_size, image.config: image.config_size}
        for digest, size in blobs.items():
            if not has_blob(self._layout, digest, size):
                raise self._reader.refused(f"the image {image.name} comes without its blob {digest}")
        try:
            manifest, config = (self._json(digest) for digest in (image.manifest, image.config))
            told = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
            same = told == [str(image.config), *(str(layer.digest) for layer in image.layers)]
            same = same and config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in image.layers]
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise self._reader.refused(f"the record of {image.name} says something else than the image itself")
        return image

    def _json(self, digest: Digest) -> Mapping[str, Any]:
        with disk("read", blob_path(self._layout, digest)):
            data = blob_path(self._layout, digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest.hex:
            raise ValueError(str(digest))
        found: Mapping[str, Any] = json.loads(data)
        return found

    def _layer_of(self, images: tuple[ImageRecord, ...], key: Digest) -> dict[str, Any]:
        layer = self._layer(key)
        assert layer is not None  # it was read when it came
        known = {(str(one.digest), one.size, str(one.diff_id)) for image in images for one in image.layers}
        if (text(layer, "digest"), layer.get("size"), layer.get("diff_id")) not in known:
            raise self._reader.refused(f"the record of layer {layer.get('name')!r} is of no image that comes with it")
        return layer
