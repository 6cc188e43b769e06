"""Locks of Python environments: one text for one lock, nothing else is taken for one, every wheel runs there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RecipeError
from orchestrator.recipe import PythonLock, Wheel, lock_input, parse_python_lock, read_python_lock, write_python_lock
from orchestrator.recipe.image import Python
from orchestrator.recipe.wheel_tags import platform_tags

SHA, INPUT = "cd" * 32, "5f" * 32
WHERE = "recipes/images/small/python.lock"
TORCH = "torch-2.9.1+cu128-cp311-cp311-manylinux_2_28_x86_64.whl"
TEXT = f"""\
# orch python lock 1
# python 3.11
# platform x86_64-manylinux_2_36
# exclude-newer 2026-03-05
# input {INPUT}
# made 2026-11-22
aiohttp-cors 0.8.1 aiohttp_cors-0.8.1-py3-none-any.whl 25231 {SHA}
torch 2.9.1+cu128 {TORCH} 900000000 {SHA}
"""
LOCK = PythonLock(
    python="3.11",
    platform="x86_64-manylinux_2_36",
    exclude_newer="2026-03-05",
    input=INPUT,
    made="2026-11-22",
    wheels=(
        Wheel(
            name="aiohttp-cors",
            version="0.8.1",
            file_name="aiohttp_cors-0.8.1-py3-none-any.whl",
            size=25231,
            sha256=SHA,
        ),
        Wheel(name="torch", version="2.9.1+cu128", file_name=TORCH, size=900_000_000, sha256=SHA),
    ),
)

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
names = st.lists(words, min_size=1, max_size=3).map("-".join)
hexes = st.integers(0, 16**64 - 1).map(lambda number: f"{number:064x}")
days = st.dates().map(lambda day: day.isoformat())
versions = st.builds(
    lambda numbers, suffix: ".".join(map(str, numbers)) + suffix,
    st.lists(st.integers(0, 9999), min_size=1, max_size=4),
    st.sampled_from(["", "rc1", "a0", "b2", ".post1", ".dev3", "+cu128", "rc1.post2+g0abc"]),
)
PYTHONS = [("3.11", "cp311-cp311"), ("3.11", "cp37-abi3"), ("3.9", "py2.py3-none"), ("3.12", "cp312-cp312")]
PLATFORMS = [
    ("x86_64-manylinux_2_36", "any"),
    ("x86_64-manylinux_2_36", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
    ("x86_64-manylinux_2_5", "manylinux1_x86_64"),
    ("aarch64-manylinux_2_28", "manylinux_2_28_aarch64"),
    ("aarch64-manylinux_2_28", "linux_aarch64"),
]


@st.composite
def locks(draw: st.DrawFn) -> PythonLock:
    python, tag = draw(st.sampled_from(PYTHONS))
    platform, platform_tag = draw(st.sampled_from(PLATFORMS))
    tag = "py3-none" if platform_tag == "any" else tag  # nothing takes cp311-cp311-any
    wheels = []
    for name in sorted(draw(st.sets(names, min_size=1, max_size=5))):
        version = draw(versions)
        file_name = f"{name.replace('-', '_')}-{version}-{tag}-{platform_tag}.whl"
        size = draw(st.integers(1, 2**40))
        wheels.append(Wheel(name=name, version=version, file_name=file_name, size=size, sha256=draw(hexes)))
    return PythonLock(
        python=python,
        platform=platform,
        exclude_newer=draw(days),
        input=draw(hexes),
        made=draw(days),
        wheels=tuple(wheels),
    )


@given(locks())
def test_a_lock_comes_back_and_its_text_too(lock: PythonLock) -> None:
    text = write_python_lock(lock)
    assert parse_python_lock(text, "x") == lock
    assert write_python_lock(parse_python_lock(text, "x")) == text
    shuffled = replace(lock, wheels=tuple(reversed(lock.wheels)))
    assert write_python_lock(shuffled) == text


@given(locks(), st.data())
def test_a_lock_that_was_cut_off_is_none_or_shorter_by_whole_lines(lock: PythonLock, data: st.DataObject) -> None:
    text = write_python_lock(lock)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    if cut.endswith("\n") and cut.count("\n") > 6:
        assert parse_python_lock(cut, "x").wheels == lock.wheels[: cut.count("\n") - 6]
    else:
        with pytest.raises(RecipeError):
            parse_python_lock(cut, "x")


def test_a_lock_is_written_and_read(tmp_path: Path) -> None:
    assert write_python_lock(LOCK) == TEXT
    (tmp_path / "a.lock").write_text(TEXT)
    assert read_python_lock(tmp_path / "a.lock") == LOCK


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("lock 1", "lock 2", 1, "lock schema 2 is not known; this orch reads 1"),
        ("# orch python", "# orch", 1, "a lock has '# orch python lock' and a value here, not '# orch lock 1'"),
        ("3.11", "3.011", 2, "not a version of Python: '3.011'"),
        ("3.11", "2.7", 2, "not a version of Python: '2.7'"),
        ("# python 3.11\n", "", 2, "a lock has '# python' and a value here, not '# platform x86_64-manylinux_2_36'"),
        ("x86_64-manylinux_2_36", "win_amd64", 3, "not a platform: 'win_amd64'"),
        ("2026-03-05", "2026-02-30", 4, "not a date: '2026-02-30'"),
        (INPUT, "5f", 5, "not a BLAKE3 in hex: '5f'"),
        ("made 2026-11-22", "made 2026-11-2", 6, "not a date: '2026-11-2'"),
        (" 25231 ", f" {'9' * 5000} ", 7, f"not a size: '{'9' * 5000}'"),
        ("\n", "\r\n", 1, "the line ends as on another system: with a carriage return"),
        (" 25231 ", " 25231  ", 7, "a line has 5 fields (name, version, wheel's name, size, sha256), this one 6"),
        ("\naiohttp-cors", "\naiohttp_cors", 7, "not a name: 'aiohttp_cors'"),
        ("\naiohttp-cors 0.8.1", "\naiohttp-cors 0.8_1", 7, "not a version: '0.8_1'"),
        ("cors 0.8.1", "cors 0.8..1", 7, "not a version: '0.8..1'"),
        ("cors 0.8.1", "cors 0.08.1", 7, "not a version as it is normalised: '0.08.1'"),
        (" 25231 ", " 0 ", 7, "not a size: '0'"),
        (f"25231 {SHA}", "25231 CD", 7, "not a sha256: 'CD'"),
        (TORCH, f"../{TORCH}", 8, f"not a wheel's name: '../{TORCH}'"),
        (TORCH, "torch-2.9.1.tar.gz", 8, "not a wheel's name: 'torch-2.9.1.tar.gz'"),
        (TORCH, "torch-2.9.1.whl", 8, "not a wheel's name: 'torch-2.9.1.whl'"),
        ("torch 2.9.1+cu128", "torch 2.9.1", 8, f"{TORCH} is torch 2.9.1+cu128, not torch 2.9.1"),
        ("\ntorch ", "\ntorchaudio ", 8, f"{TORCH} is torch 2.9.1+cu128, not torchaudio 2.9.1+cu128"),
        ("\ntorch ", "\naiohttp-cors ", 8, "aiohttp-cors is listed twice: one wheel a line, sorted by name"),
        ("\ntorch ", "\nabc ", 8, "abc stands after aiohttp-cors: one wheel a line, sorted by name"),
    ],
)
def test_what_is_no_lock(old: str, new: str, line: int, what: str) -> None:
    assert old in TEXT
    with pytest.raises(RecipeError) as caught:
        parse_python_lock(TEXT.replace(old, new), WHERE, image="small")
    assert (caught.value.where, caught.value.what) == (f"{WHERE}:{line}", what)
    assert caught.value.hint == "make it again: orch lock small"


def test_a_lock_without_wheels() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_python_lock(TEXT[: TEXT.index("aiohttp")], WHERE)
    assert (caught.value.where, caught.value.what) == (f"{WHERE}:6", "lists no wheel")
    assert caught.value.hint == "make it again: orch lock IMAGE"


def test_a_lock_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read_python_lock(tmp_path / "no.lock", "no.lock")
    assert (caught.value.where, caught.value.what) == ("no.lock", "the lock cannot be read")
    (tmp_path / "bad.lock").write_bytes(b"\xff\n")
    with pytest.raises(RecipeError) as caught:
        read_python_lock(tmp_path / "bad.lock")
    assert caught.value.what == "the lock is not UTF-8 text"


def with_tags(tags: str) -> str:
    return TEXT.replace("cp311-cp311-manylinux_2_28_x86_64", tags)


@pytest.mark.parametrize(
    "tags",
    [
        "cp311-cp311-manylinux_2_36_x86_64",
        "cp311-cp311-linux_x86_64",
        "cp38-abi3-manylinux2014_x86_64",
        "cp311-none-any",
        "py3-none-manylinux1_x86_64",
        "py310-none-any",
        "py2.py3-none-any",
        "cp310.cp311-cp310.cp311-manylinux_2_17_x86_64",
        "2-py3-none-any",
    ],
)
def test_wheels_that_run_there(tags: str) -> None:
    assert parse_python_lock(with_tags(tags), WHERE).wheels[1].file_name == f"torch-2.9.1+cu128-{tags}.whl"


@pytest.mark.parametrize(
    ("tags", "other"),
    [
        ("cp310-cp310-manylinux_2_28_x86_64", "Python, not for CPython 3.11"),
        ("cp312-abi3-manylinux_2_28_x86_64", "Python, not for CPython 3.11"),
        ("cp311-cp311t-manylinux_2_28_x86_64", "Python, not for CPython 3.11"),
        ("pp311-pypy311_pp73-manylinux_2_28_x86_64", "Python, not for CPython 3.11"),
        ("py2-none-any", "Python, not for CPython 3.11"),
        ("cp311-cp311-manylinux_2_37_x86_64", "platform, not for x86_64 with glibc 2.36"),
        ("cp311-cp311-manylinux_2_28_aarch64", "platform, not for x86_64 with glibc 2.36"),
        ("cp311-cp311-musllinux_1_2_x86_64", "platform, not for x86_64 with glibc 2.36"),
        ("py3-none-win_amd64", "platform, not for x86_64 with glibc 2.36"),
    ],
)
def test_a_wheel_for_another_python_or_platform(tags: str, other: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_python_lock(with_tags(tags), WHERE, image="small")
    assert caught.value.document() == {
        "code": "recipe",
        "where": f"{WHERE}:8",
        "what": f"torch-2.9.1+cu128-{tags}.whl is a wheel for another {other}",
        "why": "what fits: cp311-cp311, cp3X-abi3 up to cp311, py3-none; "
        "any, linux_x86_64 or manylinux up to manylinux_2_36_x86_64",
        "hint": "make it again: orch lock small",
    }


def test_a_platform_takes_what_older_ones_take() -> None:
    assert list(platform_tags("x86_64-manylinux_2_6")) == [
        "manylinux_2_6_x86_64",
        "manylinux_2_5_x86_64",
        "manylinux1_x86_64",
        "linux_x86_64",
    ]
    tags = list(platform_tags("aarch64-manylinux_2_36"))
    assert (tags[0], tags[-2:]) == ("manylinux_2_36_aarch64", ["manylinux2014_aarch64", "linux_aarch64"])


PYTHON = Python(requirements=("ai-dynamo[sglang]==0.9.1",), exclude_newer="2026-03-05")


def test_the_input_of_a_lock_is_pinned() -> None:
    """Were it to change, every lock there is would be called stale."""
    assert lock_input(PYTHON) == "157f54ddd2dc3cde9e1c48d940ba0221307b7786e9b39071f1966523b7cc9c94"


@pytest.mark.parametrize(
    "change",
    [
        {"requirements": ("ai-dynamo==0.9.1",)},
        {"constraints": ("nixl==0.9.0",)},
        {"overrides": ("nixl==0.8.0",)},
        {"excludes": ("nixl-cu13",)},
        {"indexes": ("https://wheels.example/simple/",)},
        {"version": "3.12"},
        {"platform": "x86_64-manylinux_2_28"},
        {"exclude_newer": "2026-03-06"},
    ],
)
def test_what_a_resolution_depends_on_is_in_the_input(change: dict[str, str]) -> None:
    assert lock_input(replace(PYTHON, **change)) != lock_input(PYTHON)


def test_what_it_does_not_depend_on_is_not() -> None:
    other = replace(PYTHON, prefix="/opt/venv", lock="other.lock", provided={"nixl": "nixl"})
    assert lock_input(other) == lock_input(PYTHON)
