"""Copy a built goal out of the store as plain files, with the modes that its build gave them.

The files are copies: nothing that is done to them reaches the store. A goal on its own by default; with
--closure, merged with all that it runs with, as it would be in an image."""

from __future__ import annotations

import argparse
from pathlib import Path

from orchestrator.cli.numbers import bytes_text, count_text
from orchestrator.cli.opening import add_place_arguments, add_set_argument, open_project
from orchestrator.errors import MachineError, UsageError

EPILOG = """\
Set-user-id and set-group-id bits are not copied. DIR has to be empty or not there yet.

examples:
  orch export nixl ./nixl
  orch export nixl ./root --closure          NIXL, UCX, libfabric, the base: a root directory
  orch export nixl ./nixl --set cuda=13
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("goal", metavar="GOAL", help="a recipe's name")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--closure", action="store_true", help="with all that the goal runs with")
    add_set_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Copy; the directory goes to stdout."""
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.recipe import load_images
    from orchestrator.store import has_object, holding, read_goal
    from orchestrator.store.plain import refuse_target, write_plain

    target: Path = arguments.directory.expanduser().absolute()
    refuse_target(target)
    opened = open_project(arguments)
    name = arguments.goal
    if name not in opened.recipes and name in load_images(opened.project).names:
        raise UsageError(f"{name} is an image", hint=f"orch image {name} -o oci:DIR writes it to a directory")
    graph = opened.graph([name], arguments.settings)
    layout = opened.store()
    with holding(layout):
        goal = read_goal(layout, closure_key(graph, name, derivation_keys(graph)))
        items = (
            goal.closure if goal is not None and arguments.closure else goal.closure[-1:] if goal is not None else ()
        )
        if not items or not all(has_object(layout, item.digest) for item in items):
            words = "".join(f" --set {text}" for text in arguments.settings)
            raise MachineError(
                f"{name} is not built in this store with these options",
                where=str(layout.root),
                hint=f"make it first: orch build {name}{words}",
            )
        files, size = write_plain(layout, {item.name: item.digest for item in items}, target)
    if arguments.json:
        from orchestrator.cli.document import print_document

        components = [{"name": item.name, "version": item.version, "digest": str(item.digest)} for item in items]
        content = {"goal": name, "path": str(target), "files": files, "bytes": size, "components": components}
        print_document("export", content)
    else:
        import sys

        print(f"{count_text(files, 'file')}, {bytes_text(size)}", file=sys.stderr)
        print(target)
    return 0
