"""An image's wheels and its bytecode as nodes: what they are keyed by, what they leave alone, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RecipeError
from orchestrator.graph.derivation import Graph
from orchestrator.graph.environment import BYTECODE, is_wheel, wheel_node_name, with_environment
from orchestrator.graph.keys import derivation_keys
from orchestrator.recipe.image import Drop, Image, ImageDocument, Python, Winner
from orchestrator.recipe.python_lock import PythonLock, Wheel

SITE = "opt/dynamo/venv/lib/python3.11/site-packages"


def wheel(name: str, version: str = "1.0", sha256: str = "ab" * 32) -> Wheel:
    file_name = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Wheel(name=name, version=version, file_name=file_name, size=100, sha256=sha256)


def image_of(*wheels: Wheel, name: str = "demo", **fields: Any) -> Image:
    python = fields.pop("python", None) or Python(
        requirements=("torch",), exclude_newer="2026-01-01", provided=fields.pop("provided", {})
    )
    lock = PythonLock(
        python="3.11", platform="p", exclude_newer="2026-01-01", input="0", made="2026-01-01", wheels=wheels
    )
    document = ImageDocument(name=name, summary="", version="1", python=python, **fields)
    where = f"recipes/images/{name}/image.toml"
    return Image(document=document, where=where, directory=Path("/x"), lock=lock, lock_missing=False, files={})


@pytest.fixture
def graph(graph_of: Callable[..., Graph], plain: str) -> Graph:
    return graph_of("nixl", {"nixl": plain.replace("[versions.1]", '[versions."1.4.1"]')})


TORCH, NUMPY, NIXL = wheel("torch", "2.9.1"), wheel("numpy"), wheel("nixl", "1.4.1")


def test_every_wheel_is_a_node_and_all_bytecode_is_one(graph: Graph) -> None:
    whole = with_environment(graph, image_of(NUMPY, TORCH), base="base")
    assert [node.name for node in whole.nodes] == [
        *(node.name for node in graph.nodes), "wheel:numpy", "wheel:torch", BYTECODE,
    ]  # fmt: skip
    assert (whole.goals, whole.options) == (graph.goals, graph.options)
    torch = whole["wheel:torch"]
    assert (torch.builder, torch.version, torch.build, torch.runtime) == ("wheel", "2.9.1", (), ())
    assert torch.options == (("prefix", "/opt/dynamo/venv"), ("python", "3.11"))
    (source,) = torch.sources
    assert source.name == "pypi:torch/torch-2.9.1-py3-none-any.whl"
    assert (source.sha256, source.size, source.unpack) == (TORCH.sha256, 100, None)
    assert source.where == torch.where == "recipes/images/demo/python.lock: torch"
    assert whole[BYTECODE].builder == "bytecode"
    assert whole[BYTECODE].build == ("wheel:numpy", "wheel:torch", "base")


def test_names(graph: Graph) -> None:
    assert wheel_node_name("Flash_Attn.X") == "wheel:flash-attn-x"
    assert is_wheel("wheel:torch")
    assert not is_wheel("torch")


def test_the_rest_of_the_graph_keeps_its_keys(graph: Graph) -> None:
    before = derivation_keys(graph)
    after = derivation_keys(with_environment(graph, image_of(NUMPY, TORCH), base="base"))
    assert {name: after[name] for name in before} == before


def test_a_wheel_has_one_key_in_all_images(graph: Graph, graph_of: Callable[..., Graph], plain: str) -> None:
    one = derivation_keys(with_environment(graph, image_of(NUMPY, TORCH), base="base"))
    other = derivation_keys(
        with_environment(graph_of("else", {"else": plain}), image_of(TORCH, name="other"), base="builder")
    )
    assert one["wheel:torch"] == other["wheel:torch"]
    assert one[BYTECODE] != other[BYTECODE]


def test_what_moves_which_key(graph: Graph) -> None:
    def keys(*wheels: Wheel, **fields: Any) -> dict[str, object]:
        return dict(derivation_keys(with_environment(graph, image_of(*wheels, **fields), base="base")))

    before = keys(NUMPY, TORCH)
    changed = keys(NUMPY, wheel("torch", "2.9.1", "cd" * 32))
    assert {name for name in before if before[name] != changed[name]} == {"wheel:torch", BYTECODE}
    elsewhere = Python(requirements=(), exclude_newer="2026-01-01", prefix="/opt/other")
    moved = keys(NUMPY, TORCH, python=elsewhere)
    assert {name for name in before if before[name] != moved[name]} == {"wheel:numpy", "wheel:torch", BYTECODE}
    reason = Winner(path=f"/{SITE}/x.py", component="wheel:torch", reason="why")
    won = keys(NUMPY, TORCH, winners=(reason,))
    assert {name for name in before if before[name] != won[name]} == {BYTECODE}
    assert won == keys(NUMPY, TORCH, winners=(replace(reason, reason="another"),))
    assert keys(NUMPY, TORCH, winners=(replace(reason, path="/usr/lib/x.py"),), drop=(
        Drop(path="opt/dynamo/venv/bin/*", component="wheel:numpy", reason=""),
        Drop(path="*.py", component="nixl", reason=""),
    ))[BYTECODE] != won[BYTECODE]  # fmt: skip


def test_what_cannot_concern_bytecode_is_not_in_its_key(graph: Graph) -> None:
    plainly = with_environment(graph, image_of(NUMPY), base="base")
    drops = (
        Drop(path="opt/dynamo/venv/bin/*", component="wheel:numpy", reason=""),
        Drop(path="*", component="nixl", reason=""),
    )
    winners = (Winner(path="/usr/lib/x.so", component="nixl", reason=""),)
    assert with_environment(graph, image_of(NUMPY, drop=drops, winners=winners), base="base") == plainly
    tests = (Drop(path="*/tests", component="wheel:numpy", reason=""),)
    assert with_environment(graph, image_of(NUMPY, drop=tests), base="base")[BYTECODE].flags == (
        "drop wheel:numpy */tests",
    )


def test_who_wins_is_on_top(graph: Graph) -> None:
    winners = (
        Winner(path=f"/{SITE}/a.py", component="wheel:torch", reason=""),
        Winner(path=f"/{SITE}/b.py", component="wheel:scipy", reason=""),
    )
    image = image_of(NUMPY, wheel("scipy"), TORCH, winners=winners)
    assert with_environment(graph, image, base="base")[BYTECODE].build == (
        "wheel:torch", "wheel:scipy", "wheel:numpy", "base",
    )  # fmt: skip


def test_two_winners_of_one_file(graph: Graph) -> None:
    winners = (
        Winner(path="/opt/a.py", component="wheel:torch", reason=""),
        Winner(path="opt/a.py", component="wheel:numpy", reason=""),
    )
    with pytest.raises(RecipeError, match=r"/opt/a\.py has two winners: wheel:torch and wheel:numpy") as caught:
        with_environment(graph, image_of(NUMPY, TORCH, winners=winners), base="base")
    assert caught.value.where == "recipes/images/demo/image.toml: winners[1]"


def test_a_provided_distribution_is_no_wheel(graph: Graph) -> None:
    whole = with_environment(graph, image_of(NIXL, TORCH, provided={"NIXL": "nixl"}), base="base")
    assert [node.name for node in whole.nodes if is_wheel(node.name)] == ["wheel:torch"]
    assert whole[BYTECODE].build == ("wheel:torch", "base")


def test_a_provided_version_is_the_locked_one(graph: Graph) -> None:
    with pytest.raises(RecipeError) as caught:
        with_environment(graph, image_of(wheel("nixl", "0.9.0"), provided={"nixl": "nixl"}), base="base")
    error = caught.value
    assert error.what == "the lock names nixl 0.9.0, the nixl recipe gives 1.4.1"
    assert error.where == "recipes/images/demo/python.lock: nixl"
    assert '"nixl.version" = "0.9.0"' in error.hint
    assert "orch lock demo" in error.hint


def test_a_provided_distribution_is_in_the_lock_and_its_recipe_in_the_image(graph: Graph) -> None:
    with pytest.raises(RecipeError, match="the lock does not have it") as caught:
        with_environment(graph, image_of(TORCH, provided={"nixl": "nixl"}), base="base")
    assert caught.value.where == "recipes/images/demo/image.toml: python.provided.nixl"
    with pytest.raises(RecipeError, match="the ucx recipe, which is not in the image"):
        with_environment(graph, image_of(TORCH, provided={"nixl": "ucx"}), base="base")


def test_an_image_without_python_or_lock(graph: Graph) -> None:
    image = image_of()
    assert with_environment(graph, image, base="base") == graph
    assert with_environment(graph, replace(image, document=replace(image.document, python=None)), base="base") == graph
    with pytest.raises(RecipeError, match="no lock") as caught:
        with_environment(graph, replace(image, lock=None), base="base")
    assert caught.value.hint == "write it: orch lock demo"


def test_the_keys_of_a_wheel_and_of_bytecode_are_pinned(graph: Graph) -> None:
    keys = derivation_keys(with_environment(graph, image_of(TORCH), base="base"))
    assert str(keys["wheel:torch"]) == "blake3:6e872f78f2f6ce45ed5fb1e205cb6140bd3b719eeea38db49f7764651fb8cc18"
    assert str(keys[BYTECODE]) == "blake3:42be414e8b64f970bb91a358e29b69e748fe6f3daaaae8b2ee2cbe2a122d1548"
