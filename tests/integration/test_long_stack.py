"""The whole stack from nothing: minutes of downloads and compiles, so run by hand (`make test-long`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import NOTHING, REPOSITORY, Project, outcomes, remove

pytestmark = [pytest.mark.integration, pytest.mark.long]

CLOSURE = {"debian-build", "debian-runtime", "rdma-core", "hwloc", "cuda", "cuda-stubs", "libfabric", "ucx", "nixl"}
CHECKED = CLOSURE - {"debian-build", "cuda-stubs"}
VERSIONS = ("1.4.1", "1.0.1", "0.10.1", "0.9.0")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The repository with one store for this module; ORCH_TEST_STORE names one that is kept."""
    own = tmp_path_factory.mktemp("long") / "store"
    yield Project(root=REPOSITORY, store=Path(os.environ.get("ORCH_TEST_STORE") or own))
    if own.exists():
        remove(own)


def test_make_nixl_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "ORCH_STORE"}
    done = subprocess.run(["make", "nixl"], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1])
    assert path.is_relative_to(clone / "store/objects")
    assert "check passed    nixl" in done.stderr
    again = subprocess.run(["make", "nixl"], cwd=clone, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[-1] == str(path)
    assert again.stderr == ""
    remove(clone / "store")
    shutil.rmtree(clone)


def test_the_closure_is_built_once_and_is_the_same_twice(stack: Project) -> None:
    first = outcomes(stack.orch("build", "nixl", "--json", timeout=3000).document)
    assert first.built <= CLOSURE
    assert first.checked <= CHECKED
    assert outcomes(stack.done("build", "nixl", "--json").document) == NOTHING
    again = stack.orch("build", "nixl", "--rebuild", timeout=3000)
    assert again.status == 0, again.err
    identical = {line.split()[2] for line in again.err.splitlines() if line.startswith("identical again")}
    assert identical == CLOSURE


@pytest.mark.parametrize("cuda", ["12", "13"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_nixl_works_with_its_ucx(stack: Project, version: str, cuda: str) -> None:
    result = stack.orch("build", "nixl", "--set", f"nixl.version={version}", "--set", f"cuda={cuda}", timeout=3000)
    assert result.status == 0, result.err


@pytest.mark.parametrize("cuda", ["12", "13"])
def test_ucx_is_compiled_from_source(stack: Project, cuda: str) -> None:
    result = stack.orch("build", "ucx", "--set", "ucx.version=1.13.1", "--set", f"cuda={cuda}", timeout=3000)
    assert result.status == 0, result.err
    lib = Path(result.out.strip()) / "usr/local/ucx/lib"
    assert (lib / "ucx/libuct_cuda.so.0").is_symlink()


def test_libfabric_with_verbs(stack: Project) -> None:
    result = stack.orch("build", "libfabric", "--set", "libfabric.verbs=on", timeout=3000)
    assert result.status == 0, result.err
