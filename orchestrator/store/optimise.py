"""Equal files of different objects become one file with several names (hard links), so that they take room once.

Files are equal if their manifests give them the same BLAKE3 and both or neither can be executed: all else of a stored
file is the same anyway. The file that the others become is hashed first. Two files of one object are never linked: a
build that archives its inputs would see that they are one.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from orchestrator.digest import Digest, blake3_file
from orchestrator.frozen import frozen
from orchestrator.store.held import collecting
from orchestrator.store.layout import Layout
from orchestrator.store.objects import object_tree
from orchestrator.store.stage import staging
from orchestrator.tree import Manifest, disk

_SMALLEST = 4096  # bytes: a smaller file takes a block anyway, and links are not free either

Content = tuple[str, bool]  # BLAKE3 hex, whether it can be executed


@frozen
class Optimised:
    """What linking saved, or would save."""

    files: int
    bytes: int
    skipped: tuple[str, ...]  # objects that a running command needs, or that are damaged


def optimise(layout: Layout, *, dry_run: bool = False) -> Optimised:
    """Link what is equal. Objects that running commands need are left for the next time. Raise MachineError."""
    names = sorted(path.name for path in layout.objects.iterdir() if len(path.name) == 64)
    counts: Counter[Content] = Counter()
    for name in names:
        counts.update({content for _, content, _ in _files(layout, name)})
    shared = {content for content, count in counts.items() if count > 1}
    first: dict[Content, Path] = {}
    files = saved = 0
    skipped = []
    for name in names:
        wanted = [one for one in _files(layout, name) if one[1] in shared]
        if not wanted:
            continue
        if dry_run:
            done = _forecast(layout, name, wanted, first)
        else:
            with (
                staging(layout, "optimise") as room,
                collecting(layout) as held,
                disk("link equal files in", layout.object(Digest("blake3", name))),
            ):
                if name in held["object"] or not _is_there(layout, name):
                    skipped.append(name)
                    continue
                done = _link(layout, name, wanted, first, room)
        files, saved = files + done[0], saved + done[1]
    return Optimised(files=files, bytes=saved, skipped=tuple(skipped))


def _files(layout: Layout, name: str) -> Iterator[tuple[str, Content, int]]:
    """Path, content and size of an object's files that are worth linking. A damaged manifest has none."""
    try:
        data = (layout.objects / name / "manifest.json").read_bytes()
        manifest = Manifest.read(data)
    except (OSError, ValueError):
        return
    for entry in manifest.entries:
        if entry.kind == "file" and entry.size >= _SMALLEST:
            yield entry.path, (entry.digest, bool(entry.mode & 0o111)), entry.size


def _is_there(layout: Layout, name: str) -> bool:
    return (layout.objects / name / "manifest.json").is_file()


def _forecast(
    layout: Layout, name: str, wanted: list[tuple[str, Content, int]], first: dict[Content, Path]
) -> tuple[int, int]:
    tree = object_tree(layout, Digest("blake3", name))
    files = saved = 0
    fresh: dict[Content, Path] = {}
    for path, content, size in wanted:
        before = first.get(content)
        if before is None:
            fresh.setdefault(content, tree / path)
        elif not before.samefile(tree / path):
            files, saved = files + 1, saved + size
    first.update(fresh)
    return files, saved


def _link(
    layout: Layout, name: str, wanted: list[tuple[str, Content, int]], first: dict[Content, Path], room: Path
) -> tuple[int, int]:
    tree = object_tree(layout, Digest("blake3", name))
    files = saved = 0
    used: set[Content] = set()  # by this object: it gets one link of each content
    for path, content, size in wanted:
        file, before = tree / path, first.get(content)
        if content in used:
            continue
        used.add(content)
        if before is None or not before.exists():
            if _is_intact(file, content):
                first[content] = file
            continue
        facts = file.lstat()
        if os.path.samestat(facts, before.lstat()):
            continue
        if not _replace(before, file, room):
            first[content] = file  # the other has as many names as the file system gives one
            continue
        files += 1
        saved += size if facts.st_nlink == 1 else 0
    return files, saved


def _is_intact(file: Path, content: Content) -> bool:
    try:
        return blake3_file(file, file.stat().st_size).hex == content[0]
    except OSError:
        return False


def _replace(source: Path, target: Path, room: Path) -> bool:
    """Make `target` another name of `source`, at once; False if it can have no more names."""
    home = target.parent
    facts = home.stat()
    new = room / "link"  # not beside the target: a kill must leave nothing in a tree
    home.chmod(0o755)
    try:
        new.hardlink_to(source)
        new.replace(target)
    except OSError as error:
        if error.errno == errno.EMLINK:
            return False
        raise
    finally:
        new.unlink(missing_ok=True)
        home.chmod(0o555)
        os.utime(home, ns=(facts.st_mtime_ns, facts.st_mtime_ns))  # builds see it
    return True
