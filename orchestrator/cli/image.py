"""Make an image and all it needs, check it, run it, and name it; print where it is."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.cli.image_goal import finished, image_graph, image_key_of, open_image, refuse
from orchestrator.cli.image_needs import dry_run, plan_image, refuse_full_disk
from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.cli.opening import (
    DEFAULT_JOBS,
    Opened,
    add_place_arguments,
    add_set_argument,
    add_source_argument,
    open_project,
    positive,
    this_platform,
)
from orchestrator.cli.progress import add_log_format_argument
from orchestrator.cli.substituting import add_substitute_argument, offers_of

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.recipe import Image
    from orchestrator.store import ImageRecord, Layout

EPILOG = """\
The image is in the store's one OCI layout; what is printed can be given to skopeo, podman or
buildah. Layers that images share are stored once, and what exists is neither read nor made again.

examples:
  orch image sglang-cu12
  orch image sglang-cu12 --dry-run                  what it would do, and how much it needs
  orch image sglang-cu12 -o docker-archive:sglang.tar
  orch image sglang-cu12 --push registry.example.com/team/sglang:cu12
  orch image sglang-cu12 --set nixl.version=0.10.1
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="an image's name: orch images lists them")
    add_set_argument(parser)
    add_source_argument(parser)
    parser.add_argument("-j", "--jobs", type=positive, default=DEFAULT_JOBS, metavar="N", help="builds at once")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=positive, default=cores, metavar="N", help="cores shared among them")
    parser.add_argument(
        "--compression", choices=("zstd", "gzip"), default="zstd", help="of layers (default zstd; gzip is slow)"
    )
    parser.add_argument("--keep-failed", action="store_true", help="keep a failed build's directory")
    add_substitute_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "-o", "--out", metavar="KIND:PATH", help="write it to oci:DIR, oci-archive:FILE or docker-archive:FILE"
    )
    parser.add_argument("--push", metavar="REF", help="push it to a registry; only layers it lacks travel")
    parser.add_argument("--insecure", action="store_true", help="with --push: a registry without TLS")
    add_log_format_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the image; its place goes to stdout, all else to stderr."""
    began = time.monotonic()
    if arguments.out is not None:
        from orchestrator.image.export import parse_target, refuse_target

        refuse_target(parse_target(arguments.out))  # now, not after the build
    if arguments.push is not None:
        from orchestrator.image.push import check_ref

        check_ref(arguments.push)
    opened = open_project(arguments)
    image = open_image(opened, arguments.name)
    refuse(image)
    graph = image_graph(opened, image, arguments.settings)
    if arguments.push is not None:
        from orchestrator.graph.dirty import dirty_names
        from orchestrator.image.push import refuse_dirty

        refuse_dirty(image.name, dirty_names(graph))  # now, not after the build
    key, keys = image_key_of(image, graph, arguments.compression)
    layout = opened.store(create=not arguments.dry_run)
    record = finished(layout, key)
    if arguments.dry_run:
        dry_run(arguments, image, graph, layout, record, offers_of(opened, graph, layout, arguments))
        return 0
    fresh = record is None
    if record is None:
        record = _make(arguments, opened, image, graph, layout, key, keys)
        if record is None:
            return arguments.status  # type: ignore[no-any-return]
    _name_again(layout, record)
    _deliver(arguments, layout, record)
    _report(arguments, layout, record, fresh, time.monotonic() - began)
    if not (fresh or arguments.json or arguments.out or arguments.push or opened.own_sources):
        from orchestrator.cli.image_answer import remember_image

        remember_image(opened, image, layout, record, arguments.words, f"{place_of(layout, record)}\n")
    return 0


def _make(
    arguments: argparse.Namespace,
    opened: Opened,
    image: Image,
    graph: Graph,
    layout: Layout,
    key: Digest,
    keys: dict[str, Digest],
) -> ImageRecord | None:
    """Build what is missing and assemble; None, with `arguments.status` set, where builds failed and it was said."""

    from orchestrator.build.past import estimate
    from orchestrator.build.realise import Engine
    from orchestrator.build.run_options import RunOptions
    from orchestrator.cli.ending import tell_failures
    from orchestrator.cli.floor import keep_floor
    from orchestrator.cli.main import leave
    from orchestrator.cli.recorded import recorded
    from orchestrator.image.assemble import Assembly, assemble
    from orchestrator.image.components import component_names, make_components
    from orchestrator.image.environment import image_environment, image_ldconf
    from orchestrator.image.registry_base import base_components, registry_base, with_base_environment
    from orchestrator.sandbox.probe import probe
    from orchestrator.store import sweep

    probe()
    sweep(layout)
    offers = offers_of(opened, graph, layout, arguments)
    plan = plan_image(image, graph, layout, offers)
    refuse_full_disk(image, plan, layout)
    environment, ldconf = image_environment(graph, image), image_ldconf(graph, image)
    names = component_names(graph, image)
    jobs = min(arguments.jobs, arguments.cores)
    forecast = estimate(plan, layout, jobs, cores=arguments.cores, image=image.name)
    options = RunOptions(
        jobs=jobs,
        cores=arguments.cores,
        keep_failed=arguments.keep_failed,
        urgency=forecast.urgency(),
        after=forecast.after(),
    )
    with recorded("image", arguments, plan, forecast, options, graph, layout) as run:
        monitor = run.monitor
        keep_floor(opened.project, graph, layout)
        base = registry_base(layout, image, this_platform(), monitor=monitor)  # first: it may be unfit
        indexes = image.document.python.indexes if image.document.python is not None else ()
        fetch = opened.fetcher(layout, monitor, indexes=indexes)
        engine = Engine(graph, layout, options=options, fetch=fetch, monitor=monitor, offers=offers)
        report = run.report = engine.run(objects=names, again=leave)
        if not report.failures:
            assembly = Assembly(
                image=image,
                key=key,
                components=(*base_components(image, base), *make_components(graph, image, report.objects, keys)),
                environment=with_base_environment(environment, base),
                ldconf=ldconf,
                platform=this_platform(),
                options=graph.options,
                compression=arguments.compression,
                base=base,
            )
            record = assemble(assembly, layout, workers=arguments.cores, monitor=monitor, stop=threading.Event())
            run.outputs[image.name] = str(record.manifest)
    if report.failures:
        arguments.status = tell_failures(run, arguments, verb="image")
        return None
    return record


def _name_again(layout: Layout, record: ImageRecord) -> None:
    """The layout's name leads to this image, whichever was made last: options may have changed and changed back."""
    from orchestrator.image.layout import name_image

    name_image(layout, record)


