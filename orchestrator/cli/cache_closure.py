"""`orch cache closure`: all that a stored component needs at run time, or was built with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import DIGITS, asked, document, named, table
from orchestrator.cli.numbers import bytes_text

if TYPE_CHECKING:
    from orchestrator.store.index import Size
    from orchestrator.store.links import Links

TEXTS = {"closure": "list all that a component needs at run time, with sizes"}
EPILOGS = {
    "closure": """\
What it needs is told by its own record, as it was when that was made. Records of an early orch do
not tell; then a goal's record does, or it is unknown.

examples:
  orch cache closure nixl
  orch cache closure nixl@cuda=13 --build    what it was built with, and that with, to the end
"""
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe, key, digest or path in the store")
    parser.add_argument("--build", action="store_true", help="all that it was built with instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the closure, what was asked for last."""
    from orchestrator.store.links import read_links
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        chosen = choose(layout, index, arguments.name)
        links, sizes = read_links(index), index.sizes()
    found: dict[str, str] | None = None
    key = links.key(chosen)
    if key is not None and arguments.build:
        found = links.build_closure(key)
    elif key is not None and (closure := links.runtime(key)) is not None:
        found = {**{other: name for name, other in closure.items()}, key: links.facts[key].name}
    rows = [_row(links, sizes, key, name) for key, name in (found or {}).items()]
    total = sum({row["object"]: row["bytes"] or 0 for row in rows}.values())
    if arguments.json:
        kind = "build" if arguments.build else "runtime"
        content = {"closure": kind, "known": found is not None, "components": rows, "bytes": total}
        document(arguments, {**named(chosen), **content})
    elif found is None:
        print(f"what {chosen.label} needs is unknown: its record is of an early orch, and no goal's record tells")
    elif not rows:
        print(f"{chosen.label} was built with nothing else")
    else:
        cells = [
            [row["name"], row["version"] or "unknown", (row["object"] or "unknown")[-64:][:DIGITS], _size_text(row)]
            for row in rows
        ]
        table(["name", "version", "object", "size"], cells, right=(3,))
        print(f"{len(rows)} component{'' if len(rows) == 1 else 's'}, {bytes_text(total)}")
    return 0


def _row(links: Links, sizes: dict[str, Size], key: str, name: str) -> dict[str, Any]:
    one = links.facts.get(key)
    output = one.output if one else None
    return {
        "name": name,
        "version": one.version if one else None,
        "origin": (one.origin if one else "") or None,
        "key": f"blake3:{key}",
        "object": f"blake3:{output}" if output else None,
        "bytes": sizes[output].bytes if output in sizes else None,
    }


def _size_text(row: dict[str, Any]) -> str:
    return bytes_text(row["bytes"]) if row["bytes"] is not None else "gone"
