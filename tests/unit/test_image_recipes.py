"""The image recipes of this repository, read as they are: their locks fit them, and no CUDA is mixed in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.recipe import find_project, load_images

ROOT = Path(__file__).parents[2]
IMAGES = load_images(find_project(ROOT))
LOCKED = ("sglang-cu12", "sglang-cu13", "vllm-cu12", "vllm-cu13")
OTHER = {"12": re.compile(r".*(cu|cuda)13x?"), "13": re.compile(r".*(cu|cuda)12x?")}


def test_they_are_all_there() -> None:
    assert set(IMAGES.names) >= {*LOCKED, "trtllm-cu13"}
    assert [name for name in IMAGES if IMAGES[name].lock_missing] == ["trtllm-cu13"]


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_has_one_cuda_and_the_nixl_that_is_built(name: str) -> None:
    image = IMAGES[name]
    assert image.lock is not None
    assert image.document.python is not None
    versions = {wheel.name: wheel.version for wheel in image.lock.wheels}
    options = image.document.options
    assert not [wheel for wheel in versions if OTHER[options["cuda"]].fullmatch(wheel)]
    assert set(image.document.python.provided) == {"nixl", f"nixl-cu{options['cuda']}"}
    assert {versions[distribution] for distribution in image.document.python.provided} == {options["nixl.version"]}
    assert all(wheel.file_name.endswith(".whl") for wheel in image.lock.wheels)


def test_the_run_of_every_image_is_the_same() -> None:
    assert len({(IMAGES[name].directory / "run.py").read_text() for name in IMAGES.names}) == 1
