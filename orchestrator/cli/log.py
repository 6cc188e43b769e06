"""Print the log of a recipe's newest build (or check, with --check), or of an image's run (with --run)."""

from __future__ import annotations

import argparse
import shutil
import sys

from orchestrator.cli.opening import add_place_arguments, open_project
from orchestrator.errors import UsageError

EPILOG = """\
A log is kept whether its build failed or not, whole, as the sandbox printed it.

examples:
  orch log ucx
  orch log nixl --check
  orch log sglang-cu12 --run
  less "$(orch log ucx --path)"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe's name, or an image's with --run")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="the log of its check")
    which.add_argument("--run", action="store_true", help="of an image: the log of its run")
    which.add_argument("--rebuild", action="store_true", help="the log of its newest --rebuild")
    parser.add_argument("--path", action="store_true", help="print where the log is, not what it says")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a log."""
    from orchestrator.store import latest_log

    opened = open_project(arguments)
    suffix = "-check" if arguments.check else "-rebuild" if arguments.rebuild else "-run" if arguments.run else ""
    layout = opened.store(create=False)
    log = latest_log(layout, arguments.name + suffix)
    if log is None and arguments.run:
        raise UsageError(
            f"there is no log of a run of {arguments.name}",
            where=str(layout.logs),
            hint=f"an image is run when it is made: orch image {arguments.name}",
        )
    if log is None:
        opened.refuse_unknown(arguments.name)
        kind = "check" if arguments.check else "--rebuild" if arguments.rebuild else "build"
        command = f"orch build {arguments.name}{' --rebuild' if arguments.rebuild else ''}"
        raise UsageError(
            f"there is no log of a {kind} of {arguments.name}",
            where=str(layout.logs),
            why="none was run in this store",
            hint=f"run one: {command}",
        )
    if arguments.json:
        from orchestrator.cli.document import print_document

        text = log.read_bytes().decode("utf-8", "replace")
        print_document("log", {"name": arguments.name, "path": str(log), "lines": text.splitlines()})
    elif arguments.path:
        print(log)
    else:
        with log.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    return 0
