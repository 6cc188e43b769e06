from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.digest import Digest
from orchestrator.store import Layout, open_store, publish_tree, staging
from orchestrator.tree import scan

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


@pytest.fixture
def publish(layout: Layout) -> Callable[[dict[str, bytes]], Digest]:
    """Publish a tree of these files."""

    def publish(files: dict[str, bytes]) -> Digest:
        with staging(layout, "test") as room:
            for name, data in files.items():
                (room / "out" / name).parent.mkdir(parents=True, exist_ok=True)
                (room / "out" / name).write_bytes(data)
            return publish_tree(layout, room / "out", scan(room / "out"))

    return publish


@pytest.fixture
def start() -> Iterator[Start]:
    """Start another Python with some code and arguments; it is killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        root = str(Path(orchestrator.__file__).parents[1])
        process = subprocess.Popen(
            [*before, sys.executable, "-c", code, *(str(argument) for argument in arguments)],
            env={**os.environ, "PYTHONPATH": root},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
