"""What is in stored trees, from their manifests: sums by directory, links followed, one tree laid beside another.
Pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.frozen import NamedTuple, frozen
from orchestrator.tree import Entry, Manifest

_LINKS = 40  # that one path may lead through


class Row(NamedTuple):
    """One line of a tree: an entry and what is below it."""

    entry: Entry
    bytes: int
    files: int


def rows(manifest: Manifest, under: str = "", depth: int | None = None) -> Iterator[Row]:
    """The entries below `under`, at most `depth` levels, each with the bytes and the number of files in it."""
    sums: dict[str, list[int]] = {}
    for entry in manifest.entries:
        path = entry.path
        while path and entry.kind != "dir":
            one = sums.setdefault(path, [0, 0])
            one[0] += entry.size
            one[1] += entry.kind == "file"
            path = path.rpartition("/")[0]
    start = f"{under}/" if under else ""
    for entry in manifest.entries:
        if entry.path.startswith(start) and (depth is None or entry.path.removeprefix(start).count("/") < depth):
            yield Row(entry, *sums.get(entry.path, (0, 0)))


def resolve(manifest: Manifest, path: str) -> Entry | None:
    """The entry that a path leads to, links followed within the tree; None if it leads to nothing. The root itself is
    no entry."""
    todo = [part for part in reversed(path.split("/")) if part]
    here: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = here[:-1]
            continue
        if part == ".":
            continue
        entry = manifest.by_path.get("/".join([*here, part]))
        if entry is None:
            return None
        if entry.kind == "link":
            links += 1
            if links > _LINKS:
                return None
            here = [] if entry.target.startswith("/") else here
            todo += [step for step in reversed(entry.target.split("/")) if step]
            continue
        here.append(part)
    return manifest.by_path.get("/".join(here))


@frozen
class Changes:
    """How a second tree differs from a first; directories that merely came or went with their files are not told."""

    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[tuple[Entry, Entry], ...]

    @property
    def same(self) -> bool:
        """Whether both trees are equal."""
        return not (self.added or self.removed or self.changed)


def changes(first: Manifest, second: Manifest) -> Changes:
    """How `second` differs from `first`, sorted by path."""
    before, after = first.by_path, second.by_path
    return Changes(
        added=_told([entry for entry in second.entries if entry.path not in before]),
        removed=_told([entry for entry in first.entries if entry.path not in after]),
        changed=tuple(
            (before[entry.path], entry)
            for entry in second.entries
            if entry.path in before and before[entry.path] != entry
        ),
    )


def _told(found: list[Entry]) -> tuple[Entry, ...]:
    """Without directories that hold another of these."""
    full = {entry.path.rpartition("/")[0] for entry in found}
    return tuple(entry for entry in found if entry.kind != "dir" or entry.path not in full)
