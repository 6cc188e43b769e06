"""Make an image and all it needs, check it, run it, and name it; print where it is."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.cli.opening import (
    DEFAULT_JOBS,
    Opened,
    add_place_arguments,
    add_set_argument,
    open_project,
    positive,
    this_platform,
)
from orchestrator.errors import MachineError, RecipeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.build.plan import Plan
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.image.model import Compression
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
# What a wheel becomes: its unpacked tree and its layer, as multiples of its own bytes. Measured on four framework sets.
_TREE, _LAYER = 2.3, 1.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="an image's name: orch images lists them")
    add_set_argument(parser)
    parser.add_argument("-j", "--jobs", type=positive, default=DEFAULT_JOBS, metavar="N", help="builds at once")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=positive, default=cores, metavar="N", help="cores shared among them")
    parser.add_argument(
        "--compression", choices=("zstd", "gzip"), default="zstd", help="of layers (default zstd; gzip is slow)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "-o", "--out", metavar="KIND:PATH", help="write it to oci:DIR, oci-archive:FILE or docker-archive:FILE"
    )
    parser.add_argument("--push", metavar="REF", help="push it to a registry; only layers it lacks travel")
    parser.add_argument("--insecure", action="store_true", help="with --push: a registry without TLS")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the image; its place goes to stdout, all else to stderr."""
    began = time.monotonic()
    if arguments.out is not None:
        from orchestrator.image.export import parse_target

        parse_target(arguments.out)  # now, not after the build
    opened = open_project(arguments)
    image = open_image(opened, arguments.name)
    refuse(image)
    graph = image_graph(opened, image, arguments.settings)
    key, keys = image_key_of(image, graph, arguments.compression)
    layout = opened.store(create=not arguments.dry_run)
    record = finished(layout, key)
    if arguments.dry_run:
        _dry_run(arguments, image, graph, layout, record)
        return 0
    fresh = record is None
    if record is None:
        record = _make(arguments, opened, image, graph, layout, key, keys)
        if record is None:
            return arguments.status  # type: ignore[no-any-return]
    _name_again(layout, record)
    _deliver(arguments, layout, record)
    _report(arguments, layout, record, fresh, time.monotonic() - began)
    if not (fresh or arguments.json or arguments.out or arguments.push):
        from orchestrator.cli.image_answer import remember_image

        remember_image(opened, image, layout, record, arguments.words, f"{place_of(layout, record)}\n")
    return 0


def open_image(opened: Opened, name: str) -> Image:
    """The image recipe of that name; raise UsageError if there is none, RecipeError if it is wrong."""
    from orchestrator.recipe import load_images
    from orchestrator.recipe.parse import suggestion

    images = load_images(opened.project)
    if name not in images:
        hint = suggestion(name, images, label="images")
        if name in opened.recipes:
            hint = f"{name} is a recipe: orch build {name}"
        raise UsageError(f"there is no image {name!r}", hint=hint)
    return images[name]


def refuse(image: Image) -> None:
    """Raise RecipeError if the image cannot be made here: another platform, or nobody wrote its lock."""
    platform, document = this_platform(), image.document
    if platform in document.refuses or platform not in document.platforms:
        raise RecipeError(
            f"{image.name} cannot be made for {platform}",
            where=f"{image.where}: {'refuses' if platform in document.refuses else 'platforms'}",
            why=document.refuses.get(platform, f"it is made for {', '.join(document.platforms)}"),
        )
    if image.lock_missing:
        python = document.python
        assert python is not None
        index = f"; it reads {', '.join(python.indexes)}, so run it where that answers" if python.indexes else ""
        raise RecipeError(
            f"{image.name} is not locked",
            where=f"{image.where}: python.lock",
            why=f"{python.lock} is not there: nobody has said which wheels, by hash, it is made of",
            hint=f"write it: orch lock {image.name}{index}",
        )


def image_graph(opened: Opened, image: Image, settings: Sequence[str]) -> Graph:
    """The graph of all that the image is made of, under its own options and, over them, those of the command line."""
    from orchestrator.graph.environment import with_environment

    given = {text.partition("=")[0] for text in settings}
    own = [f"{name}={value}" for name, value in image.document.options.items() if name not in given]
    base = image.document.base
    # Beside a base from a registry, the recipe's Python makes the bytecode.
    below = (base.recipe,) if base.from_ is None or image.document.python is not None else ()
    goals = tuple(dict.fromkeys((*image.document.components, *below)))
    try:
        graph = opened.graph(goals, [*own, *settings])
    except UsageError as error:
        if not any(text.partition("=")[0] in error.what for text in own):
            raise
        raise RecipeError(error.what, where=f"{image.where}: options", why=error.why, hint=error.hint) from error
    return with_environment(graph, image, base=base.recipe)


def image_key_of(image: Image, graph: Graph, compression: Compression) -> tuple[Digest, dict[str, Digest]]:
    """The image's key, and the derivation keys of all that it is made of."""
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.image.key import image_key
    from orchestrator.image.layer import encoder

    keys = derivation_keys(graph)
    return image_key(image, graph, keys, compression=compression, encoder=encoder(compression)), keys


def finished(layout: Layout, key: Digest) -> ImageRecord | None:
    """The image of that key if it was made and all its blobs are there."""
    from orchestrator.store import has_blob, read_image

    record = read_image(layout, key)
    if record is None:
        return None
    blobs = [(record.manifest, record.manifest_size), (record.config, record.config_size)]
    blobs += [(layer.digest, layer.size) for layer in record.layers]
    return record if all(has_blob(layout, digest, size) for digest, size in blobs) else None


