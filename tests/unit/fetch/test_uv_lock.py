"""The lock of a Python environment: uv's answer from an index on this machine, as lines that name no host."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from fetch_servers import Server

from orchestrator.errors import MachineError, RecipeError
from orchestrator.fetch import Machine, Mirrors
from orchestrator.fetch.uv_lock import lock_environment
from orchestrator.recipe.image import Python
from orchestrator.recipe.python_lock import parse_python_lock, write_python_lock

MADE = "2026-11-22"
JSON = "application/vnd.pypi.simple.v1+json"
EARLY, LATE = "2026-03-05T23:59:00Z", "2026-03-06T00:00:00Z"
ENVIRONMENT = Python(requirements=("app",), exclude_newer="2026-03-05")


def wheel(name: str, version: str, *requires: str) -> bytes:
    """A wheel without code."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return data.getvalue()


class Index:
    """A Python index under one path of a server."""

    def __init__(self, server: Server, path: str) -> None:
        self.server = server
        self.path = path
        self.pages: dict[str, list[dict[str, object]]] = {}

    @property
    def url(self) -> str:
        return self.server.url + self.path

    def add(self, file_name: str, data: bytes, uploaded: str = EARLY, *, size: bool = True) -> str:
        """Offer a file; its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        files = self.server.behaviour.files
        files[f"{self.path}/files/{file_name}"] = data
        project = file_name.partition("-")[0].replace("_", "-")
        file: dict[str, object] = {"filename": file_name, "url": f"../files/{file_name}", "hashes": {"sha256": sha256}}
        file |= {"upload-time": uploaded} if uploaded else {}
        file |= {"size": len(data)} if size else {}
        if file_name.endswith(".whl"):
            file["core-metadata"] = True
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
                files[f"{self.path}/files/{file_name}.metadata"] = archive.read(metadata)
        page = self.pages.setdefault(project, [])
        page.append(file)
        document = {"meta": {"api-version": "1.1"}, "name": project, "files": page}
        files[f"{self.path}/{project}/"] = json.dumps(document).encode()
        self.server.behaviour.types[f"{self.path}/{project}/"] = JSON
        return sha256


@pytest.fixture
def index(server: Server) -> Index:
    return Index(server, "/main")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without any settings of its own."""
    environment = {"NO_PROXY": "127.0.0.1", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "UV_HTTP_RETRIES": "0"}
    return Machine(environment=environment, root=tmp_path / "machine", prefix=tmp_path / "prefix")


def test_the_wheels_of_a_day_by_hash_and_without_a_host(index: Index, machine: Machine) -> None:
    app = index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0", "lib-x>=1", "gone"))
    index.add("app-1.1-py3-none-any.whl", wheel("app", "1.1"), LATE)
    index.add("gone-1-py3-none-any.whl", wheel("gone", "1"))
    index.add("lib_x-2.0-py3-none-any.whl", wheel("lib_x", "2.0"))
    index.add("lib_x-1.5-py3-none-any.whl", wheel("lib_x", "1.5"))
    best = index.add("lib_x-1.5-cp311-cp311-manylinux_2_28_x86_64.whl", wheel("lib_x", "1.5"))
    index.add("lib_x-1.5-cp311-cp311-manylinux_2_39_x86_64.whl", wheel("lib_x", "1.5"))
    python = replace(ENVIRONMENT, constraints=("lib-x<2",), excludes=("gone",))
    mirrors = Mirrors(pypi=(index.url,))
    lock = lock_environment(python, mirrors=mirrors, machine=machine, made=MADE)
    found = [(one.name, one.version, one.file_name, one.sha256) for one in lock.wheels]
    assert found == [
        ("app", "1.0", "app-1.0-py3-none-any.whl", app),
        ("lib-x", "1.5", "lib_x-1.5-cp311-cp311-manylinux_2_28_x86_64.whl", best),
    ]
    assert lock.wheels[0].size == len(wheel("app", "1.0", "lib-x>=1", "gone"))
    text = write_python_lock(lock)
    assert "127.0.0.1" not in text
    assert parse_python_lock(text, "x") == lock
    assert write_python_lock(lock_environment(python, mirrors=mirrors, machine=machine, made=MADE)) == text