def _deliver(arguments: argparse.Namespace, layout: Layout, record: ImageRecord) -> None:
    if arguments.out is not None:
        from orchestrator.image.export import export, parse_target

        export(layout, record, parse_target(arguments.out))
        print(f"wrote {arguments.out}", file=sys.stderr)
    if arguments.push is not None:
        from orchestrator.image.export import push

        def say(line: str) -> None:
            print(line, file=sys.stderr)

        push(layout, record, arguments.push, insecure=arguments.insecure, say=say)


def place_of(layout: Layout, record: ImageRecord) -> str:
    """What names the image for other programs."""
    return f"oci:{layout.root / 'oci'}:{record.name}"


def dirty_components(record: ImageRecord) -> tuple[str, ...]:
    """The components that were made of a developer's own tree, or with one that was."""
    return tuple(one.name for one in record.components if one.origin == "dirty")


def image_content(layout: Layout, record: ImageRecord) -> dict[str, Any]:
    """The image as `--json` tells it."""
    return {
        "name": record.name,
        "version": record.version,
        "place": place_of(layout, record),
        "manifest": str(record.manifest),
        "config": str(record.config),
        "key": str(record.key),
        "bytes": sum(layer.size for layer in record.layers),
        "unpacked_bytes": record.unpacked,
        "layers": [
            {
                "name": layer.name,
                "digest": str(layer.digest),
                "diff_id": str(layer.diff_id),
                "bytes": layer.size,
                "unpacked_bytes": layer.unpacked,
                "components": list(layer.components),
            }
            for layer in record.layers
        ],
        "dirty": list(dirty_components(record)),
        "waived": list(record.waived),
        "checks_off": list(record.off),
    }


def _report(arguments: argparse.Namespace, layout: Layout, record: ImageRecord, fresh: bool, seconds: float) -> None:
    if arguments.json:
        from orchestrator.cli.document import print_document

        content = image_content(layout, record) | {"made": fresh, "seconds": round(seconds, 3)}
        print_document("image", content)
        return
    size = sum(layer.size for layer in record.layers)
    if dirty := dirty_components(record):
        print(f"dirty: {', '.join(dirty)}", file=sys.stderr)
    if fresh:
        text = f"{len(record.layers)} layers, {bytes_text(size)} ({bytes_text(record.unpacked)} unpacked)"
        print(f"{record.name}  {record.manifest}  {text}, {seconds_text(seconds)}", file=sys.stderr)
        if record.waived:
            print(f"{len(record.waived)} findings are waived: orch images --json names them", file=sys.stderr)
    print(place_of(layout, record))
