"""Finished images by key: a command with nothing to do is one look-up here. Latest by name, for questions.

A record is no proof that its blobs and objects are still in the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.digest import Digest
from orchestrator.frozen import NamedTuple, frozen
from orchestrator.store.layout import Layout, safe_name
from orchestrator.store.records import number, read_record, text, write_record
from orchestrator.tree import disk


class LayerFields(NamedTuple):
    """One layer of an image."""

    name: str
    media_type: str
    digest: Digest  # sha256 of the blob
    size: int  # bytes of the blob
    diff_id: Digest  # sha256 of the tar
    unpacked: int  # bytes of files
    components: tuple[str, ...]  # whose files it holds


class ComponentFields(NamedTuple):
    """One component of an image."""

    name: str
    version: str
    origin: str
    kind: str
    object: Digest
    key: Digest | None  # None: orch made it for this image
    sources: tuple[str, ...]
    recipe: str
    unpacked: int  # bytes of its files that are in the image
    excluded: tuple[str, ...] = ()  # paths of its tree that are not


@frozen
class ImageRecord:
    """An image that was assembled and whose checks have passed."""

    key: Digest
    name: str
    version: str
    platform: str
    options: tuple[tuple[str, str], ...]
    manifest: Digest  # sha256: the image's digest
    manifest_size: int
    config: Digest
    config_size: int
    created: str
    layers: tuple[LayerFields, ...]  # bottom first
    components: tuple[ComponentFields, ...]  # bottom first
    unpacked: int  # bytes of all files
    waived: tuple[str, ...] = ()  # findings that a waiver let pass
    off: tuple[str, ...] = ()  # checks that were not run


def write_image(layout: Layout, image: ImageRecord) -> None:
    """Record a finished image, and that it is the last of its name; on the disk when this returns. Raise
    MachineError."""
    write_record(layout, layout.images / f"{image.key.hex}.json", _document(image))
    note_latest(layout, image)


def note_latest(layout: Layout, image: ImageRecord) -> None:
    """Let `image`, which is recorded, be the last of its name. Raise MachineError."""
    path = latest_path(layout, image.name)
    latest = read_record(layout, path, lambda document: (text(document, "name"), text(document, "key")))
    if latest != (image.name, str(image.key)):
        write_record(layout, path, {"name": image.name, "key": str(image.key)})


def latest_path(layout: Layout, name: str) -> Path:
    """Where it is noted which image of that name is the last."""
    return layout.images / "latest" / f"{safe_name(name)}.json"


def read_image(layout: Layout, key: Digest) -> ImageRecord | None:
    """The finished image of a key, or None. A damaged record is put aside and counts as none. Raise MachineError only
    if the record may not be read."""

    def parse(document: dict[str, Any]) -> ImageRecord:
        image = _parse(document)
        if image.key != key:
            raise ValueError(f"it is the record of {image.key}")
        return image

    return read_record(layout, layout.images / f"{key.hex}.json", parse)


def latest_image(layout: Layout, name: str) -> ImageRecord | None:
    """The image of that name that was made or asked for last, or None. Raise MachineError only if a record may not be
    read."""

    def parse(document: dict[str, Any]) -> Digest:
        if text(document, "name") != name:
            raise ValueError(f"it is the record of {document['name']!r}")
        return Digest.parse(text(document, "key"))

    key = read_record(layout, latest_path(layout, name), parse)
    return read_image(layout, key) if key is not None else None


def list_images(layout: Layout) -> tuple[ImageRecord, ...]:
    """All finished images, sorted by name and key. Raise MachineError if the store may not be read."""
    with disk("read", layout.images):
        try:
            names = sorted(path.stem for path in layout.images.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return ()
    records = (read_image(layout, Digest("blake3", name)) for name in names)
    return tuple(sorted((record for record in records if record is not None), key=lambda one: (one.name, one.key)))


def _document(image: ImageRecord) -> dict[str, Any]:
    return {
        "key": str(image.key),
        "name": image.name,
        "version": image.version,
        "platform": image.platform,
        "options": [list(pair) for pair in image.options],
        "manifest": str(image.manifest),
        "manifest_size": image.manifest_size,
        "config": str(image.config),
        "config_size": image.config_size,
        "created": image.created,
        "unpacked": image.unpacked,
        "waived": list(image.waived),
        "off": list(image.off),
        "layers": [
            {**layer._asdict(), "digest": str(layer.digest), "diff_id": str(layer.diff_id)} for layer in image.layers
        ],
        "components": [
            {**one._asdict(), "object": str(one.object), "key": str(one.key) if one.key is not None else None}
            for one in image.components
        ],
    }


def _parse(document: dict[str, Any]) -> ImageRecord:
    return ImageRecord(
        key=Digest.parse(text(document, "key")),
        name=text(document, "name"),
        version=text(document, "version"),
        platform=text(document, "platform"),
        options=tuple((str(name), str(value)) for name, value in document["options"]),
        manifest=Digest.parse(text(document, "manifest")),
        manifest_size=int(number(document, "manifest_size")),
        config=Digest.parse(text(document, "config")),
        config_size=int(number(document, "config_size")),
        created=text(document, "created"),
        unpacked=int(number(document, "unpacked")),
        waived=_texts(document["waived"]),
        off=_texts(document["off"]),
        layers=tuple(_layer(item) for item in document["layers"]),
        components=tuple(_component(item) for item in document["components"]),
    )


def _texts(items: list[Any]) -> tuple[str, ...]:
    return tuple(str(item) for item in items)


def _layer(item: dict[str, Any]) -> LayerFields:
    return LayerFields(
        name=text(item, "name"),
        media_type=text(item, "media_type"),
        digest=Digest.parse(text(item, "digest")),
        size=int(number(item, "size")),
        diff_id=Digest.parse(text(item, "diff_id")),
        unpacked=int(number(item, "unpacked")),
        components=_texts(item["components"]),
    )


def _component(item: dict[str, Any]) -> ComponentFields:
    return ComponentFields(
        name=text(item, "name"),
        version=text(item, "version"),
        origin=text(item, "origin"),
        kind=text(item, "kind"),
        object=Digest.parse(text(item, "object")),
        key=Digest.parse(text(item, "key")) if item["key"] is not None else None,
        sources=_texts(item["sources"]),
        recipe=text(item, "recipe"),
        unpacked=int(number(item, "unpacked")),
        excluded=_texts(item["excluded"]),
    )
