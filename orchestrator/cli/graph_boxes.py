"""From a graph, its plan and a store to what a picture shows: the state, size and time of every component."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.cli.drawing.picture import STATES, Box, Edge, Picture, State, edges_of, grouped
from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from orchestrator.build.plan import Plan, Step
    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph, Node
    from orchestrator.recipe import Image
    from orchestrator.store import ImageRecord, Layout

THIS_RUN = "this run: "
_RUNS = 20  # that are looked through for what failed last time


@frozen
class _Facts:
    """What is asked for each node."""

    layout: Layout
    keys: Mapping[str, Digest]
    steps: Mapping[str, Step]  # builds, by node
    checks: Mapping[str, Step]
    failed: Mapping[str, str]  # how it failed last time, by node
    sizes: Mapping[Digest, int]  # of objects, where a record tells
    ran: Mapping[str, str]  # what a run did, by node

    def box(self, node: Node) -> Box:
        from orchestrator.store import has_object, read_realisation

        made = read_realisation(self.layout, self.keys[node.name]) if node.locked else None
        output = made.output if made is not None else None
        there = output is not None and has_object(self.layout, output)
        state, reason = self._state(node, there=there)
        return Box(
            name=node.name,
            version=node.version,
            origin=node.origin,
            state=state,
            bytes=self._size(output) if there and output is not None else None,
            seconds=made.seconds if made is not None else None,
            reason=reason,
            ran=self.ran.get(node.name, ""),
        )

    def _state(self, node: Node, *, there: bool) -> tuple[State, str]:
        from orchestrator.build.known import StoreKnown

        if not node.locked:
            security = " --security" if node.version.endswith("-security") else ""
            command = f"lock {node.name}{security}" if node.is_base else f"source lock {node.name}@{node.version}"
            return "not locked", f"a hash of its sources is not known yet: orch {command}"
        step = self.steps.get(node.name)
        if step is not None and step.action == "build":
            known = StoreKnown(layout=self.layout)
            if node.name in self.failed:
                return "failed", self.failed[node.name]
            if step.maybe:
                return "perhaps", step.reason
            away = [one for one in node.sources if not one.at_hand and not known.source(one)]
            return "to fetch" if away else "to build", step.reason
        if node.name in self.checks:
            if node.name in self.failed:
                return "failed", self.failed[node.name]
            return "to check", self.checks[node.name].reason
        return ("in store" if there else "absent"), ""

    def _size(self, output: Digest) -> int:
        from orchestrator.store import read_manifest

        return self.sizes[output] if output in self.sizes else read_manifest(self.layout, output).size


def graph_picture(
    graph: Graph,
    plan: Plan,
    layout: Layout,
    *,
    everything: bool = False,
    sizes: Mapping[Digest, int] | None = None,
    ran: Mapping[str, str] | None = None,
) -> Picture:
    """The picture of a graph whose goals are planned. `sizes` are those of outputs, as far as they are known already;
    `ran` says what a run did with a node."""
    from orchestrator.graph.keys import derivation_keys

    steps = {step.node.name: step for step in plan.steps if step.action != "check"}
    checks = {step.node.name: step for step in plan.steps if step.action == "check"}
    facts = _Facts(
        layout=layout,
        keys=derivation_keys(graph),
        steps=steps,
        checks=checks,
        failed=_failed(layout) if plan.steps else {},
        sizes=sizes or {},
        ran=ran or {},
    )
    settings = " ".join(f"{name}={value}" for name, value in graph.options)
    return Picture(
        title=", ".join(graph.goals) + (f" ({settings})" if settings else ""),
        roots=graph.goals,
        boxes=tuple(facts.box(node) for node in graph.nodes),
        edges=edges_of(graph, everything=everything),
    )


def _failed(layout: Layout) -> dict[str, str]:
    """How nodes failed in the newest run that tried them."""
    from itertools import islice

    from orchestrator.store import recent_builds

    found: dict[str, str] = {}
    for run in islice(recent_builds(layout), _RUNS):
        for step in reversed(run.steps):
            if step.node and step.outcome not in ("interrupted", "same"):
                found.setdefault(step.node, step.detail or "it failed" if step.outcome == "failed" else "")
    return {name: how for name, how in found.items() if how}


def image_picture(
    graph: Graph,
    image: Image,
    plan: Plan,
    layout: Layout,
    record: ImageRecord | None,
    *,
    everything: bool = False,
    wheels: bool = False,
    ran: Mapping[str, str] | None = None,
) -> Picture:
    """The picture of an image over what it is made of: its wheels as one box, or with `wheels` each by itself."""
    from orchestrator.graph.environment import BYTECODE, is_wheel
    from orchestrator.store import latest_image

    last = record or latest_image(layout, image.name)
    sizes = {one.object: one.unpacked for one in last.components if not one.excluded} if last is not None else {}
    below = graph_picture(graph, plan, layout, everything=everything, sizes=sizes, ran=ran)
    of_wheels = [box for box in below.boxes if is_wheel(box.name)]
    settings = " ".join(f"{name}={value}" for name, value in graph.options)
    top = Box(
        name=image.name,
        version=image.document.version,
        state="in store" if record is not None else "to build",
        bytes=record.unpacked if record is not None else None,
        kind="image",
        reason="" if record is not None else "the image is assembled of what is below",
    )
    base = () if image.document.base.from_ else (image.document.base.recipe,)
    bytecode = (BYTECODE,) if BYTECODE in graph else ()
    each = [box.name for box in of_wheels] if everything or not wheels else []  # else they hang below their bytecode
    edges = [
        Edge(source=top.name, target=name, kind="runtime")
        for name in (*image.document.components, *base, *bytecode, *each)
    ]
    picture = Picture(
        title=f"{image.name}{f' ({settings})' if settings else ''}",
        roots=(top.name,),
        boxes=(top, *below.boxes),
        edges=(*edges, *below.edges),
    )
    return picture if wheels or not of_wheels else grouped(picture, [box.name for box in of_wheels], _group(of_wheels))


def _group(boxes: list[Box]) -> Box:
    """One box for many; its state is that of those with most to do."""
    order: list[State] = ["failed", "not locked", "to fetch", "to build", "perhaps", "to check", "absent", "in store"]
    state = min((box.state for box in boxes), key=order.index)
    sizes = [box.bytes for box in boxes]
    counts = [f"{n} {one}" for one in STATES if (n := sum(box.state == one for box in boxes))]
    return Box(
        name=f"{len(boxes)} wheels",
        origin="vendor",
        state=state,
        bytes=sum(size or 0 for size in sizes) if any(size is not None for size in sizes) else None,
        reason=", ".join(counts) if len(counts) > 1 else "",
        holds=tuple(box.label.removeprefix("wheel:") for box in boxes),
        ran=_together(boxes),
    )


def _together(boxes: list[Box]) -> str:
    """`this run: 3 built, 1 failed`."""
    counts = Counter(box.ran.removeprefix(THIS_RUN) for box in boxes if box.ran)
    return THIS_RUN + ", ".join(f"{count} {text}" for text, count in counts.items()) if counts else ""
