"""The merged root of an image as one directory of hard links to stored files: a second for 60,000 of them. It is for
looking and running, read-only, and removed afterwards; modes and times are those of the store."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.image.model import View
from orchestrator.store import Layout, object_tree
from orchestrator.tree import disk


def link_root(layout: Layout, view: View, top: Path) -> None:
    """Make the root at `top`, which is new and on the store's file system. Raise MachineError."""
    trees = [os.fspath(object_tree(layout, component.object)) for component in view.components]
    with disk("make the root of an image at", top):
        top.mkdir()
        place = os.fspath(top)
        for path in sorted(view.entries):
            entry, owner = view.entries[path], view.owner[path]
            target = f"{place}/{path}"
            if entry.kind == "dir":
                os.mkdir(target)  # noqa: PTH102 - 60,000 paths: no Path for each
            elif entry.kind == "link":
                os.symlink(entry.target, target)  # noqa: PTH211
            else:
                os.link(f"{trees[owner]}/{path}", target, follow_symlinks=False)
