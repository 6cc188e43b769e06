"""Let go of a pin: what only it kept goes with the next `orch gc`."""

from __future__ import annotations

import argparse

from orchestrator.cli.opening import add_place_arguments, add_set_argument
from orchestrator.cli.place import store_of
from orchestrator.errors import UsageError

EPILOG = """\
examples:
  orch unpin nixl
  orch unpin nixl --set cuda=13
  orch pin                      lists the pins
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="what was pinned")
    add_set_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Remove the pin."""
    from orchestrator.store.keep import pins, unpin

    layout = store_of(arguments)
    label = " ".join([arguments.name, *sorted(arguments.settings)])
    if not unpin(layout, label):
        there = ", ".join(pins(layout)) or "none"
        raise UsageError(f"there is no pin {label}", where=str(layout.roots), why=f"pins: {there}", hint="orch pin")
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("unpin", {"pin": label})
    else:
        print(f"unpinned {label}")
    return 0
