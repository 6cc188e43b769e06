"""Closures as files between machines that share no network, and plain files for people."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_project import IMAGE, supply, write_image
from projects import Project, copy_store, empty_project, listing, unlock, wait_for, write_stack
from test_image_small import a_project, wheels

pytestmark = pytest.mark.integration


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Project]:
    """A machine without a source and without a network."""
    project = empty_project(tmp_path / "other", tmp_path / "other-store")
    write_stack(project)
    yield project
    unlock(project.store)


def test_a_goal_is_a_no_op_elsewhere(stack: Project, other: Project, tmp_path: Path) -> None:
    file = tmp_path / "nixl.closure"
    stack.done("store", "export", "nixl", "-o", str(file))
    other.done("store", "import", str(file))
    assert other.done("plan", "nixl").out.startswith("nixl: nothing to do")
    assert other.done("build", "nixl", "--json").document["outcomes"] == {}
    assert other.object("nixl").name == stack.object("nixl").name
    assert other.done("plan", "fabric").out.startswith("fabric: 4 there already")  # its checks are there too
    before = set(listing(other.store / "objects"))
    again = other.done("store", "import", str(file), "--json").document
    assert (again["objects"], again["objects_there"]) == (0, 6)
    assert set(listing(other.store / "objects")) == before
    stack.done("store", "export", "nixl", "-o", str(tmp_path / "again"))
    assert file.read_bytes() == (tmp_path / "again").read_bytes()


def test_what_is_not_built_is_not_exported(stack: Project, tmp_path: Path) -> None:
    result = stack.orch("store", "export", "nixl", "--set", "cuda=13", "-o", str(tmp_path / "f"))
    assert result.status == 4
    assert "make it first: orch build nixl --set cuda=13" in result.err
    assert not (tmp_path / "f").exists()


def test_an_import_that_is_killed_goes_on(stack: Project, other: Project, tmp_path: Path) -> None:
    file = tmp_path / "f"
    stack.done("store", "export", "nixl", "-o", str(file))
    process = other.start("store", "import", str(file))
    objects = other.store / "objects"
    wait_for(lambda: objects.is_dir() and any(objects.iterdir()), seconds=60, what="the first object")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = len(list(objects.iterdir()))
    assert kept >= 1
    done = other.done("store", "import", str(file), "--json").document
    assert done["objects_there"] >= 1
    assert done["objects"] + done["objects_there"] == 6
    assert other.done("plan", "nixl").out.startswith("nixl: nothing to do")
    assert not list((other.store / "stage").iterdir())


def test_a_cut_file_is_told_with_its_entry(stack: Project, other: Project, tmp_path: Path) -> None:
    file = tmp_path / "f"
    stack.done("store", "export", "nixl", "-o", str(file))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    result = other.orch("store", "import", str(file))
    assert result.status == 3
    assert "f is refused at objects/" in result.err
    assert "to build" in other.done("plan", "nixl").out
    file.write_bytes(data)
    other.done("store", "import", str(file))
    assert other.done("plan", "nixl").out.startswith("nixl: nothing to do")


def test_plain_files(stack: Project, tmp_path: Path) -> None:
    target = tmp_path / "plain"
    assert stack.done("export", "nixl", str(target)).out == f"{target}\n"
    tree = stack.path("nixl")
    there = {str(path.relative_to(tree)) for path in tree.rglob("*")}
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == there
    file = target / "opt/nixl/version"
    assert file.stat().st_nlink == 1
    assert file.stat().st_mode & 0o777 == 0o644
    file.write_text("changed")
    assert (tree / "opt/nixl/version").read_text() == "nixl 1.4.1\n"
    result = stack.orch("export", "nixl", str(target))
    assert (result.status, "is not empty" in result.err) == (2, True)


def test_plain_files_of_a_closure(stack: Project, tmp_path: Path) -> None:
    target = tmp_path / "root"
    target.mkdir()
    document = stack.done("export", "nixl", str(target), "--closure", "--json").document
    assert [one["name"] for one in document["components"]][-1] == "nixl"
    assert len(document["components"]) == 6
    assert (target / "opt/nixl/version").is_file()
    assert (target / "usr/local/ucx/version").is_file()
    assert os.access(target / "usr/bin/bash", os.X_OK)
    assert (target / "usr/bin/sh").readlink() == Path("bash")


def test_an_image_is_a_no_op_elsewhere(snake_store: Path, tmp_path: Path) -> None:
    copy_store(snake_store, tmp_path / "store")
    here = a_project(tmp_path / "project", tmp_path / "store")
    both = wheels(tmp_path)
    write_image(here, *both)
    supply(here, *both)
    place = here.done("image", IMAGE).out
    file = tmp_path / "image.closure"
    here.done("store", "export", IMAGE, "-o", str(file))
    there = Project(root=here.root, store=tmp_path / "other-store")
    document = there.done("store", "import", str(file), "--json").document
    assert document["images"] == [IMAGE]
    assert document["blobs"] >= 3
    done = there.done("image", IMAGE, "--json").document
    assert done["made"] is False
    assert place.replace(str(here.store), str(there.store)) == there.done("image", IMAGE).out
    assert done["manifest"] == here.done("image", IMAGE, "--json").document["manifest"]
    assert there.done("plan", "plain").out.startswith("plain: nothing to do")
    for project in (here, there):
        unlock(project.store)
