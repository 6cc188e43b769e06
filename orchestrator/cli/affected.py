"""Say what an edit of a recipe, an image or a file of theirs would touch: recipes, images and their layers, minutes.

Nothing is built and nothing is compared: it is what could move at most. A file that the chosen versions do not read
touches nothing. Looked at are the project's default options and every image's own; --set comes over both."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.opening import Opened, add_place_arguments, add_set_argument, open_project

if TYPE_CHECKING:
    from orchestrator.cli.affected_reach import Reach, TouchedImage

EPILOG = """\
A recipe that is named is built again; one above it is built again too, unless all that it is built with comes out
with the same bytes. One that only runs with it is not built again: its check is run.

examples:
  orch affected rdma-core
  orch affected recipes/ucx/recipe.toml recipes/libfabric/recipe.toml
  orch affected recipes/images/sglang-cu12/python.lock
  orch affected ucx --set cuda=13 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a recipe, an image, or a file below recipes/")
    add_set_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what would be touched."""
    from orchestrator.cli.complaint import harmless

    opened = open_project(arguments)
    reach, images = _look(opened, arguments.names, arguments.settings)
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("affected", _document(reach, images))
    else:
        print(harmless("\n".join(_lines(reach, images))))
    return 0


def _look(opened: Opened, names: Sequence[str], settings: Sequence[str]) -> tuple[Reach, list[TouchedImage]]:
    from orchestrator.cli.affected_edits import edits_of
    from orchestrator.cli.affected_reach import default_reach, image_reach

    opened.refuse_settings(settings)
    edits = edits_of(opened, names)
    layout = opened.store(create=False)
    reach = default_reach(opened, edits, settings, layout)
    images = [image_reach(opened, name, edits, settings, layout, reach.took) for name in edits.all_images]
    return reach, images


def _total(reach: Reach, images: Iterable[TouchedImage]) -> tuple[float, int, int]:
    """Seconds of all builds together, how many there are, and of how many nobody knows the time."""
    times: dict[str, float | None] = dict(reach.builds)
    for image in images:
        times |= image.builds
    known = [seconds for seconds in times.values() if seconds is not None]
    return sum(known), len(times), len(times) - len(known)


def _lines(reach: Reach, images: list[TouchedImage]) -> Iterator[str]:
    from orchestrator.cli.numbers import count_text, seconds_text

    yield from reach.unread
    rows = (
        ("edited", reach.edited),
        ("above, built again or cut off", reach.above),
        ("checked again", reach.checks),
        ("not known", tuple(f"{name} ({why})" for name, why in reach.failed)),
    )
    for label, found in rows:
        if found:
            yield f"{label}: {_counted(found)}"
    touched = [image for image in images if image.touched]
    for image in images:
        if image.problem:
            own = "its own files are edited; what else is touched is " if image.own else ""
            yield f"image {image.name}: {own}not known: {image.problem}"
        elif image.touched:
            yield f"image {image.name}: {image.text}"
    seconds, count, unknown = _total(reach, images)
    if not count and not touched and not reach.checks:
        yield "nothing is touched"
    if count:
        known = f"{seconds_text(seconds)} by their last builds" if unknown < count else "of unknown length"
        more = f", and {unknown} of unknown length" if 0 < unknown < count else ""
        mine = len(reach.builds)
        where = f" ({mine} with the default options, {count - mine} more for images)" if count > mine else ""
        yield f"at most {count_text(count, 'build')}{where}, {known}{more}"


def _counted(names: Sequence[str]) -> str:
    from orchestrator.cli.why_text import some_names

    text = some_names(names)
    return f"{len(names)}: {text}" if len(names) > 3 else text


def _document(reach: Reach, images: list[TouchedImage]) -> dict[str, Any]:
    seconds, count, unknown = _total(reach, images)
    return {
        "edited": list(reach.edited),
        "above": list(reach.above),
        "checks": list(reach.checks),
        "unread": list(reach.unread),
        "not_known": [{"name": name, "why": why} for name, why in reach.failed],
        "images": [
            {
                "name": image.name,
                "touched": image.touched,
                "components": list(image.components),
                "checks": list(image.checks),
                "layers": None if image.layers is None else list(image.layers),
                "problem": image.problem or None,
            }
            for image in images
        ],
        "builds": count,
        "seconds": round(seconds, 3),
        "seconds_unknown": unknown,
    }
