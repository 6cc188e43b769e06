"""`orch cache why-depends`: the way from one stored component to another."""

from __future__ import annotations

import argparse

from orchestrator.cli.cache_view import DIGITS, asked, document, named
from orchestrator.errors import AnswerIsNo

TEXTS = {"why-depends": "say why one component needs another: a way of reasons"}
EPILOGS = {
    "why-depends": """\
The shortest way; one that leads through build inputs only if there is none at run time. Exit status
5 if there is none at all.

examples:
  orch cache why-depends nixl rdma-core
  orch cache why-depends nixl@cuda=13 debian-build
"""
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("first", metavar="NAME_A", help="what needs: a recipe, key, digest or path in the store")
    parser.add_argument("second", metavar="NAME_B", help="what is needed: any of its versions, unless one is named")


def run(arguments: argparse.Namespace) -> int:
    """Print the way."""
    from orchestrator.store.links import read_links
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        first, second = choose(layout, index, arguments.first), choose(layout, index, arguments.second)
        links = read_links(index)
    key = links.key(first) or ""
    wanted = {second.hex}
    if second.facts is not None and arguments.second == second.facts.name:  # no version was named: any
        wanted |= {one.output for one in links.facts.values() if one.name == second.facts.name and one.output}
    way = links.why(key, wanted)
    if way is None:
        unknown = links.runtime(key) is None
        raise AnswerIsNo(
            f"{first.label} does not depend on {second.label}",
            why="no record leads there; what it needs at run time is unknown: its record is of an early orch"
            if unknown
            else "neither at run time nor through what it was built with",
            hint=f"orch cache referrers {arguments.second} says what does",
        )
    if arguments.json:
        steps = []
        for link in way:
            one = links.facts.get(link.key)
            output = f"blake3:{one.output}" if one and one.output else None
            version = one.version if one else None
            steps.append(
                {"reason": link.reason, "name": link.name, "version": version, "key": f"blake3:{link.key}",
                 "object": output}
            )  # fmt: skip
        document(arguments, {"first": named(first), "second": named(second), "way": steps})
        return 0
    print(f"{first.label}  {first.hex[:DIGITS]}")
    for depth, link in enumerate(way, 1):
        one = links.facts.get(link.key)
        reason = "needs at run time" if link.reason == "runtime" else "was built with"
        label = f"{one.name} {one.version}  {(one.output or '')[:DIGITS]}" if one else f"{link.name} (no record of it)"
        print(f"{'   ' * depth}{reason} {label}")
    if not way:
        print("   it is the same")
    return 0
