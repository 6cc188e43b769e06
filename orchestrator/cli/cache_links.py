"""`orch cache references` and `referrers`: one step to what a component needs, or to what needs it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import DIGITS, asked, document, named, table

if TYPE_CHECKING:
    from orchestrator.store import Layout
    from orchestrator.store.index import Index
    from orchestrator.store.select import Chosen

TEXTS = {
    "references": "list what a component refers to directly, at run time or as a build input",
    "referrers": "list what refers to a component directly, and the roots that keep it",
}
EPILOGS = {
    "references": """\
At run time it refers directly to what no other component of its closure needs.

examples:
  orch cache references nixl
  orch cache references nixl@1.0.1 --json
""",
    "referrers": """\
A component refers to another at run time, or was built with it. A root keeps it, for itself or for
something else.

examples:
  orch cache referrers rdma-core
  orch cache referrers debian-build
""",
}

_SHOWN = 8  # roots; --json has all


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verbs' arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe, key, digest or path in the store")


def run(arguments: argparse.Namespace) -> int:
    """Print one step of links."""
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        chosen = choose(layout, index, arguments.name)
        if arguments.what == "references":
            return _references(arguments, index, chosen)
        return _referrers(arguments, layout, index, chosen)


def _references(arguments: argparse.Namespace, index: Index, chosen: Chosen) -> int:
    from orchestrator.store.links import read_links

    links = read_links(index)
    key = links.key(chosen)
    found, known = links.direct(key) if key is not None else ([], False)
    rows = []
    for link in found:
        one = links.facts.get(link.key)
        rows.append(_row(link.reason, link.name, one.version if one else None, link.key, one.output if one else None))
    if arguments.json:
        document(arguments, {**named(chosen), "known": known, "references": rows})
        return 0
    _print(rows, f"{chosen.label} refers to nothing")
    if not known and any(link.reason == "runtime" for link in found):
        print("which of these it needs only because another does is not known for all: records of an early orch")
    elif not known:
        print("what it needs at run time is unknown: its record is of an early orch, and no goal's record tells")
    return 0


def _referrers(arguments: argparse.Namespace, layout: Layout, index: Index, chosen: Chosen) -> int:
    from orchestrator.store.links import read_links
    from orchestrator.store.questions import keepers

    links = read_links(index)
    rows = [_row(reason, one.name, one.version, one.key, one.output) for one, reason in links.referrers(chosen.hex)]
    roots = keepers(layout, index)[1].get(chosen.hex, [])
    unclear = sum(links.runtime(key) is None for key in links.facts)
    if arguments.json:
        document(arguments, {**named(chosen), "referrers": rows, "roots": roots, "unclear": unclear})
        return 0
    _print(rows, f"nothing refers to {chosen.label}")
    if unclear:
        print(f"of {unclear} derivations it is unknown what they need at run time: records of an early orch")
    for label in roots[:_SHOWN] or ["no root"]:
        print(f"kept by {label}")
    if len(roots) > _SHOWN:
        print(f"and {len(roots) - _SHOWN} more (--json lists them)")
    return 0


def _row(reason: str, name: str, version: str | None, key: str, output: str | None) -> dict[str, Any]:
    return {
        "reason": reason,
        "name": name,
        "version": version,
        "key": f"blake3:{key}",
        "object": f"blake3:{output}" if output else None,
    }


def _print(rows: list[dict[str, Any]], otherwise: str) -> None:
    if not rows:
        print(otherwise)
        return
    cells = [
        [row["reason"], row["name"], row["version"] or "unknown", row["key"][-64:][:DIGITS],
         (row["object"] or "unknown")[-64:][:DIGITS]]
        for row in rows
    ]  # fmt: skip
    table(["why", "name", "version", "key", "object"], cells)
