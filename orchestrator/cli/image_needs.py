"""What an image is going to need, before any work: the plan, and the room on the disk."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import this_platform
from orchestrator.errors import MachineError

if TYPE_CHECKING:
    from orchestrator.build.plan import Plan
    from orchestrator.build.substitute import Offers
    from orchestrator.graph.derivation import Graph
    from orchestrator.recipe import Image
    from orchestrator.store import ImageRecord, Layout

# What a wheel becomes: its unpacked tree and its layer, as multiples of its own bytes. Measured on four framework sets.
_TREE, _LAYER = 2.3, 1.2
_OTHER_TREE = 4.0  # of .debs, which are packed more tightly


def plan_image(image: Image, graph: Graph, layout: Layout, offers: Offers | None = None) -> Plan:
    """The plan of all that the image is made of."""
    from orchestrator.build.known import StoreKnown
    from orchestrator.build.plan import make_plan
    from orchestrator.image.components import component_names

    return make_plan(graph, StoreKnown(layout=layout), component_names(graph, image), offers)


def needed_bytes(plan: Plan) -> tuple[int, int, int]:
    """About how many bytes the plan's downloads, the trees that it makes and their layers take."""
    fetch = sum(source.size or 0 for source in plan.fetch)
    packed = {True: 0, False: 0}  # bytes of the sources of wheels, and of all else
    for step in plan.steps:
        if step.action == "build" and not step.maybe:
            packed[step.node.builder == "wheel"] += sum(source.size or 0 for source in step.node.sources)
    return fetch, int(_TREE * packed[True] + _OTHER_TREE * packed[False]), int(_LAYER * (packed[True] + packed[False]))


def dry_run(
    arguments: argparse.Namespace,
    image: Image,
    graph: Graph,
    layout: Layout,
    record: ImageRecord | None,
    offers: Offers | None = None,
) -> None:
    """Print what `orch image` would do, and how much disk that needs."""
    from orchestrator.build.past import estimate
    from orchestrator.cli.plan import show_plan

    if record is not None and not arguments.json:
        print(f"{image.name}: nothing to do, {record.manifest} is there")
        return
    plan, jobs, base = (
        plan_image(image, graph, layout, offers),
        min(arguments.jobs, arguments.cores),
        _absent_base(image, layout),
    )
    forecast = estimate(plan, layout, jobs, cores=arguments.cores, image=image.name)
    show_plan(graph, plan, forecast, as_json=arguments.json, verb="image", image=image.name, base=base)
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


def refuse_full_disk(image: Image, plan: Plan, layout: Layout) -> None:
    """Raise MachineError if the disk has less room than all of it is going to take."""
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
