"""`orch store export` and `import`: closures as one file, for machines without a network."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text, count_text
from orchestrator.cli.opening import Opened, add_place_arguments, add_set_argument, open_project
from orchestrator.cli.place import store_of
from orchestrator.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Goal, ImageRecord, Layout
    from orchestrator.store.closure_file import Closure

EXPORT = "write a goal or an image, with all that it runs with, to one file"
IMPORT = "take such a file into this store; every byte is verified"


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `export`."""
    parser.add_argument("name", metavar="GOAL|IMAGE", help="a recipe's name, or an image's")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--compression", choices=("zstd", "gzip"), default="zstd", help="of the image's layers")
    add_set_argument(parser)
    add_place_arguments(parser)


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `import`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what orch store export wrote")
    add_place_arguments(parser)


def run_export(arguments: argparse.Namespace) -> int:
    """Write the file."""
    from orchestrator.store import holding
    from orchestrator.store.closure_file import write_closure

    target: Path = arguments.out.expanduser().absolute()
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is no file", where="-o", hint="name a file to write")
    opened = open_project(arguments)
    layout = opened.store()
    with holding(layout):
        closure = _closure(opened, layout, arguments)
        threads = len(os.sched_getaffinity(0))
        size = write_closure(layout, closure, target, threads=threads, progress=_progress(arguments))
    if arguments.json:
        from orchestrator.cli.document import print_document

        content = {"objects": len(closure.objects), "blobs": len(closure.blobs), "records": len(closure.records)}
        print_document("store", {"what": "export", "name": closure.name, "file": str(target), "bytes": size, **content})
    else:
        blobs = f", {count_text(len(closure.blobs), 'blob')}" if closure.blobs else ""
        held = count_text(len(closure.objects), "object") + blobs
        print(f"wrote {target}: {closure.name}, {held}, {bytes_text(size)}")
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Import the file; say what it held."""
    from orchestrator.image.layout import name_image
    from orchestrator.store.closure_import import import_closure

    path: Path = arguments.file.expanduser().absolute()
    layout = store_of(arguments)
    done = import_closure(layout, path, progress=_progress(arguments))
    for image in done.images:
        name_image(layout, image)
    if arguments.json:
        from orchestrator.cli.document import print_document

        counts = {
            "objects": done.objects, "objects_there": done.objects_there,
            "blobs": done.blobs, "blobs_there": done.blobs_there,
        }  # fmt: skip
        goals = [goal.goal for goal in done.goals]
        images = [image.name for image in done.images]
        print_document("store", {"what": "import", "name": done.name, "goals": goals, "images": images, **counts})
        return 0
    blobs = f", {count_text(done.blobs, 'blob')}" if done.blobs else ""
    came = f"{count_text(done.objects, 'object')} came{blobs}"
    there = done.objects_there + done.blobs_there
    already = f", {there} {'was' if there == 1 else 'were'} there" if there else ""
    print(f"imported {done.kind} {done.name}: {came}{already}")
    command = f"orch {'image' if done.kind == 'image' else 'build'} {done.name}"
    print(f"{command} has nothing left to do, where its recipes are the same")
    return 0


def _progress(arguments: argparse.Namespace) -> _Progress:
    return _Progress(shown=not arguments.json and sys.stderr.isatty())


class _Progress:
    """One line on a terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._shown:
            end = "\n" if done + 1 == total else ""
            print(f"\r\x1b[K{done + 1} of {total}: {what}", end=end, file=sys.stderr, flush=True)


