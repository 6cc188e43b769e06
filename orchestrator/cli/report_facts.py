"""What a report needs, asked of a store and of the recipes as they are now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.complaint import harmless
from orchestrator.cli.drawing.facts import Facts, ImageFacts, LayerFacts, RunFacts, StepFacts
from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from orchestrator.cli.drawing.picture import Picture
    from orchestrator.cli.opening import Opened
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import BuildRecord, ImageRecord, Layout, StepRecord

_DID = {"built": "built", "same": "cut off", "failed": "failed", "differs": "differs", "interrupted": "interrupted"}
_LINES = 30  # of a log
_FAILED_LINES = 80
_BYTES = 64 << 10  # of a log that are looked at
_LINE = 400  # characters of one line


def gather(opened: Opened, layout: Layout, build: BuildRecord | None, image: ImageRecord | None) -> Facts:
    """The facts of a run, an image, or the run that made one."""
    graph: Graph | None = None
    picture: Picture | None = None
    why = ""
    try:
        graph, picture = _picture(opened, layout, build, image)
    except OrchError as error:
        why = f"It is not drawn: {error.what}."
    return Facts(
        run=_run(layout, build, graph) if build is not None else None,
        image=_image(image) if image is not None else None,
        picture=picture,
        no_picture=why,
        store=str(layout.root),
    )


def _picture(
    opened: Opened, layout: Layout, build: BuildRecord | None, image: ImageRecord | None
) -> tuple[Graph, Picture]:
    """The graph of what was asked for then, by the recipes of now."""
    from orchestrator.cli.graph_boxes import THIS_RUN, graph_picture, image_picture
    from orchestrator.cli.image_goal import finished, image_graph, open_image
    from orchestrator.cli.image_needs import plan_image

    options = build.options if build is not None else image.options if image is not None else ()
    settings = [f"{name}={value}" for name, value in options]
    steps = build.steps if build is not None else ()
    ran = {
        step.node: THIS_RUN + _DID[step.outcome]
        for step in steps
        if step.outcome in _DID and (step.step.startswith("build ") or step.outcome == "failed")
    }
    if build is not None and build.verb != "image":
        graph = opened.graph(build.goals, settings, showing=True)
        return graph, graph_picture(graph, opened.plan(graph, layout), layout, ran=ran)
    name = image.name if image is not None else build.goals[0] if build is not None else ""
    image = finished(layout, image.key) if image is not None else None
    recipe = open_image(opened, name)
    graph = image_graph(opened, recipe, settings)
    return graph, image_picture(graph, recipe, plan_image(recipe, graph, layout), layout, image, ran=ran)


def _run(layout: Layout, build: BuildRecord, graph: Graph | None) -> RunFacts:
    return RunFacts(
        id=build.id,
        verb=build.verb,
        goals=build.goals,
        command=shlex.join(["orch", *build.words]),
        began=build.began,
        seconds=build.seconds,
        ending=build.ending,
        expected=build.expected,
        jobs=build.jobs,
        cores=build.cores,
        fetched=build.fetched,
        fetching=build.fetching,
        steps=tuple(_step(layout, step) for step in sorted(build.steps, key=lambda step: (step.began, step.step))),
        needs=_needs(layout, build, graph),
    )


def _step(layout: Layout, step: StepRecord) -> StepFacts:
    from orchestrator.store import latest_realisation

    lines, cut = _tail(layout, step.log, _FAILED_LINES if step.outcome == "failed" else _LINES)
    saved = 0.0
    if step.outcome == "same" and step.step.startswith("build "):
        last = latest_realisation(layout, step.node)
        saved = last.seconds if last is not None else 0.0
    return StepFacts(
        step=step.step,
        version=step.version,
        outcome=step.outcome,
        began=step.began,
        seconds=step.seconds,
        expected=step.expected,
        reason=step.reason,
        detail=step.detail,
        log=step.log,
        tail=lines,
        cut=cut,
        saved=saved,
    )


def _tail(layout: Layout, log: str, most: int) -> tuple[tuple[str, ...], bool]:
    """The last lines of a log of the store, and whether there are more; none of a file that lies elsewhere."""
    path = Path(os.path.normpath(layout.root / log))
    if not log or not path.is_relative_to(layout.logs):
        return (), False
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            data = file.read(_BYTES)
    except OSError:
        return (), False
    lines = [_shown(line) for line in data.decode("utf-8", "replace").split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return tuple(lines[-most:]), len(lines) > most or size > _BYTES


def _shown(line: str) -> str:
    """A line as a terminal would leave it: what was written over is gone."""
    text = harmless(line.rstrip("\r").rpartition("\r")[2]).expandtabs(8)
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


def _needs(layout: Layout, build: BuildRecord, graph: Graph | None) -> Mapping[str, frozenset[str]]:
    """The steps whose end each step had to wait for. What makes an image comes after all builds and checks."""
    kinds = ("build ", "check ")
    there = {step.step: step for step in build.steps}
    work = frozenset(name for name in there if name.startswith(kinds))
    return {name: _direct(layout, step, graph) if name in work else work for name, step in there.items()}


def _direct(layout: Layout, step: StepRecord, graph: Graph | None) -> frozenset[str]:
    """What a build or a check was made of: by its record, else by the recipes of now."""
    from orchestrator.store import recent_realisations

    name = step.node
    if step.step.startswith("build "):
        for made in recent_realisations(layout, name):
            if made.log == step.log:
                return frozenset(f"build {one}" for one in made.document.get("inputs", ()))
        return frozenset(f"build {one}" for one in graph[name].build) if graph and name in graph else frozenset()
    if step.step.startswith("check "):
        node = graph[name] if graph and name in graph else None
        others = (*node.runtime, *(node.check.inputs if node.check else ())) if node else ()
        return frozenset(f"build {one}" for one in (name, *others))
    return frozenset()


def _image(record: ImageRecord) -> ImageFacts:
    return ImageFacts(
        name=record.name,
        version=record.version,
        manifest=str(record.manifest),
        layers=tuple(
            LayerFacts(name=one.name, bytes=one.size, unpacked=one.unpacked, components=one.components)
            for one in record.layers
        ),
        sizes=tuple((f"{one.name} {one.version}", one.unpacked) for one in record.components),
        unpacked=record.unpacked,
        waived=record.waived,
        off=record.off,
    )
