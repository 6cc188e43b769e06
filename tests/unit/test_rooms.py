"""The architecture's rules that no single file shows: rooms, homes of dependencies, sizes, names."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "orchestrator"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Lower never imports higher, siblings never import each other.
LEVELS = [
    {"errors", "frozen", "lazily", "modules"},
    {"digest", "process"},
    {"events", "tree", "archive"},
    {"recipe"},
    {"graph"},
    {"store", "sandbox"},
    {"fetch"},
    {"build", "image"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# One dependency, one home.
HOMES = {
    "rich": {"cli"},
    "sh": {"process"},
    "subprocess": {"process"},
    "blake3": {"digest"},
    "filelock": {"store"},
    "sqlite3": {"store"},
    "requests": {"fetch"},
    "pydantic": {"recipe"},
    "packaging": {"graph", "recipe", "image"},
    "elftools": {"image"},
    "argparse": {"cli"},
    "uv": {"fetch"},
    "installer": {"build"},
    "zstandard": {"archive"},
    "cryptography": {"store"},
}
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "context"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            if node.module == "orchestrator":
                names += [f"orchestrator.{alias.name}" for alias in node.names if not alias.name.startswith("_")]
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_lower_rooms(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name in imported(path):
        if name.startswith("orchestrator."):
            other = name.split(".")[1]
            assert other == room or LEVEL[other] < LEVEL[room], f"{room} imports {name}"
        else:
            homes = HOMES.get(name.split(".")[0])
            assert homes is None or room in homes, f"{name} belongs to {homes}, not to {room}"


def test_every_directory_of_tests_is_looked_into(pytestconfig: pytest.Config) -> None:
    left_out = pytestconfig.getini("norecursedirs")
    there = {parent.name for path in (ROOT / "tests").rglob("test_*.py") for parent in path.parents}
    assert [name for name in there if any(fnmatch(name, pattern) for pattern in left_out)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400, "two rooms in one"
    assert path.stem not in VAGUE
    assert ast.get_docstring(ast.parse(text)), "a module opens with what it is"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if room_of(path) == "cli" or path.name == "launcher.py":  # a program of its own, whose child becomes another
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "sys.exit", "exit", "os._exit"}, f"line {node.lineno} calls {called}"
