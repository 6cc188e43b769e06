"""Small values for the tests of the image room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.digest import blake3_bytes
from orchestrator.image.model import Component, Kind
from orchestrator.recipe.image import Image, ImageDocument
from orchestrator.tree import Entry, Manifest


def image(**fields: Any) -> Image:
    """An image recipe with these fields."""
    document = ImageDocument(**{"name": "small", "summary": "", "version": "1", **fields})
    where = "recipes/images/small/image.toml"
    return Image(document=document, where=where, directory=Path("/"), lock=None, lock_missing=False, files={})


def manifest(**files: str) -> Manifest:
    """A tree of text files; `__` in a name stands for '/'. A value that begins with '->' is a link."""
    entries: dict[str, Entry] = {}
    for name, text in files.items():
        path = name.replace("__", "/").replace("_dot_", ".")
        parts = path.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            entries[parent] = Entry(parent, "dir", 0o755)
        if text.startswith("->"):
            entries[path] = Entry(path, "link", 0o777, target=text[2:])
        else:
            data = text.encode()
            entries[path] = Entry(path, "file", 0o644, size=len(data), digest=blake3_bytes(data).hex)
    return Manifest(tuple(entries.values()))


def component(name: str, tree: Manifest, kind: Kind = "wheel") -> Component:
    """A component of that tree."""
    return Component(name=name, version="1", origin="vendor", kind=kind, object=tree.digest, key=tree.digest)
