"""The framework images for real, and real consumers: gigabytes and minutes each, so run by hand (`make test-long`).

ORCH_TEST_STORE names a store that is used and kept; without it each module run fetches and builds all of it anew.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_daemon import docker_daemon
from image_project import IMAGE, make_wheel, write_image
from oci_registry import registry
from projects import REPOSITORY, Project, remove
from test_image_small import a_project

pytestmark = [pytest.mark.integration, pytest.mark.long]

FULL = {"sglang-cu12": "sglang", "vllm-cu12": "vllm", "sglang-cu13": "sglang", "vllm-cu13": "vllm"}
ONE = "sglang-cu12"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    own = tmp_path_factory.mktemp("images") / "store"
    yield Project(root=REPOSITORY, store=Path(os.environ.get("ORCH_TEST_STORE") or own))
    if own.exists():
        remove(own)


def run(*argv: str | Path, timeout: float = 1800) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.parametrize("name", FULL)
def test_a_framework_image_is_made_runs_and_is_there(repository: Project, name: str) -> None:
    result = repository.orch("image", name, "--json", timeout=3000)
    assert result.status == 0, result.out + result.err
    first = result.document
    assert len(first["layers"]) <= 100
    log = "\n".join(repository.log(f"{name}-run"))
    assert "uid=1000(dynamo) gid=0(root)" in log
    assert "/usr/local/ucx/lib/libucp.so.0" in log
    assert "4194304 bytes from one agent to another" in log
    again = repository.done("image", name, "--json").document
    assert (again["made"], again["manifest"]) == (False, first["manifest"])


def test_images_of_one_cuda_share_their_torch_and_cuda_layers(repository: Project) -> None:
    for one, other in (("sglang-cu12", "vllm-cu12"), ("sglang-cu13", "vllm-cu13")):
        shared = {layer["name"] for layer in repository.orch("diff", one, other, "--json").document["layers"]["shared"]}
        assert {"wheel:torch", "wheel:triton", "cuda", "debian-jit", "rdma-core", "libfabric", "hwloc"} <= shared


def test_a_registry_takes_a_full_image_and_gives_the_same_digest(repository: Project, tmp_path: Path) -> None:
    made = repository.done("image", ONE, "--json").document
    copies = (tmp_path / "registry", tmp_path / "pulled")
    with registry(copies[0]) as server:
        ref = f"{server.address}/team/{ONE}:1"
        repository.orch("image", ONE, "--push", ref, "--insecure", timeout=1800)
        digest = run("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{ref}").strip()
        assert digest == made["manifest"]
        run("skopeo", "copy", "--src-tls-verify=false", f"docker://{ref}", f"oci:{copies[1]}:it")
        pulled = run("skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{copies[1]}:it").strip()
        assert pulled == made["manifest"]
    for copy in copies:  # gigabytes, which the next test needs
        remove(copy)


def test_docker_loads_and_runs_a_small_image(tmp_path: Path, snake_store: Path) -> None:
    project = a_project(tmp_path / "project", tmp_path / "store")
    subprocess.run(["cp", "-al", str(snake_store), str(project.store)], check=True)
    write_image(project, make_wheel(tmp_path, "one", {"one.py": b"print('one here')\n"}))
    archive = tmp_path / "image.tar"
    project.done("image", IMAGE, "-o", f"docker-archive:{archive}")
    with docker_daemon() as docker:
        assert IMAGE in run(*docker, "load", "-i", archive)
        command = ["sh", "-c", "id; umask; python -c 'import one'"]
        said = run(*docker, "run", "--rm", "--network=none", f"{IMAGE}:latest", *command)
        assert said.splitlines() == ["uid=1000(dynamo) gid=0(root) groups=0(root)", "0002", "one here"]
    remove(project.store)


def test_docker_loads_and_runs_a_full_image(repository: Project, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    result = repository.orch("image", ONE, "-o", f"docker-archive:{archive}", timeout=1800)
    assert result.status == 0, result.err
    with docker_daemon() as docker:
        run(*docker, "load", "-i", archive)
        archive.unlink()
        script = "import torch, sglang, nixl; print(torch.__version__)"
        said = run(*docker, "run", "--rm", "--network=none", f"{ONE}:latest", "python", "-c", script)
        assert said.startswith("2.9.1")
        assert "libucp.so.0" in run(*docker, "run", "--rm", "--network=none", f"{ONE}:latest", "ldconfig", "-p")
