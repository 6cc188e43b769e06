"""What a store has: an entry for each object, with what it was made as, how big it is, when it was used last and what
keeps it; and stored sources and layers in the same form. Asks the index and looks at no content."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from orchestrator.frozen import NamedTuple
from orchestrator.store.held import running
from orchestrator.store.images import list_images
from orchestrator.store.index import Facts, Index
from orchestrator.store.keep import Root, find_roots
from orchestrator.store.layout import Layout
from orchestrator.store.sources import read_source_note
from orchestrator.tree import disk

UNKNOWN: Final = "unknown"
EntryKind = Literal["build", "base", "wheel", "bytecode", "unknown", "source", "layer"]
_KINDS: Mapping[str, EntryKind] = {"script": "build", "debian-base": "base", "wheel": "wheel", "bytecode": "bytecode"}


class Entry(NamedTuple):
    """One thing in the store."""

    kind: EntryKind
    name: str  # the recipe, the source's file or the layer's name; `unknown` if no record tells
    hex: str  # of its content: BLAKE3 of an object, SHA-256 of a source or layer
    path: str
    bytes: int
    files: int
    used: float  # seconds since 1970
    made: float | None = None  # seconds since 1970, UTC; None: no record tells
    version: str = ""
    origin: str = UNKNOWN
    options: tuple[tuple[str, str], ...] = ()
    key: str = ""  # hex of the newest derivation key that leads to it
    kept: tuple[str, ...] = ()  # labels of roots


def keepers(layout: Layout, index: Index) -> tuple[list[Root], dict[str, list[str]]]:
    """The roots, and for each object or blob, by hex, the labels of all that keep it, the strongest first. Raise
    MachineError."""
    roots = find_roots(layout, index)
    kept: dict[str, list[str]] = defaultdict(list)
    order = ("image", "pin", "link", "goal", "running")
    for root in sorted(roots, key=lambda root: (order.index(root.kind), root.age, len(root.label), root.label)):
        for name in {*root.objects, *root.blobs}:
            kept[name].append(root.label)
    for pid in running(layout):
        for path in layout.roots.glob(f"run-{pid}-*"):
            with disk("read", path):
                words = (line.split(" ") for line in path.read_text(encoding="ascii", errors="replace").splitlines())
            for name in {word[1] for word in words if len(word) == 2 and word[0] in ("object", "blob")}:
                kept[name].append(f"running command {pid}")
    return roots, dict(kept)


def newest(facts: Iterable[Facts]) -> dict[str, Facts]:
    """Of each object the newest derivation that led to it, by the object's hex."""
    found: dict[str, Facts] = {}
    for one in facts:
        if one.output is not None and (one.output not in found or found[one.output].finished < one.finished):
            found[one.output] = one
    return found


def origins(index: Index) -> dict[str, str]:
    """Where goals' records say that an object is from, by hex: for derivations whose own records do not tell."""
    return {digest: origin for goal in index.goals() for _, _, origin, digest, _ in goal.closure}


def entries(layout: Layout, index: Index, made: Mapping[str, Facts] | None = None) -> list[Entry]:
    """Every object. `made` is `newest` of all derivations, if that is known already. Raise MachineError."""
    roots, kept = keepers(layout, index)
    facts = newest(index.facts("derivation")) if made is None else made
    told = origins(index) if any(not one.origin for one in facts.values()) else {}
    names = {name: label for root in roots for name, label in root.objects.items()}
    found = []
    used = times(layout.objects)
    for name, size in index.sizes().items():
        one = facts.get(name)
        found.append(
            Entry(
                kind=_KINDS.get(one.builder, UNKNOWN) if one else UNKNOWN,
                name=one.name if one else names.get(name, UNKNOWN),
                version=one.version if one else "",
                origin=(one.origin if one else "") or told.get(name, UNKNOWN),
                options=one.options if one else (),
                key=one.key if one else "",
                hex=name,
                path=f"{layout.objects}/{name}/tree",
                bytes=size.bytes,
                files=size.files,
                made=one.finished if one else None,
                used=used.get(name, (0, 0.0))[1],
                kept=tuple(kept.get(name, ())),
            )
        )
    return found


def source_entries(layout: Layout, index: Index) -> Iterator[Entry]:
    """Every stored source; what was made of it and is kept keeps it. Raise MachineError."""
    _, kept = keepers(layout, index)
    needed: dict[str, list[str]] = defaultdict(list)
    for output, name, hashes in index.sources():
        for one in hashes if output in kept else ():
            needed[one].append(f"source of {name}")
    for name, (size, used) in times(layout.sources).items():
        if len(name) != 64:
            continue
        note = read_source_note(layout, name)
        called = note.names[0].rpartition("/")[2] if note and note.names else UNKNOWN
        yield Entry(
            kind="source", name=called, hex=name, path=f"{layout.sources}/{name}", bytes=size, files=1,
            made=note.fetched if note else None, used=used, kept=tuple(dict.fromkeys(needed.get(name, ()))),
        )  # fmt: skip


def layer_entries(layout: Layout, index: Index) -> Iterator[Entry]:
    """Every layer's blob, and images' manifests and configurations. Raise MachineError."""
    roots, kept = keepers(layout, index)
    names = {name: label for root in roots for name, label in root.blobs.items()}
    for image in list_images(layout):
        names |= {layer.digest.hex: layer.name for layer in image.layers if layer.digest.hex not in names}
    blobs = layout.oci / "blobs" / "sha256"
    for name, (size, used) in times(blobs).items():
        yield Entry(
            kind="layer", name=names.get(name, UNKNOWN), hex=name, path=f"{blobs}/{name}", bytes=size, files=1,
            made=used, used=used, kept=tuple(kept.get(name, ())),
        )  # fmt: skip


def times(directory: Path) -> dict[str, tuple[int, float]]:
    """Bytes and time of last change of what is in a directory, by name; nothing if it is not there."""
    with disk("read", directory):
        try:
            with os.scandir(directory) as found:
                stats = {item.name: item.stat(follow_symlinks=False) for item in found}
        except FileNotFoundError:
            return {}
    return {name: (one.st_size, one.st_mtime) for name, one in stats.items()}


def kept_text(labels: Sequence[str]) -> str:
    """`image sglang-cu12 +3`: the first root, and how many more there are; "" if nothing keeps it."""
    return labels[0] + (f" +{len(labels) - 1}" if len(labels) > 1 else "") if labels else ""
