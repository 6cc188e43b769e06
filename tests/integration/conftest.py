"""What the engine's tests start from: one tiny real base, built once, shared by stores of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import image_project
import pytest
from image_project import write_base
from projects import BASE, Project, copy_store, empty_project, sources_alone, unlock, write_stack
from sandbox_box import mounts, processes_with

from orchestrator.digest import sha256_file
from orchestrator.errors import MachineError
from orchestrator.sandbox.probe import probe


@pytest.fixture(scope="session")
def sandboxes() -> None:
    """A laptop without sandboxes skips what needs them, CI fails."""
    try:
        probe()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{error.what}: {error.why}")


@pytest.fixture(scope="session")
def base_store(sandboxes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that holds the tiny base. Its few .debs come from ORCH_TEST_STORE, else from where apt has them."""
    directory = tmp_path_factory.mktemp("base")
    project = empty_project(directory / "project", directory / "store")
    cache = os.environ.get("ORCH_TEST_STORE")
    if cache:
        wanted = project.done("source", "ls", "--json").document["sources"]
        files = [Path(cache, "sources/sha256", source["sha256"]) for source in wanted]
        there = [str(file) for file in files if file.is_file() and sha256_file(file).hex == file.name]
        if there:
            project.done("source", "add", *there)
    project.done("build", BASE)
    yield project.store
    unlock(project.store)


@pytest.fixture(scope="session")
def snake_store(sandboxes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that holds a small base with Python."""
    directory = tmp_path_factory.mktemp("snake")
    project = empty_project(directory / "project", directory / "store")
    hashes = write_base(project)
    cache = os.environ.get("ORCH_TEST_STORE")
    files = [Path(cache, "sources/sha256", sha256) for sha256 in hashes] if cache else []
    there = [str(file) for file in files if file.is_file() and sha256_file(file).hex == file.name]
    if there:
        project.done("source", "add", *there)
    project.done("build", image_project.BASE)
    yield project.store
    unlock(project.store)


@pytest.fixture(scope="session")
def stack_store(base_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which the whole stack is built and checked."""
    directory = tmp_path_factory.mktemp("stack")
    copy_store(base_store, directory / "store")
    project = empty_project(directory / "project", directory / "store")
    write_stack(project)
    project.done("build", "nixl", "consumer")
    yield project.store
    unlock(project.store)


@pytest.fixture
def project(base_store: Path, tmp_path: Path) -> Iterator[Project]:
    """A project with nothing but its base, which is built."""
    copy_store(base_store, tmp_path / "store")
    project = empty_project(tmp_path / "project", tmp_path / "store")
    yield project
    unlock(project.store)
    nothing_left(project)


@pytest.fixture
def stack(stack_store: Path, tmp_path: Path) -> Iterator[Project]:
    """The stack, all of it built and checked."""
    copy_store(stack_store, tmp_path / "store")
    project = empty_project(tmp_path / "project", tmp_path / "store")
    write_stack(project)
    yield project
    unlock(project.store)
    nothing_left(project)


@pytest.fixture
def fresh(base_store: Path, tmp_path: Path) -> Iterator[Project]:
    """The stack in a store that holds the base's .debs and nothing else."""
    sources_alone(base_store, tmp_path / "store")
    project = empty_project(tmp_path / "project", tmp_path / "store")
    write_stack(project)
    yield project
    unlock(project.store)
    nothing_left(project)


def nothing_left(project: Project) -> None:
    """Whatever a test did: nothing of its store runs, is mounted or lies half-done."""
    assert not processes_with(str(project.store))
    assert not [line for line in mounts() if str(project.store) in line]
    stage = project.store / "stage"
    assert not stage.is_dir() or not list(stage.iterdir())
