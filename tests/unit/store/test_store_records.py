from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orchestrator
from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store import (
    ClosureItem,
    Goal,
    Layout,
    Realisation,
    latest_realisation,
    read_check,
    read_goal,
    read_realisation,
    write_check,
    write_goal,
    write_realisation,
)
from orchestrator.store.records import read_record, write_record
from orchestrator.tree import remove_tree

KEY = blake3_bytes(b"key")
RECORD = Realisation(
    key=KEY,
    kind="derivation",
    name="ucx",
    version="1.19.0",
    document={"schema": 1, "flags": ["--a", "é"], "none": None},
    output=blake3_bytes(b"output"),
    seconds=1.25,
    finished=1790000000.5,
    log="logs/ucx/1.log",
    sandbox={"runtime": "x", "unenforced": []},
)
GOAL = Goal(
    key=KEY,
    goal="nixl",
    options=(("cuda", "13"),),
    output=blake3_bytes(b"output"),
    closure=(ClosureItem("ucx", "1.19.0", "source", blake3_bytes(b"ucx")),),
)


def test_round_trips(layout: Layout) -> None:
    assert read_realisation(layout, KEY) is None
    assert read_check(layout, KEY) is None
    assert read_goal(layout, KEY) is None
    write_realisation(layout, RECORD)
    write_check(layout, replace(RECORD, kind="check", output=None))
    write_goal(layout, GOAL)
    assert read_realisation(layout, KEY) == RECORD
    assert read_check(layout, KEY) == replace(RECORD, kind="check", output=None)
    assert read_goal(layout, KEY) == GOAL
    write_realisation(layout, replace(RECORD, seconds=2))
    assert read_realisation(layout, KEY) == replace(RECORD, seconds=2)
    assert not list(layout.stage.iterdir())


def test_latest_is_the_newest_success(layout: Layout) -> None:
    assert latest_realisation(layout, "ucx") is None
    other = replace(RECORD, key=blake3_bytes(b"other"))
    write_realisation(layout, RECORD)
    write_realisation(layout, other)
    write_realisation(layout, replace(RECORD, key=blake3_bytes(b"failed"), output=None))
    write_realisation(layout, replace(RECORD, key=blake3_bytes(b"build"), kind="build"))
    write_realisation(layout, replace(RECORD, key=blake3_bytes(b"hwloc"), name="hwloc"))
    assert latest_realisation(layout, "ucx") == other
    hint = layout.realisations / "latest" / "derivation-ucx"
    for rubbish in (b"", b"rubbish", b"f" * 64):
        hint.write_bytes(rubbish)
        assert latest_realisation(layout, "ucx") is None
    remove_tree(hint.parent)
    assert latest_realisation(layout, "ucx") is None
    write_realisation(layout, RECORD)
    assert latest_realisation(layout, "ucx") == RECORD


Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data.partition(b"\n")[0],
        lambda data: b"rubbish",
        lambda data: b"\0" * len(data),
        lambda data: os.urandom(300),
        lambda data: data + b"{}",
        lambda data: data.replace(b"1.19.0", b"1.18.0"),
    ],
)
def test_a_damaged_record_is_a_miss_and_put_aside(layout: Layout, damage: Damage) -> None:
    write_realisation(layout, RECORD)
    write_goal(layout, GOAL)
    paths = [directory / f"{KEY.hex}.json" for directory in (layout.realisations, layout.goals)]
    for path in paths:
        path.write_bytes(damage(path.read_bytes().replace(b'"goal":"nixl"', b'"goal":"1.19.0"')))
    assert read_realisation(layout, KEY) is None
    assert read_goal(layout, KEY) is None
    assert not any(path.exists() for path in paths)
    assert len([path for path in layout.corrupt.iterdir() if not path.name.endswith(".why")]) == 2
    write_realisation(layout, RECORD)
    assert read_realisation(layout, KEY) == RECORD


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_any_flipped_bit_is_a_miss(layout: Layout, at: int, bit: int) -> None:
    write_realisation(layout, RECORD)
    path = layout.realisations / f"{KEY.hex}.json"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert read_realisation(layout, KEY) is None
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"key": str(blake3_bytes(b"another"))},
        {"key": "sha1:3"},
        {"kind": "guess"},
        {"output": 3},
        {"document": []},
        {"seconds": "1"},
        {"seconds": True},
        {"name": None},
    ],
)
def test_a_record_of_the_wrong_shape_is_a_miss(layout: Layout, change: dict[str, Any]) -> None:
    write_realisation(layout, RECORD)
    path = layout.realisations / f"{KEY.hex}.json"
    document = read_record(layout, path, lambda document: document)
    assert document is not None
    write_record(layout, path, {**document, **change})
    assert read_realisation(layout, KEY) is None
    assert not path.exists()


def test_a_newer_record_is_a_miss_and_stays(layout: Layout) -> None:
    path = layout.realisations / f"{KEY.hex}.json"
    write_record(layout, path, {"schema": 2})
    assert read_realisation(layout, KEY) is None
    assert path.exists()


def test_odd_things_in_the_place_of_a_record(layout: Layout) -> None:
    path = layout.realisations / f"{KEY.hex}.json"
    path.mkdir()
    assert read_realisation(layout, KEY) is None
    path.symlink_to(path.name)
    assert read_realisation(layout, KEY) is None
    assert not path.is_symlink()
    remove_tree(layout.root)
    assert read_realisation(layout, KEY) is None
    write_realisation(layout, RECORD)
    assert read_realisation(layout, KEY) == RECORD


def test_what_is_not_json_is_not_written(layout: Layout) -> None:
    write_realisation(layout, RECORD)
    for bad in (float("nan"), Path("x")):
        with pytest.raises((TypeError, ValueError)):
            write_realisation(layout, replace(RECORD, document={"a": bad}))
    assert read_realisation(layout, KEY) == RECORD


def test_a_place_that_cannot_be_written(layout: Layout) -> None:
    remove_tree(layout.goals)
    layout.goals.write_text("a file")
    with pytest.raises(MachineError, match="cannot write"):
        write_goal(layout, GOAL)
    assert not list(layout.stage.iterdir())


def test_the_store_is_quick_to_import() -> None:
    slow = {"pydantic", "filelock", "ctypes", "concurrent"}
    code = f"import sys, orchestrator.store; print({slow} & {{*sys.modules}} or 'quick')"
    root = str(Path(orchestrator.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout == "quick\n", done.stderr
