"""Small objects and images in a store of a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.image.layer import make_layers
from orchestrator.image.layout import add_document, name_image
from orchestrator.image.model import Compression, LayerPart, LayerPlan
from orchestrator.image.oci import ImageMeta, image_config, image_manifest
from orchestrator.store import ImageRecord, LayerFields, Layout, object_tree, publish_tree, staging, write_image
from orchestrator.tree import Entry, Manifest

CREATED = "1980-01-01T00:00:00Z"


def file(path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(path, "file", mode, size=len(data), digest=blake3_bytes(data).hex, uid=uid, gid=gid)


def directory(path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(path, "dir", mode, uid=uid, gid=gid)


def link(path: str, target: str) -> Entry:
    return Entry(path, "link", 0o777, target=target)


def with_parents(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    there = {entry.path for entry in entries}
    parents = {str(parent) for entry in entries for parent in Path(entry.path).parents} - there - {"."}
    return (*entries, *(directory(parent) for parent in sorted(parents)))


def publish_entries(layout: Layout, entries: Sequence[Entry], contents: Mapping[str, bytes]) -> Digest:
    """An object with these entries, and for each file its content."""
    manifest = Manifest(with_parents(entries))
    with staging(layout, "test") as room:
        tree = room / "tree"
        tree.mkdir()
        for entry in manifest.entries:
            if entry.kind == "dir":
                (tree / entry.path).mkdir()
            elif entry.kind == "link":
                (tree / entry.path).symlink_to(entry.target)
            else:
                (tree / entry.path).write_bytes(contents[entry.path])
        return publish_tree(layout, tree, manifest)


def publish_files(layout: Layout, files: Mapping[str, bytes]) -> Digest:
    """An object of plain files."""
    return publish_entries(layout, [file(path, data) for path, data in files.items()], files)


def plan_of(name: str, *objects: Digest, excluded: Sequence[str] = (), size: int = 0) -> LayerPlan:
    parts = tuple(LayerPart(component=name, object=one, excluded=frozenset(excluded)) for one in objects)
    return LayerPlan(name=name, parts=parts, size=size)


def flip(layout: Layout, digest: Digest, path: str) -> None:
    """Damage one bit of a file of an object; its size stays."""
    damaged = object_tree(layout, digest) / path
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(data)


def make_image(
    layout: Layout,
    name: str,
    plans: Sequence[LayerPlan],
    *,
    compression: Compression = "zstd",
    meta: ImageMeta | None = None,
) -> ImageRecord:
    """An image of these layers, named and recorded."""
    meta = meta or ImageMeta(platform="x86_64-linux", created=CREATED, cmd=("/bin/true",))
    layers = make_layers(layout, plans, compression=compression)
    config = add_document(layout, image_config(meta, layers))
    manifest = add_document(layout, image_manifest(config, layers))
    record = ImageRecord(
        key=blake3_bytes(str(manifest.digest).encode()),
        name=name,
        version="1",
        platform=meta.platform,
        options=(),
        manifest=manifest.digest,
        manifest_size=manifest.size,
        config=config.digest,
        config_size=config.size,
        created=meta.created,
        layers=tuple(
            LayerFields(
                layer.name, layer.media_type, layer.digest, layer.size, layer.diff_id, layer.unpacked, (layer.name,)
            )
            for layer in layers
        ),
        components=(),
        unpacked=sum(layer.unpacked for layer in layers),
    )
    write_image(layout, record)
    name_image(layout, record)
    return record
