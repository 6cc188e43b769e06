"""Links that people hold on to results with. A root is registered by the link's place; what it keeps is read from the
link itself, so that a link which was removed or turned elsewhere keeps nothing."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import UsageError
from orchestrator.store.layout import Layout
from orchestrator.store.objects import object_tree
from orchestrator.store.records import write_record
from orchestrator.tree import disk


def add_root(layout: Layout, link: Path, digest: Digest, label: str) -> None:
    """Make `link` a symbolic link to the object's tree, at once if there is one already, and register it. Raise
    UsageError if something else is at `link`, which stays; MachineError."""
    link = Path(os.path.abspath(link))  # noqa: PTH100 - resolve() would follow the link itself
    refuse_link(layout, link)
    # Registered first: a link that nobody knows of would keep nothing.
    write_record(layout, _registration(layout, link), {"link": str(link), "label": label})
    with disk("link", link):
        new = link.with_name(f".{link.name[:80]}-{os.urandom(6).hex()}")
        new.symlink_to(object_tree(layout, digest))
        try:
            new.replace(link)
        finally:
            new.unlink(missing_ok=True)


def refuse_link(layout: Layout, link: Path) -> None:
    """Raise UsageError if `link` lies in the store, perhaps by way of another result link, or if what is there is no
    symbolic link: a result link replaces nothing else."""
    place = Path(os.path.realpath(link.parent))  # resolve() raises at links in a circle
    if place.is_relative_to(layout.root):
        raise UsageError(
            f"{link} lies in the store",
            where=str(place),
            why="what is in the store is never changed",
            hint="name a path outside of it",
        )
    if os.path.lexists(link) and not link.is_symlink():
        raise UsageError(
            f"{link} is there already and is no symbolic link",
            where=str(link),
            why="a result link replaces nothing but a link",
            hint="move it away, or name another path",
        )


def _registration(layout: Layout, link: Path) -> Path:
    return layout.roots / f"{blake3_bytes(os.fsencode(link)).hex}.json"
