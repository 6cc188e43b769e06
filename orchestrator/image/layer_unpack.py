"""Unpacks one OCI layer into a directory of its own: strictly, hashed on the way, whiteouts only taken down.

Trusts no layer. Knows no other layer (see layer_stack) and no store.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from orchestrator.archive import zstd
from orchestrator.archive.limits import Budget, Refusal, reported
from orchestrator.archive.names import Entry
from orchestrator.archive.streams import Forward, pieces
from orchestrator.archive.tar import entries, put_entry
from orchestrator.archive.writer import Rules, Writer
from orchestrator.digest import Digest
from orchestrator.errors import SourceError
from orchestrator.fetch.oci_manifest import Blob
from orchestrator.frozen import replace
from orchestrator.image.compress import MEDIA_TYPES, decompress
from orchestrator.image.layer_stack import Facts, UnpackedLayer, real_directory

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."  # others of this kind are one storage driver's own notes


def unpack_layer(
    file: Path, blob: Blob, diff_id: Digest, tree: Path, *, name: str, stopped: Callable[[], bool]
) -> UnpackedLayer:
    """Unpack the layer in `file`, which `blob` describes, into `tree`, which is not there yet. `name` is for messages.

    Raise SourceError for an entry that is refused and for content that is not what `diff_id` says; MachineError;
    KeyboardInterrupt soon after `stopped()` is true.
    """
    layer = UnpackedLayer(name, tree)
    hashed = hashlib.sha256()
    with reported(file, f"layer {name}"), file.open("rb") as opened:
        _write(_hashing(_content(opened, blob), hashed.update, stopped), layer, blob.size)
    if hashed.hexdigest() != diff_id.hex:
        raise SourceError(
            f"layer {name} is not what its config says",
            where=str(file),
            why=f"expected the diff_id {diff_id}, got sha256:{hashed.hexdigest()}",
            hint="pin another image, or ask who made this one",
        )
    return layer


def _content(file: IO[bytes], blob: Blob) -> Iterator[bytes]:
    if blob.media_type != MEDIA_TYPES["zstd"]:
        yield from pieces(file, "gz" if blob.media_type == MEDIA_TYPES["gzip"] else "")
        return
    try:
        yield from pieces(decompress(file, blob.media_type), "")
    except zstd.error() as error:
        raise Refusal(f"its zstd data is broken: {error}") from error


def _hashing(content: Iterator[bytes], update: Callable[[bytes], None], stopped: Callable[[], bool]) -> Iterator[bytes]:
    for piece in content:
        if stopped():
            raise KeyboardInterrupt
        update(piece)
        yield piece


def _write(content: Iterator[bytes], layer: UnpackedLayer, packed: int) -> None:
    """Write the layer's entries to its own tree, readable by us whatever their modes; take down what headers say."""
    layer.tree.mkdir()
    budget = Budget(packed=packed, free=shutil.disk_usage(layer.tree).free)
    stream = Forward(content, budget)
    places = _Places(layer.tree)
    with Writer(layer.tree, Rules(rootfs=True)) as writer:
        for entry in entries(stream, budget):
            if _whiteout(entry, layer):
                continue
            plain = 0o755 if entry.kind == "directory" or entry.mode & 0o111 else 0o644
            put_entry(writer, replace(entry, mode=plain), stream)
            layer.size += entry.size
            if entry.parts:
                layer.facts[places.of(entry.parts, entry.kind)] = _said(entry, layer, places)


def _said(entry: Entry, layer: UnpackedLayer, places: _Places) -> Facts:
    if entry.kind == "hardlink":
        return layer.facts[places.of(entry.target, "file")]
    return Facts(0o777 if entry.kind == "symlink" else entry.mode & 0o7777, *entry.owner)


class _Places:
    """Where entries landed: the Writer follows links on the way, and one that a directory's entry meets."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._parent: tuple[str, ...] = ()  # the last one that was looked for
        self._real = ""

    def of(self, parts: tuple[str, ...], kind: str) -> str:
        """The real path of the entry `parts`, which is written."""
        if kind == "directory":
            return real_directory(self._tree, "/".join(parts)) or ""
        if parts[:-1] != self._parent:
            self._parent, self._real = parts[:-1], real_directory(self._tree, "/".join(parts[:-1])) or ""
        return f"{self._real}/{parts[-1]}" if self._real else parts[-1]


def _whiteout(entry: Entry, layer: UnpackedLayer) -> bool:
    """Whether the entry only says what goes from the layers below; it is then taken down."""
    name = entry.parts[-1] if entry.parts else ""
    if not name.startswith(_WHITEOUT):
        return False
    if name == _OPAQUE:
        layer.emptied.append("/".join(entry.parts[:-1]))
    elif not name.startswith(_AUFS):
        gone = name.removeprefix(_WHITEOUT)
        if gone in ("", ".", ".."):
            raise Refusal("it is a whiteout of nothing", entry=entry.name)
        layer.removed.append("/".join((*entry.parts[:-1], gone)))
    return True
