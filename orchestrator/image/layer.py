"""Layers from plans: tar, hash, compress, in one pass, into the store's OCI layout. What is there is not read again.

The record of a layer, `layers/<key>.json`, leads from what a layer is made of to its blob. It is a hint: a blob that is
missing or has another size is made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from orchestrator.digest import Digest, key_of
from orchestrator.image.compress import MEDIA_TYPES, compress, compression_facts
from orchestrator.image.model import Compression, Layer, LayerPlan
from orchestrator.image.tar import TAR_SCHEMA, layer_pieces, tar_chunks, tar_size
from orchestrator.store import Layout, locked, staging
from orchestrator.store.blobs import adopt_blob, has_blob
from orchestrator.store.records import number, read_record, text, write_record
from orchestrator.tree import disk

Progress = Callable[[str, int, int], None]  # layer's name, bytes done, bytes in all; called from several threads

_AT_ONCE = 8  # layers; more would only wait for the disk, and hold memory
_STEPS = 100  # in which a layer's progress is told
_THREADS = 4  # of one layer's compression: it is then faster than what feeds it


def encoder(compression: Compression) -> str:
    """What compresses a layer, in which version and how: all that decides its bytes beside what it holds."""
    return " ".join(f"{name}={value}" for name, value in compression_facts(compression).items()) + f" tar={TAR_SCHEMA}"


def layer_key(plan: LayerPlan, compression: Compression) -> Digest:
    """A hash of all that decides a layer's bytes; its name is not among it."""
    parts = [{"object": str(part.object), "excluded": sorted(part.excluded)} for part in plan.parts]
    return key_of({"schema": TAR_SCHEMA, **compression_facts(compression), "parts": parts})


def known_layer(layout: Layout, plan: LayerPlan, compression: Compression = "zstd") -> Layer | None:
    """The layer of `plan` if it is in the layout: two look-ups, nothing is read. Raise MachineError."""
    return _known(layout, plan, layer_key(plan, compression))


def make_layer(
    layout: Layout,
    plan: LayerPlan,
    *,
    compression: Compression = "zstd",
    threads: int | None = None,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> Layer:
    """The layer of `plan`, made if it is not in the layout; on the disk when this returns.

    `progress` is called only while it is made. Raise MachineError (an object that is damaged has then been put aside),
    or KeyboardInterrupt once `stop` is set.
    """
    key = layer_key(plan, compression)
    stopped = stop.is_set if stop else bool
    there = _known(layout, plan, key)
    if there is not None:
        return there
    with locked(layout, key, lambda: None, stopped):
        there = _known(layout, plan, key)  # whoever held the lock made it
        if there is not None:
            return there
        return _make(layout, plan, key, compression, threads or min(_THREADS, cores()), progress, stopped)


def make_layers(
    layout: Layout,
    plans: Sequence[LayerPlan],
    *,
    compression: Compression = "zstd",
    workers: int | None = None,
    progress: Progress | None = None,
    announce: Callable[[tuple[str, ...]], None] | None = None,
    stop: Event | None = None,
) -> tuple[Layer, ...]:
    """The layers of `plans`, in their order, several made at once, biggest first. One that fails ends the others.

    `announce` is told, before the first is begun, which will be made. Raise what make_layer raises.
    """
    keys = [layer_key(plan, compression) for plan in plans]
    layers = [_known(layout, plan, key) for plan, key in zip(plans, keys, strict=True)]
    missing = sorted((index for index, layer in enumerate(layers) if layer is None), key=lambda i: -plans[i].size)
    if not missing:
        return tuple(layer for layer in layers if layer is not None)
    if announce is not None:
        announce(tuple(plans[index].name for index in missing))
    ended = _Either(stop)
    with ThreadPoolExecutor(min(workers or min(_AT_ONCE, cores()), len(missing)), "layer") as pool:
        making = {
            index: pool.submit(make_layer, layout, plans[index], compression=compression, progress=progress, stop=ended)
            for index in missing
        }
        try:
            for index in missing:
                layers[index] = making[index].result()
        except BaseException:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
            _raise_the_cause([future.exception() for future in making.values() if not future.cancelled()])
            raise
    return tuple(layer for layer in layers if layer is not None)


class _Either(Event):
    """Set by itself, or by the caller's event."""

    def __init__(self, other: Event | None) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or (self._other is not None and self._other.is_set())


def _raise_the_cause(errors: Sequence[BaseException | None]) -> None:
    """The others end with KeyboardInterrupt when one has failed: that one's error is the one to tell."""
    for error in errors:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            raise error


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _make(
    layout: Layout,
    plan: LayerPlan,
    key: Digest,
    compression: Compression,
    threads: int,
    progress: Progress | None,
    stopped: Callable[[], bool],
) -> Layer:
    pieces = layer_pieces(layout, plan)
    total = tar_size(pieces)
    tar, blob, size = hashlib.sha256(), hashlib.sha256(), 0
    done = told = 0

    def chunks() -> Iterator[bytes]:
        nonlocal done, told
        for chunk in tar_chunks(layout, pieces):
            if stopped():
                raise KeyboardInterrupt
            tar.update(chunk)
            done += len(chunk)
            if progress and total and done >= told:
                told = done + total // _STEPS
                progress(plan.name, min(done, total - 1), total)
            yield chunk

    with staging(layout, f"layer-{key.hex[:12]}") as room:
        path = room / "blob"
        with disk("write", path), path.open("xb", buffering=0) as file:
            for data in compress(chunks(), compression, threads):
                if data:
                    blob.update(data)
                    size += _write(file.fileno(), data)
        digest = Digest("sha256", blob.hexdigest())
        adopt_blob(layout, path, digest)
    layer = Layer(
        name=plan.name,
        media_type=MEDIA_TYPES[compression],
        digest=digest,
        size=size,
        diff_id=Digest("sha256", tar.hexdigest()),
        unpacked=total,
        parts=plan.parts,
    )
    write_record(layout, _record(layout, key), _document(key, layer))
    if progress:
        progress(plan.name, total, total)
    return layer


def _write(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


def _record(layout: Layout, key: Digest) -> Path:
    return layout.layers / f"{key.hex}.json"


def _document(key: Digest, layer: Layer) -> dict[str, Any]:
    return {
        "key": str(key),
        "name": layer.name,
        "media_type": layer.media_type,
        "digest": str(layer.digest),
        "size": layer.size,
        "diff_id": str(layer.diff_id),
        "unpacked": layer.unpacked,
    }


def _known(layout: Layout, plan: LayerPlan, key: Digest) -> Layer | None:
    def parse(document: dict[str, Any]) -> Layer:
        if text(document, "key") != str(key):
            raise ValueError(f"it is the record of {document['key']}")
        return Layer(
            name=plan.name,
            media_type=text(document, "media_type"),
            digest=Digest.parse(text(document, "digest")),
            size=int(number(document, "size")),
            diff_id=Digest.parse(text(document, "diff_id")),
            unpacked=int(number(document, "unpacked")),
            parts=plan.parts,
        )

    layer = read_record(layout, _record(layout, key), parse)
    return layer if layer is not None and has_blob(layout, layer.digest, layer.size) else None
