"""An image from a registry as what others stand on: its layers as they are, and the tree that they unpack to.

The layers are the first ones of the new image, byte for byte; the tree is for checks and for running, so it holds what
an object can hold: setuid and setgid bits are cleared in it and told, extended attributes are left out, devices are
refused. The manifest keeps the owners and modes that the layers say. Knows no registry: see fetch/oci.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest, key_of
from orchestrator.errors import MachineError, OrchError, SourceError
from orchestrator.fetch.oci_manifest import Blob, ImageManifest, json_object
from orchestrator.frozen import frozen
from orchestrator.image.layer_stack import LayerStack, UnpackedLayer
from orchestrator.image.layer_unpack import unpack_layer
from orchestrator.image.layout import read_document
from orchestrator.image.model import Layer
from orchestrator.store import Layout, has_object, locked, publish_tree, staging
from orchestrator.store.blobs import blob_path, quarantine_blob, verify_blob
from orchestrator.store.records import mapping, number, read_record, write_record
from orchestrator.tree import Manifest, disk, scan

_SCHEMA = 1  # raised when what a base unpacks to changes
_SETID = 0o6000
_AT_ONCE = 4  # layers


@frozen
class BaseImage:
    """An image that others stand on."""

    name: str  # oci:REGISTRY/PATH@sha256:HEX
    manifest: Digest  # sha256, of the one for the platform
    object: Digest  # what its layers unpack to
    layers: tuple[Layer, ...]  # as they are, the lowest first; they have no parts
    config: dict[str, Any]  # the whole config document
    setuid: tuple[str, ...]  # paths whose setuid or setgid bits the layers have and the object has not


@frozen
class _Known:
    object: Digest
    setuid: tuple[str, ...]
    unpacked: tuple[int, ...]  # bytes of files, by layer


def base_tree(
    layout: Layout,
    manifest: ImageManifest,
    *,
    name: str,
    where: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> BaseImage:
    """The image `manifest`, all of whose blobs are in the store, as a base. Its layers are unpacked once: that is
    remembered by the manifest's digest.

    `name` is what the recipe calls it, `where` the file and field. Raise SourceError, naming layer and entry, for what
    is refused or is not what the config says; MachineError, for a damaged blob too, which is then put aside;
    KeyboardInterrupt soon after `stopped()` is true. Nothing half is left.
    """
    config = _config(layout, manifest, name, where)
    diff_ids = _diff_ids(config, manifest, name, where)
    known = _known(layout, manifest)
    if known is None:
        with locked(layout, key_of({"base": str(manifest.digest)}), lambda: None, stopped):
            known = _known(layout, manifest)
            if known is None:
                known = _unpack(layout, manifest, diff_ids, name, where, stopped)
                _remember(layout, manifest, known)
    layers = tuple(
        Layer(
            name=f"base {index}",
            media_type=blob.media_type,
            digest=blob.digest,
            size=blob.size,
            diff_id=diff_id,
            unpacked=unpacked,
            parts=(),
        )
        for index, (blob, diff_id, unpacked) in enumerate(
            zip(manifest.layers, diff_ids, known.unpacked, strict=True), 1
        )
    )
    return BaseImage(
        name=name, manifest=manifest.digest, object=known.object, layers=layers, config=config, setuid=known.setuid
    )


def is_unpacked(layout: Layout, manifest: ImageManifest) -> bool:
    """Whether `base_tree` of it is only a look."""
    return _known(layout, manifest) is not None


def _config(layout: Layout, manifest: ImageManifest, name: str, where: str) -> dict[str, Any]:
    try:
        return json_object(read_document(layout, manifest.config.digest))
    except ValueError as error:
        raise _malformed(name, where, f"config {manifest.config.digest}: {error}") from error


def _diff_ids(config: dict[str, Any], manifest: ImageManifest, name: str, where: str) -> tuple[Digest, ...]:
    try:
        found = tuple(Digest.parse(text) for text in config["rootfs"]["diff_ids"])
    except (KeyError, TypeError, OrchError) as error:
        raise _malformed(name, where, f"config {manifest.config.digest}: rootfs.diff_ids: {error}") from error
    if len(found) != len(manifest.layers):
        raise _malformed(name, where, f"its manifest has {len(manifest.layers)} layers, its config {len(found)}")
    return found


def _malformed(name: str, where: str, why: str) -> SourceError:
    return SourceError(f"{name} is malformed", where=where, why=why, hint="pin another image, or ask who made this one")


def _note(layout: Layout, manifest: ImageManifest) -> Path:
    return layout.layers / f"base-{manifest.digest.hex}.json"


def _known(layout: Layout, manifest: ImageManifest) -> _Known | None:
    def parse(document: dict[str, Any]) -> _Known | None:
        if document["unpacking"] != _SCHEMA:
            return None
        sizes = mapping(document, "unpacked")
        return _Known(
            object=Digest.parse(document["object"]),
            setuid=tuple(str(path) for path in document["setuid"]),
            unpacked=tuple(int(number(sizes, str(blob.digest))) for blob in manifest.layers),
        )

    found = read_record(layout, _note(layout, manifest), parse)
    return found if found is not None and has_object(layout, found.object) else None


def _remember(layout: Layout, manifest: ImageManifest, known: _Known) -> None:
    sizes = {str(blob.digest): size for blob, size in zip(manifest.layers, known.unpacked, strict=True)}
    document = {"object": str(known.object), "setuid": known.setuid, "unpacked": sizes, "unpacking": _SCHEMA}
    write_record(layout, _note(layout, manifest), document)


def _unpack(
    layout: Layout,
    manifest: ImageManifest,
    diff_ids: tuple[Digest, ...],
    name: str,
    where: str,
    stopped: Callable[[], bool],
) -> _Known:
    halt = threading.Event()
    one = partial(_unpack_layer, layout, name=name, stopped=lambda: halt.is_set() or stopped())
    try:
        with staging(layout, "base") as room, ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
            try:
                # Several are unpacked at once, each on its own; laid over each other they are in their order.
                work = enumerate(zip(manifest.layers, diff_ids, strict=True))
                making = [pool.submit(one, room, index, blob, diff_id) for index, (blob, diff_id) in work]
                root, sizes = room / "root", []
                with disk("make a directory in", room):
                    root.mkdir()
                stack = LayerStack(root)
                for future in making:
                    layer = future.result()
                    sizes.append(layer.size)
                    stack.add(layer)
            except BaseException:
                halt.set()
                raise
            described, setuid = _described(root, stack)
            return _Known(object=publish_tree(layout, root, described), setuid=setuid, unpacked=tuple(sizes))
    except SourceError as error:
        error.where = ": ".join(filter(None, (where, error.where)))
        raise


def _unpack_layer(
    layout: Layout, room: Path, index: int, blob: Blob, diff_id: Digest, *, name: str, stopped: Callable[[], bool]
) -> UnpackedLayer:
    """One layer in a directory of its own; a damaged blob is put aside."""
    file = blob_path(layout, blob.digest)
    try:
        return unpack_layer(
            file, blob, diff_id, room / f"layer-{index}", name=f"{index + 1} of {name}", stopped=stopped
        )
    except SourceError as error:
        if verify_blob(layout, blob.digest):
            raise
        quarantine_blob(layout, blob.digest, "its content differs")
        raise MachineError(
            f"blob {blob.digest} is damaged",
            where=str(file),
            why=error.why,
            hint="it was put aside: run the same command again, and it is fetched again",
        ) from error


def _described(root: Path, stack: LayerStack) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of the tree with the modes and owners that the layers say, and the paths that lost setuid bits."""
    found, setuid = [], []
    for entry in scan(root).entries:
        said = stack.facts[entry.path]
        if said.mode & _SETID and entry.kind == "file":
            setuid.append(entry.path)
        mode = 0o777 if entry.kind == "link" else said.mode & ~_SETID
        found.append(entry._replace(mode=mode, uid=said.uid, gid=said.gid))
    return Manifest(tuple(found)), tuple(setuid)