def _closure(opened: Opened, layout: Layout, arguments: argparse.Namespace) -> Closure:
    """What the file is to hold. Raise MachineError if it is not made."""
    from orchestrator.build.passed import passed_checks
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.recipe import load_images
    from orchestrator.store import has_object, read_goal
    from orchestrator.store.closure_file import Closure

    name = arguments.name
    image = None
    if name not in opened.recipes and name in load_images(opened.project).names:
        image, graph = _image(opened, layout, arguments)
    else:
        graph = opened.graph([name], arguments.settings)
    keys = derivation_keys(graph)
    found = [read_goal(layout, closure_key(graph, goal, keys)) for goal in graph.goals]
    goals = [goal for goal in found if goal and all(has_object(layout, item.digest) for item in goal.closure)]
    if image is None and not goals:
        raise _missing(layout, f"orch build {name}", arguments.settings, name)
    objects = dict.fromkeys(item.digest for goal in goals for item in goal.closure)
    if image is not None:
        objects |= dict.fromkeys(one.object for one in image.components if has_object(layout, one.object))
    records = [
        *_realisations(graph, layout, keys),
        *(f"checks/{check.key.hex}.json" for check in passed_checks(graph, layout)),
        *_goals(graph, layout, keys, goals),
    ]
    return Closure(
        name=name,
        kind="goal" if image is None else "image",
        objects=tuple(objects),
        blobs=_blobs(image),
        records=tuple(dict.fromkeys([*records, *_of_image(layout, image)])),
    )


def _missing(layout: Layout, command: str, settings: Sequence[str], name: str) -> MachineError:
    words = "".join(f" --set {text}" for text in settings)
    return MachineError(
        f"{name} is not there with these options", where=str(layout.root), hint=f"make it first: {command}{words}"
    )


def _image(opened: Opened, layout: Layout, arguments: argparse.Namespace) -> tuple[ImageRecord, Graph]:
    from orchestrator.cli.image_goal import finished, image_graph, image_key_of, open_image, refuse

    image = open_image(opened, arguments.name)
    refuse(image)
    graph = image_graph(opened, image, arguments.settings)
    key, _ = image_key_of(image, graph, arguments.compression)
    record = finished(layout, key)
    if record is None:
        raise _missing(layout, f"orch image {arguments.name}", arguments.settings, arguments.name)
    return record, graph


def _realisations(graph: Graph, layout: Layout, keys: dict[str, Digest]) -> Iterator[str]:
    """Records of derivation and build keys; of what is not carried too, so that builds there are cut off as here."""
    from orchestrator.store import read_realisation
    from orchestrator.store.lineage import build_record

    for node in graph.nodes:
        made = read_realisation(layout, keys[node.name])
        if made is None or node.origin == "dirty":
            continue
        built = build_record(layout, made)
        if built is not None:
            yield f"realisations/{built.key.hex}.json"
        yield f"realisations/{made.key.hex}.json"


def _goals(graph: Graph, layout: Layout, keys: dict[str, Digest], goals: Iterable[Goal]) -> Iterator[str]:
    from orchestrator.frozen import replace
    from orchestrator.graph.closure import closure_document
    from orchestrator.store import read_goal_document, write_goal

    for goal in goals:
        if read_goal_document(layout, goal.key) is None:  # an older orch did not keep it
            write_goal(layout, replace(goal, document=closure_document(graph, goal.goal, keys)))
        yield f"goals/documents/{goal.key.hex}.json"
        yield f"goals/{goal.key.hex}.json"


def _blobs(image: ImageRecord | None) -> tuple[Digest, ...]:
    if image is None:
        return ()
    return tuple(dict.fromkeys([*(layer.digest for layer in image.layers), image.config, image.manifest]))


def _of_image(layout: Layout, image: ImageRecord | None) -> Iterator[str]:
    """The records of its layers, and its own last."""
    from orchestrator.digest import Digest
    from orchestrator.store.records import read_record

    if image is None:
        return
    known = {(str(one.digest), one.size, str(one.diff_id)) for one in image.layers}
    for path in sorted(layout.layers.glob("*.json")):
        layer = read_record(layout, path, dict)
        if layer is not None and (layer.get("digest"), layer.get("size"), layer.get("diff_id")) in known:
            yield f"layers/{Digest('blake3', path.stem).hex}.json"
    yield f"images/{image.key.hex}.json"
