"""The sources of goals: list them, fetch them ahead of a build, supply one by hand, find out hashes, verify."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import Opened, add_place_arguments, add_set_argument, open_project
from orchestrator.errors import AnswerIsNo, OrchError

if TYPE_CHECKING:
    from orchestrator.graph.derivation import Graph, Node, Source
    from orchestrator.recipe import Image
    from orchestrator.store import Layout, StoredSource

EPILOG = """\
examples:
  orch source ls nixl                   every source of nixl's closure, and which are here
  orch source fetch nixl --set cuda=13  so that a build needs no network
  orch source fetch sglang-cu12         an image's wheels too
  orch source add ~/Downloads/*         what another machine fetched: known by its content
  orch source lock nixl@1.3.2           write the hashes that a version lacks into its recipe
  orch source verify --repair           hash all that is stored; put aside what is damaged
"""

_VERBS = {
    "ls": (
        "list the sources of goals and of all that they are built from, and whether they are here",
        """\
The columns: `here`, `-` (not here) or `?` (no hash of it is known yet), recipe, size, name.

examples:
  orch source ls nixl
  orch source ls --json        of each recipe that there is, with hashes
""",
    ),
    "fetch": (
        "fetch the sources of goals ahead of a build, which then needs no network",
        """\
A file is taken for what it is by its hash, wherever it comes from. What a broken connection left
is gone on from.

examples:
  orch source fetch nixl
  orch source fetch            of each recipe that there is
""",
    ),
    "add": (
        "put files into the store as sources; what each is is known by its content",
        """\
For a machine without a network. The names of the files do not matter: a file is known by its
sha256, and an archive, where a recipe pins a source by its tree, by what it unpacks to.

examples:
  orch source add ucx_1.13.1.orig.tar.xz
  orch source add /media/stick/*
  git archive --prefix=nixl/ -o nixl.tar COMMIT && orch source add nixl.tar
""",
    ),
    "lock": (
        "find out the hashes that a version lacks, tell them, and write them into its recipe",
        """\
Each source that has neither sha256 nor tree is fetched from where its name says and taken as it
comes; who says that it is so is told. Of a commit (git:) and of an archive that its host packs
anew the tree is written, of all else the sha256. The rest of the recipe's text stays as it is.
What no host gives stays unknown, and the version unlocked.

examples:
  orch source lock nixl@1.3.2
  orch source lock nixl@1.3.2 --json    what was found, and who says so
""",
    ),
    "verify": (
        "hash every stored source again",
        """\
The exit status is 5 if one is damaged.

examples:
  orch source verify
  orch source verify --repair  put damaged ones aside, so that the next build fetches them again
""",
    ),
}
_AT_ONCE = 4
_SAID_IN_FULL = 3  # of many sources that fail alike, all are named but not all explained


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments: one sub-verb each."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="|".join(_VERBS))
    sub = {
        name: verbs.add_parser(name, help=text, description=text, epilog=more) for name, (text, more) in _VERBS.items()
    }
    for name in ("ls", "fetch"):
        goals = "recipes or images; default: each recipe that there is"
        sub[name].add_argument("goals", nargs="*", metavar="GOAL", help=goals)
        add_set_argument(sub[name])
    sub["add"].add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file to copy into the store")
    sub["lock"].add_argument("version", metavar="NAME@VERSION", help="the version of a recipe that is to be locked")
    sub["verify"].add_argument("--repair", action="store_true", help="put damaged ones aside, to be fetched again")
    for one in sub.values():
        add_place_arguments(one)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-verb."""
    opened = open_project(arguments)
    layout = opened.store(create=arguments.what != "ls")
    if arguments.what == "add":
        from orchestrator.cli.source_add import add

        return add(opened, layout, arguments)
    if arguments.what == "lock":
        from orchestrator.cli.source_lock import lock

        return lock(opened, layout, arguments)
    if arguments.what == "verify":
        return _verify(layout, arguments)
    sources = _sources(opened, arguments)
    return _list(sources, layout, arguments) if arguments.what == "ls" else _fetch(opened, sources, layout, arguments)


def _graphs(opened: Opened, arguments: argparse.Namespace) -> list[Graph]:
    """The goals' graph, and one of each image; without goals one of each recipe, since not every two of them could be
    in one."""
    showing = arguments.what == "ls"
    if arguments.goals:
        from orchestrator.cli.image_goal import image_graph, refuse

        images = _images(opened, arguments)
        recipes = [goal for goal in arguments.goals if goal not in {image.name for image in images}]
        for image in images:
            refuse(image)
        graphs = [image_graph(opened, image, arguments.settings) for image in images]
        return [*graphs, *([opened.graph(recipes, arguments.settings, showing=showing)] if recipes else [])]
    opened.refuse_settings(arguments.settings)
    return [opened.graph_of_one(name, arguments.settings, showing=showing) for name in opened.recipes.names]


def _images(opened: Opened, arguments: argparse.Namespace) -> list[Image]:
    from orchestrator.recipe import load_images

    images = load_images(opened.project)
    return [images[goal] for goal in arguments.goals if goal in images]


def _sources(opened: Opened, arguments: argparse.Namespace) -> list[tuple[Node, Source]]:
    found: dict[str, tuple[Node, Source]] = {}
    for graph in _graphs(opened, arguments):
        for node in graph.nodes:
            for source in node.sources:
                found.setdefault(source.sha256 or source.name, (node, source))
    return list(found.values())


def _list(sources: list[tuple[Node, Source]], layout: Layout, arguments: argparse.Namespace) -> int:
    from orchestrator.build.known import StoreKnown

    known = StoreKnown(layout=layout)
    rows = [(node, source, known.source(source)) for node, source in sources]
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
        state = "here" if here else "-" if source.sha256 or source.tree else "?"
        print(f"{state:<4}  {node.name:<{width}}  {size:>7}  {source.name}")
    missing = [source for _, source, here in rows if not here]
    more = f"; {_counted(missing)} not here" if missing else ", all here"
    print(f"{_counted([source for _, source, _ in rows])}{more}", file=sys.stderr)
    return 0


def _counted(sources: Sequence[Source | StoredSource]) -> str:
    """`93 sources, 35 MB`."""
    size = sum(source.size or 0 for source in sources)
    at_least = " or more" if any(source.size is None for source in sources) else ""
    return f"{len(sources)} source{'' if len(sources) == 1 else 's'}, {bytes_text(size)}{at_least}"


def _fetch(opened: Opened, pairs: list[tuple[Node, Source]], layout: Layout, arguments: argparse.Namespace) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from orchestrator.build.known import StoreKnown
    from orchestrator.cli.complaint import error_document, render
    from orchestrator.cli.fetches import Fetches
    from orchestrator.cli.progress import view

    known = StoreKnown(layout=layout)
    missing = [(node, source) for node, source in pairs if not known.source(source)]
    away = [source for _, source in missing if not source.at_hand]
    stop = threading.Event()

    def one(pair: tuple[Node, Source]) -> Path | OrchError:
        try:
            return fetch(*pair, stop.is_set)
        except OrchError as error:
            return error

    wanted = Fetches((node.name, source) for node, source in missing)
    headline = f"{_counted(away)} to fetch" if away else ""
    with view(headline, wanted) as monitor:
        pythons = [image.document.python for image in _images(opened, arguments)]
        indexes = [index for python in pythons if python is not None for index in python.indexes]
        fetch = opened.fetcher(layout, monitor, indexes=indexes)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            try:
                results = list(pool.map(one, pairs))
            except KeyboardInterrupt:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    errors = [result for result in results if isinstance(result, OrchError)]
    if arguments.json:
        from orchestrator.cli.document import print_document

        here = [str(result) for result in results if isinstance(result, Path)]
        failures = [error_document(error) for error in errors]
        first = {"error": failures[0]} if failures else {}
        print_document("source fetch", {**first, "here": here, "failures": failures})
    else:
        for error in errors[:_SAID_IN_FULL]:
            print(render(error), file=sys.stderr)
        for error in errors[_SAID_IN_FULL:]:
            print(f"error: {error.what}", file=sys.stderr)
        print(f"{len(pairs) - len(errors)} of {len(pairs)} sources are here", file=sys.stderr)
    return max((error.exit_status for error in errors), default=0)


def _verify(layout: Layout, arguments: argparse.Namespace) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from orchestrator.store import list_sources, quarantine_source, verify_source

    stored = list(list_sources(layout))
    with ThreadPoolExecutor() as pool:
        intact = list(pool.map(lambda source: verify_source(layout, source.sha256), stored))
    bad = [source for source, good in zip(stored, intact, strict=True) if not good]
    aside = []
    if arguments.repair:
        aside = [quarantine_source(layout, source.sha256, "its content has another sha256") for source in bad]
    if bad:
        repaired = len([path for path in aside if path is not None]) == len(bad)
        error = AnswerIsNo(
            f"{len(bad)} of {len(stored)} stored sources {'are' if len(bad) > 1 else 'is'} damaged",
            where=str(layout.corrupt if repaired else layout.sources),
            why="\n".join(f"{source.sha256[:12]} {', '.join(source.names)}" for source in bad),
            hint="they were put aside; the next build fetches them again"
            if repaired
            else "orch source verify --repair puts them aside; the next build fetches them again",
        )
        if not arguments.json:
            raise error
    if arguments.json:
        from orchestrator.cli.complaint import error_document
        from orchestrator.cli.document import print_document

        first = {"error": error_document(error)} if bad else {}
        document = {"verified": len(stored) - len(bad), "damaged": [source.sha256 for source in bad]}
        print_document("source verify", first | document)
        return AnswerIsNo.exit_status if bad else 0
    print(f"{_counted(stored)}: all as their recipes say")
    return 0
