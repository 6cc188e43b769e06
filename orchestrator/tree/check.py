"""Compare a tree with its manifest, and two manifests with each other. Answers in text, one line a path."""

from __future__ import annotations

import stat
from pathlib import Path

from orchestrator.tree.manifest import Entry, Manifest
from orchestrator.tree.walk import Found, hash_files, opened, walk

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}


def check_tree(root: Path, manifest: Manifest) -> list[str]:
    """What is wrong with the tree at `root`, every file hashed again; an empty list if nothing is. Raises nothing for a
    damaged or unreadable tree: that is what it reports. Of the mode only the executable bit counts."""
    unreadable: dict[str, str] = {}

    def failed(path: str, error: OSError) -> None:
        unreadable[path] = f"{_shown(path) or 'the tree'}: cannot be read: {error.strerror}"

    try:
        with opened(root) as descriptor:
            found = list(walk(descriptor, failed))
            digests = hash_files(descriptor, [item for item in found if _kind(item) == "file"], failed)
    except OSError as error:
        return [f"the tree: cannot be read: {error.strerror}"]
    there = {item.path: item for item in found}
    problems = list(unreadable.values())
    for path in sorted({*there, *manifest.by_path} - {*unreadable}):
        problem = _compare(manifest.by_path.get(path), there.get(path), digests)
        if problem:
            problems.append(f"{_shown(path)}: {problem}")
    return problems


def _kind(found: Found) -> str:
    return _KINDS.get(stat.S_IFMT(found.stat.st_mode), "special file")


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _compare(wanted: Entry | None, found: Found | None, digests: dict[tuple[int, int], str]) -> str:
    if found is None:
        return "missing"
    if wanted is None:
        return "extra"
    if _kind(found) != wanted.kind:
        return f"is a {_kind(found)}, not a {wanted.kind}"
    if wanted.kind == "link":
        return "" if found.target == wanted.target else f"target is {_shown(found.target)!r}, not {wanted.target!r}"
    if wanted.kind == "dir":
        return ""
    if found.stat.st_size != wanted.size:
        return f"size is {found.stat.st_size}, not {wanted.size} bytes"
    if digests[found.stat.st_dev, found.stat.st_ino] != wanted.digest:
        return "content differs"
    if bool(found.stat.st_mode & 0o111) != bool(wanted.mode & 0o111):
        return "executable bit differs"
    return ""


def differences(a: Manifest, b: Manifest) -> list[str]:
    """How `b` differs from `a`, a line a path, sorted by path: added, removed, or what changed."""
    lines = []
    for path in sorted({*a.by_path, *b.by_path}):
        before, after = a.by_path.get(path), b.by_path.get(path)
        if before is None:
            lines.append(f"{path}: added")
        elif after is None:
            lines.append(f"{path}: removed")
        elif before != after:
            lines.append(f"{path}: {', '.join(_changes(before, after))}")
    return lines


def _changes(before: Entry, after: Entry) -> list[str]:
    if before.kind != after.kind:
        return [f"{before.kind} -> {after.kind}"]
    changes = []
    if before.digest != after.digest:
        sizes = f"{before.size} -> {after.size} bytes" if before.size != after.size else f"{after.size} bytes"
        changes.append(f"content ({sizes})")
    if before.target != after.target:
        changes.append(f"target {before.target} -> {after.target}")
    if before.mode != after.mode:
        changes.append(f"mode {before.mode:04o} -> {after.mode:04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        changes.append(f"owner {before.uid}:{before.gid} -> {after.uid}:{after.gid}")
    if before.xattrs != after.xattrs:
        changes.append("xattrs")
    return changes
