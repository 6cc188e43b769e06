"""Which component goes into which layer. Pure.

What is big has a layer of its own, so that images which share it share the layer, byte for byte. What is small goes
into groups by a hash of its name: a component that comes or goes changes one group, not all that follow.
"""

from __future__ import annotations

from orchestrator.digest import blake3_bytes
from orchestrator.image.model import Component, LayerPart, LayerPlan, View

MAX_LAYERS = 100  # container engines of today take 127
GROUPS = 8
OWN_LAYER_FROM = 16 << 20  # bytes of files: a layer costs a puller a request


def plan_layers(view: View, *, below: int = 0) -> tuple[LayerPlan, ...]:
    """The layers of an image, bottom first: the base, then the biggest first, and the system's last. A component whose
    layers are there already (the tree of a base image, which has `below` of them) is in none."""
    sizes = {
        component.name: _size(view, index)
        for index, component in enumerate(view.components)
        if component.kind != "base" or component.key is not None
    }
    parts = [component for component in view.components if component.name in sizes]
    bottom = [component for component in parts if component.kind == "base"]
    top = [component for component in parts if component.kind == "system"]
    middle = [component for component in parts if component.kind not in ("base", "system")]
    middle.sort(key=lambda component: (-sizes[component.name], component.name))
    always = [component for component in middle if component.kind != "wheel"]
    room = MAX_LAYERS - below - len(bottom) - len(top) - len(always) - GROUPS
    wheels = [component for component in middle if component.kind == "wheel"]
    big = [component for component in wheels if sizes[component.name] >= OWN_LAYER_FROM][: max(room, 0)]
    own = {component.name for component in (*always, *big)}
    groups: dict[int, list[Component]] = {}
    for component in wheels:
        if component.name not in own:
            groups.setdefault(_group(component.name), []).append(component)
    plans = [_plan(view, component.name, [component], sizes) for component in middle if component.name in own]
    plans += [
        _plan(view, f"small wheels {number + 1}", sorted(members, key=lambda one: one.name), sizes)
        for number, members in groups.items()
    ]
    plans.sort(key=lambda plan: (-plan.size, plan.name))
    return (
        *(_plan(view, component.name, [component], sizes) for component in bottom),
        *plans,
        *(_plan(view, component.name, [component], sizes) for component in top),
    )


def _group(name: str) -> int:
    return int(blake3_bytes(name.encode()).hex[:8], 16) % GROUPS


def _size(view: View, index: int) -> int:
    left_out = view.excluded.get(view.components[index].name, frozenset())
    return sum(entry.size for entry in view.manifests[index].entries if entry.path not in left_out)


def _plan(view: View, name: str, members: list[Component], sizes: dict[str, int]) -> LayerPlan:
    none: frozenset[str] = frozenset()
    parts = tuple(
        LayerPart(component=one.name, object=one.object, excluded=view.excluded.get(one.name, none)) for one in members
    )
    return LayerPlan(name=name, parts=parts, size=sum(sizes[one.name] for one in members))
