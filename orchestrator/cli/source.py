"""The sources of goals: list them, fetch them ahead of a build, supply one by hand, verify what is stored."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import AnswerIsNo, OrchError, UsageError

if TYPE_CHECKING:
    from orchestrator.graph.derivation import Graph, Node, Source
    from orchestrator.store import Layout

EPILOG = """\
examples:
  orch source ls nixl                  every source of nixl's closure, and which are here
  orch source fetch nixl --set cuda=13
  orch source add Downloads/ucx.tar.gz for a machine without a network: found by its sha256
  orch source verify --repair          hash all that is stored; put aside what is damaged
"""

_AT_ONCE = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments: one sub-verb each."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="ls|fetch|add|verify")
    for verb, text in (("ls", "list the sources of goals"), ("fetch", "fetch the sources of goals")):
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("goals", nargs="*", metavar="GOAL", help="recipes; default: all")
        sub.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", dest="settings")
        add_place_arguments(sub)
    text = "put files into the store as sources; what they are is found by their sha256"
    add = verbs.add_parser("add", help=text, description=text)
    add.add_argument("files", nargs="+", type=Path, metavar="FILE")
    add_place_arguments(add)
    text = "hash every stored source again"
    verify = verbs.add_parser("verify", help=text, description=text)
    verify.add_argument("--repair", action="store_true", help="put damaged ones aside, so that they are fetched again")
    add_place_arguments(verify)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-verb."""
    opened = open_project(arguments)
    layout = opened.store()
    if arguments.what == "add":
        return _add(opened, layout, arguments)
    if arguments.what == "verify":
        return _verify(layout, arguments)
    goals = arguments.goals or list(opened.recipes.names)
    graph = opened.graph(goals, arguments.settings)
    return _list(graph, layout, arguments) if arguments.what == "ls" else _fetch(opened, graph, layout, arguments)


def _sources(graph: Graph) -> list[tuple[Node, Source]]:
    found: dict[str, tuple[Node, Source]] = {}
    for node in graph.nodes:
        for source in node.sources:
            found.setdefault(source.sha256 or source.name, (node, source))
    return list(found.values())


def _list(graph: Graph, layout: Layout, arguments: argparse.Namespace) -> int:
    from orchestrator.build.known import StoreKnown

    known = StoreKnown(layout=layout)
    rows = [(node, source, known.source(source)) for node, source in _sources(graph)]
    if arguments.json:
        from orchestrator.cli.document import print_document

        documents = [
            {"recipe": n.name, "source": s.name, "sha256": s.sha256, "tree": s.tree, "bytes": s.size, "here": here}
            for n, s, here in rows
        ]
        print_document("source ls", {"sources": documents})
        return 0
    width = max((len(node.name) for node, _, _ in rows), default=0)
    for node, source, here in rows:
        size = bytes_text(source.size) if source.size is not None else "?"
        print(f"{'here' if here else '-':<4}  {node.name:<{width}}  {size:>7}  {source.name}")
    return 0


def _fetch(opened: Opened, graph: Graph, layout: Layout, arguments: argparse.Namespace) -> int:
    import sys

    from orchestrator.cli.complaint import error_document, render
    from orchestrator.events import silent

    fetch = opened.fetcher(layout, silent)

    def one(pair: tuple[Node, Source]) -> Path | OrchError:
        try:
            return fetch(*pair, lambda: False)
        except OrchError as error:
            return error

    pairs = _sources(graph)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        results = list(pool.map(one, pairs))
    errors = [result for result in results if isinstance(result, OrchError)]
    if arguments.json:
        from orchestrator.cli.document import print_document

        here = [str(result) for result in results if isinstance(result, Path)]
        print_document("source fetch", {"here": here, "failures": [error_document(error) for error in errors]})
    else:
        for error in errors:
            print(render(error), file=sys.stderr)
        print(f"{len(pairs) - len(errors)} of {len(pairs)} sources are here", file=sys.stderr)
    return max((error.exit_status for error in errors), default=0)


def _names(opened: Opened) -> dict[str, list[str]]:
    """Which recipes' sources have a sha256: every version of every recipe."""
    named: dict[str, list[str]] = {}
    for recipe in opened.recipes.values():
        for version in recipe.versions.values():
            for source in version.sources:
                named.setdefault(source.sha256 or "", []).append(source.from_)
        for lock in recipe.locks.values():
            for deb in lock.debs:
                named.setdefault(deb.sha256, []).append(f"debian:{deb.path}")
    return named


def _add(opened: Opened, layout: Layout, arguments: argparse.Namespace) -> int:
    from orchestrator.digest import sha256_file
    from orchestrator.store import add_source

    named = _names(opened)
    added = []
    for file in arguments.files:
        if not file.is_file():
            raise UsageError(f"no file {file}", hint="orch source ls GOAL names what is missing")
        digest = sha256_file(file)
        names = tuple(dict.fromkeys(named.get(digest.hex, ())))
        if not names:
            raise UsageError(
                f"no recipe has a source with the content of {file.name}",
                where=str(file),
                why=f"its digest is {digest}",
                hint="orch source ls GOAL names what is wanted; the same name with another digest is another file",
            )
        add_source(layout, file, sha256=digest.hex, names=names)
        added.append({"file": str(file), "sha256": digest.hex, "names": list(names)})
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("source add", {"added": added})
    else:
        for row in added:
            print(f"{row['file']}: {', '.join(row['names'])}")
    return 0


def _verify(layout: Layout, arguments: argparse.Namespace) -> int:
    from orchestrator.store import list_sources, quarantine_source, verify_source

    stored = list(list_sources(layout))
    with ThreadPoolExecutor() as pool:
        intact = list(pool.map(lambda source: verify_source(layout, source.sha256), stored))
    bad = [source for source, good in zip(stored, intact, strict=True) if not good]
    aside = []
    if arguments.repair:
        aside = [quarantine_source(layout, source.sha256, "its content has another sha256") for source in bad]
    if arguments.json:
        from orchestrator.cli.document import print_document

        document = {"verified": len(stored) - len(bad), "damaged": [source.sha256 for source in bad]}
        print_document("source verify", document)
    elif not bad:
        size = sum(source.size for source in stored)
        print(f"{len(stored)} sources, {bytes_text(size)}: all as their recipes say")
    if bad and not arguments.json:
        names = "; ".join(f"{source.sha256[:12]} {', '.join(source.names)}" for source in bad)
        if len([path for path in aside if path is not None]) == len(bad):
            print(f"{len(bad)} damaged, put aside in {layout.corrupt}: {names}")
            return AnswerIsNo.exit_status
        raise AnswerIsNo(
            f"{len(bad)} of {len(stored)} stored sources are damaged",
            where=str(layout.sources),
            why=names,
            hint="orch source verify --repair puts them aside; the next build fetches them again",
        )
    return AnswerIsNo.exit_status if bad else 0
