"""Keep what a goal or an image is now, whatever is built later, until it is unpinned."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import count_text
from orchestrator.cli.opening import add_place_arguments, add_set_argument, open_project
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.cli.opening import Opened
    from orchestrator.digest import Digest
    from orchestrator.store import Layout

EPILOG = """\
examples:
  orch pin nixl                    its runtime closure, as it is built now
  orch pin nixl --set cuda=13      the same goal with other options is another pin
  orch pin sglang-cu12             an image, with its layers
  orch pin                         list the pins
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a recipe or an image; without it pins are listed")
    add_set_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Pin, or list the pins."""
    from orchestrator.store.keep import pin, pins

    opened = open_project(arguments)
    layout = opened.store()
    if arguments.name is None:
        found = pins(layout)
        if arguments.json:
            from orchestrator.cli.document import print_document

            print_document("pin", {"pins": found})
        else:
            print("".join(f"{label}\n" for label in found), end="")
        return 0
    label = " ".join([arguments.name, *sorted(arguments.settings)])
    objects, blobs = _contents(opened, layout, arguments)
    pin(layout, label, objects, blobs)
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("pin", {"pin": label, "objects": objects, "blobs": blobs})
    else:
        more = f", {count_text(len(blobs), 'blob')}" if blobs else ""
        print(f"pinned {label}: {count_text(len(objects), 'object')}{more}")
    return 0


def _contents(
    opened: Opened, layout: Layout, arguments: argparse.Namespace
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The objects and blobs of what is asked for, by hex. Raise UsageError if it is not made."""
    from orchestrator.graph.closure import closure_key, runtime_closure
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.recipe import load_images
    from orchestrator.store import has_object, holding, latest_image, read_goal
    from orchestrator.store.keep import image_contents

    name = arguments.name
    with holding(layout):
        if name in load_images(opened.project).names:
            image = latest_image(layout, name)
            if image is None:
                raise UsageError(f"the image {name} is not made", hint=f"orch image {name}")
            return image_contents(image)
        graph = opened.graph([name], arguments.settings)
        keys = derivation_keys(graph)
        goal = read_goal(layout, closure_key(graph, name, keys))
        found = (
            {item.name: item.digest for item in goal.closure}
            if goal is not None
            else _made_for_others(layout, {one: keys[one] for one in runtime_closure(graph, [name])})
        )
        if not found or not all(has_object(layout, digest) for digest in found.values()):
            again = " ".join(["orch build", name, *(f"--set {text}" for text in arguments.settings)])
            raise UsageError(f"{name} is not built as it is asked for", hint=again)
        return {digest.hex: one for one, digest in found.items()}, {}


def _made_for_others(layout: Layout, keys: Mapping[str, Digest]) -> Mapping[str, Digest]:
    """The outputs of these derivations, built for another goal; none if one of them was never built."""
    from orchestrator.store import read_realisation

    found = {}
    for name, key in keys.items():
        made = read_realisation(layout, key)
        if made is None or made.output is None:
            return {}
        found[name] = made.output
    return found
