"""Why an image is made again, as far as records tell: its components, its options, its lock and what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.image_goal import finished, image_graph, image_key_of, open_image, refuse
from orchestrator.cli.why import Answer, against, coming, steps_of
from orchestrator.cli.why_past import Past, past_image, run_of_image
from orchestrator.frozen import replace

if TYPE_CHECKING:
    from orchestrator.cli.opening import Opened
    from orchestrator.graph.derivation import Graph
    from orchestrator.recipe import Image
    from orchestrator.store import ImageRecord, Layout


def image_answer(opened: Opened, name: str, settings: Sequence[str]) -> Answer:
    """All that is known of an image. Raise UsageError, RecipeError or MachineError."""
    from orchestrator.cli.image_needs import plan_image
    from orchestrator.cli.substituting import offers_of
    from orchestrator.graph.causes import side_of

    image = open_image(opened, name)
    refuse(image)
    graph = image_graph(opened, image, settings)
    layout = opened.store(create=False)
    key, keys = image_key_of(image, graph, "zstd")
    current = finished(layout, key)
    told = Answer(
        name=name,
        image=True,
        options=graph.options,
        graph=graph,
        side=side_of(graph, keys),
        done=current is not None,
        key=str(key),
    )
    if current is None:
        told = coming(told, plan_image(image, graph, layout, offers_of(opened, graph, layout)), layout)
    else:
        run = run_of_image(layout, current)
        when = run.began + run.seconds if run is not None else 0.0
        told = steps_of(replace(told, finished=when), run, layout, keys)
    before = _before(layout, name, str(key), graph)
    if before is None:
        return told
    past = past_image(layout, before, told.side)
    told = against(replace(told, same_options=before.options == graph.options), opened, past)
    return replace(told, notes=tuple(_notes(image, graph, before, past, told)))


def _before(layout: Layout, name: str, key: str, graph: Graph) -> ImageRecord | None:
    """The newest image of that name with another key: one with the same options if there is one."""
    from orchestrator.store import latest_image, list_images, recent_builds

    records = [record for record in list_images(layout) if record.name == name and str(record.key) != key]
    order = {run.outputs.get(name, ""): run.began for run in reversed(list(recent_builds(layout, name)))}
    latest = latest_image(layout, name)
    records.sort(key=lambda record: (order.get(str(record.manifest), 0.0), record == latest), reverse=True)
    alike = [record for record in records if record.options == graph.options]
    return next(iter(alike or records), None)


def _notes(image: Image, graph: Graph, before: ImageRecord, past: Past, told: Answer) -> Iterator[str]:
    """What differs beside the components."""
    document = image.document
    if before.version != document.version:
        yield f"version: {before.version} -> {document.version}"
    was, now = dict(before.options), dict(graph.options)
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield f"option {name}: {was.get(name, 'not set')} -> {now.get(name, 'not set')}"
    if sorted(before.off) != sorted(document.checks.off):
        off = ", ".join(sorted(document.checks.off)) or "none"
        yield f"checks that are off: {', '.join(sorted(before.off)) or 'none'} -> {off}"
    wheels = {one.name: one.version for one in before.components if one.kind == "wheel"}
    locked = {node.name: node.version for node in graph.nodes if node.builder == "wheel"}
    if wheels != locked:
        moved = [name for name in wheels.keys() & locked.keys() if wheels[name] != locked[name]]
        come, gone = len(locked.keys() - wheels.keys()), len(wheels.keys() - locked.keys())
        yield f"lock: {len(moved)} wheels at another version, {come} more, {gone} fewer, of {len(wheels)}"
    found = told.found
    if found is not None and not found.nodes and not found.checks:
        where = image.where.rpartition("/")[0]
        yield (
            f"no component moved: something else in {where}/ did (layout, configuration, checks, waivers, the [run] "
            "files, rows of the lock that recipes stand in for) or the compressor; which is not recorded"
        )
