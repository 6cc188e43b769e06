"""Print the log of a recipe's newest build (or check, with --check)."""

from __future__ import annotations

import argparse
import shutil
import sys

from orchestrator.cli.opening import add_place_arguments, open_project
from orchestrator.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe's name")
    parser.add_argument("--check", action="store_true", help="the log of its check")
    parser.add_argument("--rebuild", action="store_true", help="the log of its newest --rebuild")
    parser.add_argument("--path", action="store_true", help="print where the log is, not what it says")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a log."""
    from orchestrator.store import latest_log

    opened = open_project(arguments)
    suffix = "-check" if arguments.check else "-rebuild" if arguments.rebuild else ""
    log = latest_log(opened.store(), arguments.name + suffix)
    if log is None:
        import difflib

        close = difflib.get_close_matches(arguments.name, opened.recipes.names, n=1)
        known = arguments.name in opened.recipes.names
        hint = (
            f"orch build {arguments.name}" if known else f"did you mean: orch log {close[0]}" if close else "orch list"
        )
        raise UsageError(f"no log of {arguments.name}{suffix}", why="it was never built in this store", hint=hint)
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
