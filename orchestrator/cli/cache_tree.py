"""`orch cache tree`: what is in a stored object, with sizes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.cli.cache_view import asked, dim, document, files_text, named
from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import positive

if TYPE_CHECKING:
    from orchestrator.store.contents import Row
    from orchestrator.tree import Manifest

TEXTS = {"tree": "list the files of an object, with sizes"}
EPILOGS = {
    "tree": """\
examples:
  orch cache tree ucx --depth 3
  orch cache tree nixl /opt/nvidia       only what is below a path
"""
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe, key, digest or path in the store")
    parser.add_argument("path", nargs="?", default="", metavar="PATH", help="only what is below it")
    parser.add_argument("--depth", type=positive, metavar="N", help="only so many levels")


def run(arguments: argparse.Namespace) -> int:
    """Print the tree."""
    from orchestrator.digest import Digest
    from orchestrator.store import read_manifest
    from orchestrator.store.contents import rows
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        chosen = choose(layout, index, arguments.name)
    manifest = read_manifest(layout, Digest("blake3", chosen.hex))
    under = _directory(manifest, arguments.path, chosen.label)
    found = list(rows(manifest, under, arguments.depth))
    if arguments.json:
        document(arguments, {**named(chosen), "paths": [_content(row) for row in found]})
        return 0
    whole = [entry for entry in manifest.entries if entry.kind == "file" and entry.path.startswith(under)]
    sizes = [bytes_text(row.bytes) if row.entry.kind != "link" else "" for row in found]
    width = max(map(len, sizes), default=0)
    for row, size in zip(found, sizes, strict=True):
        print(f"{size:>{width}}  {_line(row, under)}")
    print(dim(f"{chosen.label}: {files_text(len(whole))}, {bytes_text(sum(entry.size for entry in whole))}"))
    return 0


def _directory(manifest: Manifest, path: str, label: str) -> str:
    """The directory that a path is, "" for the root. Raise UsageError if it is none."""
    from orchestrator.errors import UsageError
    from orchestrator.store.contents import resolve

    if not path.strip("/"):
        return ""
    entry = resolve(manifest, path)
    if entry is None or entry.kind != "dir":
        why = f"it is a {entry.kind}" if entry else ""
        raise UsageError(f"{label} has no directory {path}", why=why, hint="orch cache tree NAME lists all")
    return entry.path


def _line(row: Row, under: str) -> str:
    entry = row.entry
    below = entry.path.removeprefix(f"{under}/" if under else "")
    indent = "  " * below.count("/")
    name = below.rpartition("/")[2]
    note = {"dir": "/", "file": "*" if entry.mode & 0o111 else "", "link": f" -> {entry.target}"}[entry.kind]
    return harmless(f"{indent}{name}{note}")


def _content(row: Row) -> dict[str, object]:
    entry = row.entry
    return {
        "path": f"/{entry.path}",
        "kind": entry.kind,
        "mode": f"{entry.mode:04o}",
        "bytes": row.bytes,
        "files": row.files,
        "blake3": entry.digest or None,
        "target": entry.target or None,
    }
