"""Which trees a sandbox sees and in which order, and that no two of them disagree about a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.store import Layout, object_tree, read_manifest
from orchestrator.tree import Entry


def _content(entry: Entry) -> tuple[str, str]:
    return entry.kind, entry.digest if entry.kind == "file" else entry.target


def refuse_clashes(layout: Layout, inputs: Sequence[tuple[str, Digest]]) -> None:
    """Raise RecipeError when two of the named trees have a different file, or a file and a directory, at one path.

    `inputs` is top first with the base last. One tree would hide the other's file silently.
    """
    *upper, (base_name, base) = inputs
    base_entries = read_manifest(layout, base).by_path
    seen: dict[str, tuple[str, Entry]] = {}
    for name, digest in upper:
        for entry in read_manifest(layout, digest).entries:
            other_name, other = seen.get(entry.path, (base_name, base_entries.get(entry.path)))
            seen[entry.path] = (name, entry)
            if other is None or (entry.kind == "dir" == other.kind) or _content(entry) == _content(other):
                continue
            raise RecipeError(
                f"{name} and {other_name} both have /{entry.path}, with different content",
                where=f"recipes/{name} and recipes/{other_name}",
                why="in one root one of them would hide the other without a word",
                hint=f"install it elsewhere in one of the two, or leave {other_name} out of the inputs",
            )


def trees(layout: Layout, inputs: Sequence[tuple[str, Digest]]) -> tuple[Path, ...]:
    """The host directories to merge, top first."""
    return tuple(object_tree(layout, digest) for _, digest in inputs)
