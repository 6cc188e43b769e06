"""`orch cache stats`: what runs built, found and were spared; the biggest and the oldest entries."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import DIGITS, age_text, asked, document, table
from orchestrator.cli.numbers import bytes_text, seconds_text

if TYPE_CHECKING:
    from orchestrator.store.account import Spared
    from orchestrator.store.questions import Entry

TEXTS = {"stats": "say what recorded runs built, found and were spared, and what is biggest and oldest"}
EPILOGS = {
    "stats": """\
A miss is a component that a recorded run built. A hit is one that a finished goal or image of that
run needed, at run time or to be built, and that the run did not build: with an empty store it would
have. It spared the seconds that its build took when it was made. Checks, fetches, packed layers and
commands with nothing to do, which leave no record, are not counted.

examples:
  orch cache stats
  orch cache stats --json
"""
}
_SHOWN = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments: none."""


def run(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    from orchestrator.store import list_images, recent_builds
    from orchestrator.store.account import spared
    from orchestrator.store.links import read_links
    from orchestrator.store.questions import entries

    with asked(arguments) as (layout, index):
        links = read_links(index)
        told = spared(recent_builds(layout), links, index.goals(), list_images(layout))
        everything = entries(layout, index, links.by_output)
    biggest = sorted(everything, key=lambda one: -one.bytes)[:_SHOWN]
    oldest = sorted(everything, key=lambda one: one.used)[:_SHOWN]
    if arguments.json:
        document(arguments, _content(told, everything, biggest, oldest))
        return 0
    _print_runs(told)
    unkept = [one for one in everything if not one.kept]
    print(
        f"objects  {len(everything)}, {bytes_text(sum(one.bytes for one in everything))}; "
        f"{len(unkept)} of them, {bytes_text(sum(one.bytes for one in unkept))}, nothing keeps"
    )
    for title, chosen in (("biggest", biggest), ("unused for longest", oldest)):
        if chosen:
            print(f"\n{title}")
            rows = [
                [f"{one.name} {one.version}".strip(), one.hex[:DIGITS], bytes_text(one.bytes), age_text(one.used)]
                for one in chosen
            ]
            table(["name", "object", "size", "used"], rows, right=(2, 3))
    return 0


def _print_runs(told: Spared) -> None:
    if not told.runs:
        print("runs     none is recorded")
        return
    rate = f", {100 * told.found / (told.found + told.built):.0f} % hits" if told.found + told.built else ""
    print(f"runs     {told.runs} recorded")
    print(f"hits     {told.found}, which spared {seconds_text(told.spared_seconds)}")
    print(f"misses   {told.built}, which took {seconds_text(told.built_seconds)}{rate}")
    if told.unclear:
        print(f"unclear  {told.unclear} runs whose goals have no record any more: their hits are not counted")


def _content(told: Spared, everything: list[Entry], biggest: list[Entry], oldest: list[Entry]) -> dict[str, Any]:
    def rows(found: list[Entry]) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "version": one.version or None, "object": f"blake3:{one.hex}", "bytes": one.bytes,
             "used": one.used}
            for one in found
        ]  # fmt: skip

    return {
        "runs": told.runs,
        "unclear_runs": told.unclear,
        "hits": told.found,
        "misses": told.built,
        "same": told.same,
        "spared_seconds": round(told.spared_seconds, 1),
        "built_seconds": round(told.built_seconds, 1),
        "objects": len(everything),
        "bytes": sum(one.bytes for one in everything),
        "unkept_objects": sum(not one.kept for one in everything),
        "unkept_bytes": sum(one.bytes for one in everything if not one.kept),
        "biggest": rows(biggest),
        "oldest": rows(oldest),
    }
