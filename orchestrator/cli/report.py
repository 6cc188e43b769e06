"""Write one page about a run or an image: what ran when and why, its graph, sizes, layers and logs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.drawing.facts import Facts
    from orchestrator.store import BuildRecord, ImageRecord, Layout

_ID = re.compile(r"(?:[0-9]{8}T[0-9]{6}Z-)?[0-9a-f]{6}")

EPILOG = """\
The page is one file of HTML without scripts: it needs no network and can be sent to somebody.

examples:
  orch report                      the newest run; writes report-RUN.html here
  orch report nixl                 the newest run that was asked for nixl
  orch report sglang-cu12 -o a.html
  orch report 1f3c9a               a run that `orch history` lists
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "what", nargs="?", metavar="RUN|NAME", help="a run's id, a recipe or an image (default: newest)"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write it there")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page; its path goes to stdout."""
    from orchestrator.cli.drawing.report_page import report_page
    from orchestrator.cli.report_facts import gather
    from orchestrator.cli.written import write_whole

    opened = open_project(arguments)
    layout = opened.store(create=False)
    build, image = _find(opened, layout, arguments.what)
    facts = gather(opened, layout, build, image)
    out: Path = arguments.out or Path(f"report-{build.id if build is not None else arguments.what}.html")
    write_whole(out, report_page(facts))
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("report", {"path": str(out), **_document(facts)})
    else:
        print(out)
    return 0


def _find(opened: Opened, layout: Layout, what: str | None) -> tuple[BuildRecord | None, ImageRecord | None]:
    """The run and the image that are meant; at least one of them. Raise UsageError if there is none."""
    from orchestrator.recipe import load_images
    from orchestrator.store import latest_image, recent_builds

    if what is not None and what not in opened.recipes and _ID.fullmatch(what):
        return _with_image(layout, _named(layout, what))
    build = next(recent_builds(layout, what), None)
    if what is not None and what in load_images(opened.project).names:
        image = latest_image(layout, what)
        if build is None and image is None:
            raise UsageError(f"{what} was never made in this store", hint=f"make it: orch image {what}")
        return build, image
    if build is None:
        if what is not None:
            opened.refuse_unknown(what, or_image=True)
        raise UsageError(
            f"no run of {what} is recorded" if what is not None else "no run is recorded",
            where=str(layout.builds),
            why="only a run that had something to do leaves a record",
            hint=f"orch build {what or 'GOAL'}",
        )
    return _with_image(layout, build)


def _named(layout: Layout, text: str) -> BuildRecord:
    from orchestrator.store import build_ids, read_build

    found = [one for one in build_ids(layout) if one.endswith(text)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs end in {text}", hint=f"give one in full: {', '.join(found)}")
    build = read_build(layout, found[0]) if found else None
    if build is None:
        raise UsageError(f"no run {text} is recorded", where=str(layout.builds), hint="orch history lists them")
    return build


def _with_image(layout: Layout, build: BuildRecord) -> tuple[BuildRecord, ImageRecord | None]:
    """A run, and the image that it made, if that was what it was for and it is known still."""
    from orchestrator.store import list_images

    made = set(build.outputs.values()) if build.verb == "image" else set()
    return build, next((one for one in list_images(layout) if str(one.manifest) in made), None) if made else None


def _document(facts: Facts) -> dict[str, Any]:
    run, image = facts.run, facts.image
    content: dict[str, Any] = {"run": None, "image": None}
    if run is not None:
        content["run"] = {
            "id": run.id,
            "ending": run.ending,
            "seconds": run.seconds,
            "expected_seconds": run.expected,
            "saved_seconds": round(run.saved, 3),
            "critical_path": list(run.critical),
        }
    if image is not None:
        content["image"] = {"name": image.name, "manifest": image.manifest}
    return content
