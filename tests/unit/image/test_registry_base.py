from __future__ import annotations

import json
from typing import Any

import pytest
from test_oci_documents import LAYERS, META

from orchestrator.digest import Digest
from orchestrator.image.base_layers import BaseImage
from orchestrator.image.oci import image_config
from orchestrator.image.registry_base import base_history, with_base_environment

SHA256 = Digest("sha256", "0" * 64)


def base(**config: Any) -> BaseImage:
    return BaseImage(
        name=f"oci:registry.example/base@{SHA256}",
        manifest=SHA256,
        object=Digest("blake3", "0" * 64),
        layers=LAYERS[:1],
        config=config,
        setuid=(),
    )


@pytest.mark.parametrize(
    ("own", "lines", "joined"),
    [
        ({"A": "1"}, ["B=2"], {"A": "1", "B": "2"}),
        ({"A": "1"}, ["A=2"], {"A": "1"}),
        ({"PATH": "/own:/bin"}, ["PATH=/bin:/base"], {"PATH": "/own:/bin:/base"}),
        ({"LD_LIBRARY_PATH": "/own"}, ["LD_LIBRARY_PATH=/base:"], {"LD_LIBRARY_PATH": "/own:/base"}),
        ({}, ["B=a=b", "C=", "nothing", "=x"], {"B": "a=b", "C": ""}),
        ({}, ["N=\0", "S=\ud800", 3, None], {}),
        ({"A": "1"}, "A=2", {"A": "1"}),
        ({"A": "1"}, None, {"A": "1"}),
    ],
)
def test_the_base_s_environment_lies_below(own: dict[str, str], lines: Any, joined: dict[str, str]) -> None:
    assert with_base_environment(own, base(config={"Env": lines})) == joined


@pytest.mark.parametrize("config", [{}, {"config": None}, {"config": []}, {"config": {"Env": {}}}])
def test_a_config_that_says_nothing_of_an_environment(config: dict[str, Any]) -> None:
    assert with_base_environment({"A": "1"}, base(**config)) == {"A": "1"}


def test_without_such_a_base_all_is_the_image_s_own() -> None:
    assert with_base_environment({"B": "1", "A": "2"}, None) == {"A": "2", "B": "1"}
    assert base_history(None) == ()


def test_its_history_stays_and_names_no_layer_twice() -> None:
    history = [{"created_by": "ENV a=\tb", "empty_layer": True}, {"created_by": "ADD", "size": 1.5, "comment": 3}]
    told = base_history(base(history=history))
    assert told == ({"created_by": "ENV a=\tb", "empty_layer": True}, {"created_by": "ADD"})
    document = json.loads(image_config(META, LAYERS, below=told).data)
    assert document["history"] == [*told, {"created": META.created, "created_by": "orch: ucx"}]


@pytest.mark.parametrize(
    "history",
    [None, {}, "text", ["line"], [], [{}, {}], [{"empty_layer": True}], [{"empty_layer": "true"}, {}]],
)
def test_a_history_that_is_not_of_its_layers_is_left_out(history: Any) -> None:
    assert base_history(base(history=history)) == ()
