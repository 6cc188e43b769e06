"""Draw what a goal, or an image, is made of: each component with its version, size, time and state."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.complaint import harmless
from orchestrator.cli.opening import (
    Opened,
    add_place_arguments,
    add_set_argument,
    add_source_argument,
    open_project,
    positive,
)
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.drawing.picture import Picture

_SUFFIXES = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}
_FORMATS = ("tree", "dot", "mermaid", "svg")

EPILOG = """\
A full line leads to what a component runs with, a dashed one to what it is only built with, a
dotted one to what only its check needs. Left out is what others bring along: what runs with an
input is mounted with it. The states are those of `orch plan`.

examples:
  orch graph nixl                            a tree in the terminal
  orch graph nixl --set cuda=13 -o nixl.svg  a picture for a browser
  orch graph sglang-cu12 --wheels -o all.svg  an image with each of its wheels
  orch graph nixl --format dot | dot -Tpdf > nixl.pdf
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("goals", nargs="+", metavar="GOAL|IMAGE", help="recipes' names, or one image's")
    add_set_argument(parser)
    add_source_argument(parser)
    parser.add_argument("--format", choices=_FORMATS, help="tree (the default), dot, mermaid or svg")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="write it there; .svg, .dot and .mmd say the format"
    )
    parser.add_argument("--depth", type=positive, metavar="N", help="at most N levels below the goals")
    parser.add_argument("--all-edges", action="store_true", help="all that is mounted, also what others bring")
    parser.add_argument("--wheels", action="store_true", help="of an image: a box for each wheel")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw; where a file is written its path goes to stdout."""
    out: Path | None = arguments.out
    form = arguments.format or (_format_of(out) if out is not None else "tree")
    picture = _picture(open_project(arguments), arguments)
    if out is not None:
        from orchestrator.cli.written import write_whole

        write_whole(out, _drawn(picture, form, arguments.depth))
    if arguments.json:
        _print_json(picture, out, arguments.depth)
    elif out is not None:
        print(out)
    elif form == "tree":
        _print_tree(picture, arguments.depth)
    else:
        sys.stdout.write(_drawn(picture, form, arguments.depth))
    return 0


def _format_of(out: Path) -> str:
    """The format that a file's name says. Raise UsageError if it says one that is not known."""
    if out.suffix in ("", ".txt"):
        return "tree"
    if out.suffix not in _SUFFIXES:
        raise UsageError(
            f"no format of {out.suffix} files is known",
            where=str(out),
            why=f"known are {', '.join(_SUFFIXES)} and, for a tree, .txt",
            hint="--format FORMAT writes that one into a file of any name; dot -Tpdf makes a PDF of --format dot",
        )
    return _SUFFIXES[out.suffix]


def _picture(opened: Opened, arguments: argparse.Namespace) -> Picture:
    from orchestrator.cli.graph_boxes import graph_picture
    from orchestrator.recipe import load_images

    goals: list[str] = arguments.goals
    images = [name for name in goals if name not in opened.recipes and name in load_images(opened.project).names]
    if images and len(goals) > 1:
        raise UsageError("an image is drawn by itself", why=f"{len(goals)} goals were given", hint="one command each")
    if images:
        return _image(opened, images[0], arguments)
    if arguments.wheels:
        raise UsageError("--wheels is for images", why=f"{goals[0]} is a recipe", hint="orch images lists the images")
    graph = opened.graph(goals, arguments.settings, showing=True)
    layout = opened.store(create=False)
    return graph_picture(graph, opened.plan(graph, layout), layout, everything=arguments.all_edges)


def _image(opened: Opened, name: str, arguments: argparse.Namespace) -> Picture:
    from orchestrator.cli.graph_boxes import image_picture
    from orchestrator.cli.image_goal import finished, image_graph, image_key_of, open_image
    from orchestrator.cli.image_needs import plan_image

    image = open_image(opened, name)
    graph = image_graph(opened, image, arguments.settings)
    layout = opened.store(create=False)
    made = (finished(layout, image_key_of(image, graph, how)[0]) for how in ("zstd", "gzip"))
    record = next((one for one in made if one is not None), None)
    plan = plan_image(image, graph, layout)
    return image_picture(graph, image, plan, layout, record, everything=arguments.all_edges, wheels=arguments.wheels)


def _drawn(picture: Picture, form: str, depth: int | None) -> str:
    from orchestrator.cli.drawing.languages import dot, mermaid
    from orchestrator.cli.drawing.picture import to_depth
    from orchestrator.cli.drawing.svg import graph_svg
    from orchestrator.cli.drawing.tree import tree_lines

    if form == "tree":
        return harmless("".join(f"{line}\n" for line in tree_lines(picture, colour=False, depth=depth)))
    part = picture if depth is None else to_depth(picture, depth)
    return {"dot": dot, "mermaid": mermaid, "svg": graph_svg}[form](part)


def _print_tree(picture: Picture, depth: int | None) -> None:
    from orchestrator.cli.drawing.tree import key_line, tree_lines

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
    print(harmless(f"{picture.title}: {picture.summary()}"))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in tree_lines(picture, colour=colour, depth=depth, width=width):
        print(line)
    if key := key_line(picture):
        print(f"\n{key}")


def _print_json(picture: Picture, out: Path | None, depth: int | None) -> None:
    from orchestrator.cli.document import print_document
    from orchestrator.cli.drawing.picture import to_depth

    part = picture if depth is None else to_depth(picture, depth)
    nodes = [
        {
            "name": box.name,
            "version": box.version,
            "origin": box.origin,
            "state": box.state,
            "bytes": box.bytes,
            "seconds": box.seconds,
            "reason": box.reason,
            "holds": list(box.holds),
        }
        for box in part.boxes
    ]
    edges = [{"from": edge.source, "to": edge.target, "kind": edge.kind} for edge in part.edges]
    content = {"goals": list(part.roots), "nodes": nodes, "edges": edges}
    print_document("graph", content | ({"path": str(out)} if out is not None else {}))