def _plan(image: Image, graph: Graph, layout: Layout) -> Plan:
    from orchestrator.build.known import StoreKnown
    from orchestrator.build.plan import make_plan
    from orchestrator.image.components import component_names

    return make_plan(graph, StoreKnown(layout=layout), component_names(graph, image))


def needed_bytes(plan: Plan) -> tuple[int, int, int]:
    """About how many bytes the plan's downloads, its wheels' trees and their layers take."""
    fetch = sum(source.size or 0 for source in plan.fetch)
    wheels = sum(
        source.size or 0
        for step in plan.steps
        if step.action == "build" and step.node.builder == "wheel"
        for source in step.node.sources
    )
    return fetch, int(_TREE * wheels), int(_LAYER * wheels)


def _dry_run(
    arguments: argparse.Namespace, image: Image, graph: Graph, layout: Layout, record: ImageRecord | None
) -> None:
    from orchestrator.cli.plan import show_plan

    if record is not None and not arguments.json:
        print(f"{image.name}: nothing to do, {record.manifest} is there")
        return
    plan, jobs, base = _plan(image, graph, layout), min(arguments.jobs, arguments.cores), _absent_base(image, layout)
    show_plan(graph, plan, layout, as_json=arguments.json, verb="image", jobs=jobs, base=base)
    if not arguments.json:
        fetch, trees, layers = needed_bytes(plan)
        free = _free(layout)
        text = f"{bytes_text(fetch)} to fetch, {bytes_text(trees)} of trees, {bytes_text(layers)} of layers"
        more = " and its base image" if base is not None else ""
        print(f"needs about {bytes_text(fetch + trees + layers)} ({text}){more}; {bytes_text(free)} are free")


def _absent_base(image: Image, layout: Layout) -> str | None:
    """The image in a registry that has to be fetched first, if there is one. No registry is asked."""
    from orchestrator.fetch.oci import image_in_store

    name, where = image.document.base.from_, f"{image.where}: base.from"
    if name is None or image_in_store(layout, name, platform=this_platform(), where=where) is not None:
        return None
    return name


def _free(layout: Layout) -> int:
    place = layout.root
    while not place.exists():
        place = place.parent
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def _refuse_full_disk(image: Image, plan: Plan, layout: Layout) -> None:
    from orchestrator.image.registry_base import base_needs

    fetch, trees, layers = needed_bytes(plan)
    more, tree = base_needs(layout, image, this_platform())
    fetch, trees = fetch + more, trees + tree
    needed, free = fetch + trees + layers, _free(layout)
    if needed > free:
        raise MachineError(
            f"{image.name} needs about {bytes_text(needed)} of disk, and {bytes_text(free)} are free",
            where=str(layout.root),
            why=f"{bytes_text(fetch)} to fetch, {bytes_text(trees)} of unpacked trees, {bytes_text(layers)} of layers",
            hint=f"free {bytes_text(needed - free)}, or use a store on another disk: --store DIR",
        )


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
    import asyncio

    from orchestrator.build.realise import Engine, RunOptions
    from orchestrator.cli.build import tell_failures
    from orchestrator.cli.estimate import estimate
    from orchestrator.cli.progress import progress
    from orchestrator.image.assemble import Assembly, assemble
    from orchestrator.image.components import component_names, make_components
    from orchestrator.image.environment import image_environment, image_ldconf
    from orchestrator.image.registry_base import base_components, registry_base, with_base_environment
    from orchestrator.sandbox.probe import probe
    from orchestrator.store import sweep

    probe()
    sweep(layout)
    plan = _plan(image, graph, layout)
    _refuse_full_disk(image, plan, layout)
    environment, ldconf = image_environment(graph, image), image_ldconf(graph, image)
    names = component_names(graph, image)
    options = RunOptions(jobs=min(arguments.jobs, arguments.cores), cores=arguments.cores)
    with progress(plan, estimate(plan, layout, options.jobs)) as monitor:
        base = registry_base(layout, image, this_platform(), monitor=monitor)  # first: it may be unfit
        engine = Engine(graph, layout, options=options, fetch=opened.fetcher(layout, monitor), monitor=monitor)
        report = asyncio.run(engine.realise(objects=names))
        if report.failures:
            again = " ".join(["orch image", image.name, *(f"--set {text}" for text in arguments.settings)])
            arguments.status = tell_failures(report, as_json=arguments.json, verb="image", again=again)
            return None
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
        return assemble(assembly, layout, workers=arguments.cores, monitor=monitor, stop=threading.Event())


def _name_again(layout: Layout, record: ImageRecord) -> None:
    """The layout's name leads to this image, whichever was made last: options may have changed and changed back."""
    from orchestrator.image.layout import name_image

    name_image(layout, record)


def _deliver(arguments: argparse.Namespace, layout: Layout, record: ImageRecord) -> None:
    if arguments.out is not None:
        from orchestrator.image.export import export, parse_target

        export(layout, record, parse_target(arguments.out))
    if arguments.push is not None:
        from orchestrator.image.export import push

        def say(line: str) -> None:
            print(line, file=sys.stderr)

        push(layout, record, arguments.push, insecure=arguments.insecure, say=say)


def place_of(layout: Layout, record: ImageRecord) -> str:
    """What names the image for other programs."""
    return f"oci:{layout.root / 'oci'}:{record.name}"


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
    if fresh:
        text = f"{len(record.layers)} layers, {bytes_text(size)} ({bytes_text(record.unpacked)} unpacked)"
        print(f"{record.name}  {record.manifest}  {text}, {seconds_text(seconds)}", file=sys.stderr)
        if record.waived:
            print(f"{len(record.waived)} findings are waived: orch images --json names them", file=sys.stderr)
    print(place_of(layout, record))