def test_the_newest_of_two_builds_of_a_wheel_is_taken(index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0"))
    index.add("app-1.0-2-py3-none-any.whl", wheel("app", "1.0"))
    index.add("app-1.0-10-py3-none-any.whl", wheel("app", "1.0"))
    lock = lock_environment(ENVIRONMENT, mirrors=Mirrors(pypi=(index.url,)), machine=machine, made=MADE)
    assert lock.wheels[0].file_name == "app-1.0-10-py3-none-any.whl"


def test_an_override_beats_what_a_package_asks_for(index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0", "nccl==2.27"))
    index.add("nccl-2.27-py3-none-any.whl", wheel("nccl", "2.27"))
    index.add("nccl-2.28-py3-none-any.whl", wheel("nccl", "2.28"))
    python = replace(ENVIRONMENT, overrides=("nccl==2.28",))
    lock = lock_environment(python, mirrors=Mirrors(pypi=(index.url,)), machine=machine, made=MADE)
    assert [(one.name, one.version) for one in lock.wheels] == [("app", "1.0"), ("nccl", "2.28")]


def test_a_vendors_index_has_the_wheel_of_a_stub_and_need_not_tell_dates_or_sizes(
    server: Server, index: Index, machine: Machine
) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0", "rt-libs"))
    index.add("rt_libs-3.0.tar.gz", b"a stub")
    vendor = Index(server, "/vendor")
    data = wheel("rt_libs", "3.0")
    vendor.add("rt_libs-3.0-py3-none-any.whl", data, "", size=False)
    mirrors = Mirrors(pypi=(index.url,))
    with pytest.raises(RecipeError):
        lock_environment(ENVIRONMENT, mirrors=mirrors, machine=machine, made=MADE)
    python = replace(ENVIRONMENT, indexes=(vendor.url,))
    lock = lock_environment(python, mirrors=mirrors, machine=machine, made=MADE)
    assert [(one.name, one.size) for one in lock.wheels][1:] == [("rt-libs", len(data))]


def test_a_later_index_does_not_replace_what_an_earlier_one_has(server: Server, index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0"))
    other = Index(server, "/other")
    other.add("app-9.0-py3-none-any.whl", wheel("app", "9.0"))
    lock = lock_environment(ENVIRONMENT, mirrors=Mirrors(pypi=(index.url, other.url)), machine=machine, made=MADE)
    assert [one.version for one in lock.wheels] == ["1.0"]


def test_no_solution_is_the_recipes_fault_and_uv_says_why(index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0", "lib>=2"))
    index.add("lib-1.0-py3-none-any.whl", wheel("lib", "1.0"))
    with pytest.raises(RecipeError) as caught:
        where = "recipes/images/x/image.toml"
        lock_environment(ENVIRONMENT, mirrors=Mirrors(pypi=(index.url,)), machine=machine, made=MADE, where=where)
    assert caught.value.where == "recipes/images/x/image.toml: python"
    assert "lib" in caught.value.why
    assert "app" in caught.value.why


def test_what_was_uploaded_later_is_no_solution(index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0"), LATE)
    with pytest.raises(RecipeError):
        lock_environment(ENVIRONMENT, mirrors=Mirrors(pypi=(index.url,)), machine=machine, made=MADE)


def test_an_index_that_does_not_answer_is_named(index: Index, machine: Machine) -> None:
    index.add("app-1.0-py3-none-any.whl", wheel("app", "1.0"))
    silent = "http://127.0.0.1:1/vendor/"
    python = replace(ENVIRONMENT, indexes=(silent,))
    with pytest.raises(MachineError) as caught:
        lock_environment(python, mirrors=Mirrors(pypi=(index.url,)), machine=machine, made=MADE, where="i.toml")
    assert caught.value.what == "the vendor's own index does not answer"
    assert caught.value.where == f"i.toml: python.indexes: {silent}"
    with pytest.raises(MachineError) as caught:
        mirrors = Mirrors(pypi=("http://user:hunter2@127.0.0.1:1/simple",))
        lock_environment(ENVIRONMENT, mirrors=mirrors, machine=machine, made=MADE)
    assert caught.value.where == "http://127.0.0.1:1/simple"
    assert "hunter2" not in str(caught.value.document())


def test_without_an_index_the_error_says_so(machine: Machine) -> None:
    (machine.prefix).mkdir()
    (machine.prefix / "pip.conf").write_text("[global]\nno-index = true\n")
    with pytest.raises(MachineError, match="no Python index is known here"):
        lock_environment(ENVIRONMENT, mirrors=Mirrors(), machine=machine, made=MADE)
