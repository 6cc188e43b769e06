"""Which component goes into which layer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from image_parts import component, image, manifest

from orchestrator.image.layering import GROUPS, MAX_LAYERS, OWN_LAYER_FROM, plan_layers
from orchestrator.image.merge import merge
from orchestrator.image.model import Component, LayerPlan, View
from orchestrator.recipe.image import Drop
from orchestrator.tree import Entry, Manifest


def tree(name: str, size: int) -> Manifest:
    return Manifest((Entry(name, "file", 0o644, size=size, digest="0" * 64),))


def view(*parts: tuple[Component, Manifest]) -> View:
    return merge(image(), [one for one, _ in parts], [other for _, other in parts])


def part(name: str, size: int, kind: str = "wheel") -> tuple[Component, Manifest]:
    made = tree(name.replace(":", "-"), size)
    return component(name, made, kind), made  # type: ignore[arg-type]


BIG = OWN_LAYER_FROM
BASE = part("debian-runtime", 1000, "base")
SYSTEM = part("system", 10, "system")


def names(plans: tuple[LayerPlan, ...]) -> list[str]:
    return [plan.name for plan in plans]


def test_the_base_first_then_the_biggest_the_system_last() -> None:
    parts = (BASE, part("nixl", 5, "native"), part("wheel:torch", 3 * BIG), part("wheel:triton", BIG), SYSTEM)
    assert names(plan_layers(view(*parts))) == ["debian-runtime", "wheel:torch", "wheel:triton", "nixl", "system"]


def test_the_base_image_of_a_registry_is_in_no_layer_of_ours() -> None:
    base, base_tree = BASE
    parts = ((replace(base, key=None), base_tree), part("wheel:torch", BIG))
    assert names(plan_layers(view(*parts))) == ["wheel:torch"]


@given(st.lists(st.integers(0, 2 * BIG), max_size=150), st.integers(0, 20))
def test_everything_is_in_one_layer_and_there_are_not_too_many(sizes: list[int], natives: int) -> None:
    parts = [BASE, *(part(f"native-{n}", n, "native") for n in range(natives))]
    parts += [part(f"wheel:w{n}", size) for n, size in enumerate(sizes)]
    plans = plan_layers(view(*parts, SYSTEM))
    inside = sorted(one.component for plan in plans for one in plan.parts)
    assert inside == sorted(one.name for one, _ in [*parts, SYSTEM])
    assert len(plans) <= MAX_LAYERS
    assert [plan.size for plan in plans[1:-1]] == sorted((plan.size for plan in plans[1:-1]), reverse=True)


@given(st.sets(st.integers(0, 10_000), min_size=2, max_size=40))
def test_a_wheel_that_goes_changes_one_group(numbers: set[int]) -> None:
    parts = [part(f"wheel:w{n}", 100 + n) for n in sorted(numbers)]
    before = {plan.parts for plan in plan_layers(view(BASE, *parts, SYSTEM))}
    after = {plan.parts for plan in plan_layers(view(BASE, *parts[1:], SYSTEM))}
    assert len(before - after) == 1
    assert len(after - before) <= 1
    assert len(before) <= GROUPS + 2


def test_what_is_left_out_is_left_out_of_the_layer_and_its_size() -> None:
    made = manifest(a="12345", b="123")
    rule = Drop(path="a", component="wheel:one", reason="not wanted")
    plan = plan_layers(merge(image(drop=(rule,)), [component("wheel:one", made)], [made]))[0]
    assert plan.size == 3
    assert plan.parts[0].excluded == {"a"}
