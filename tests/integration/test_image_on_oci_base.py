"""`orch image` on a base from a registry: its layers unchanged below the image's own, fetched once, refused clearly."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from image_project import BASE, IMAGE, SITE, edit_image, made, make_wheel, write_base, write_image
from oci_registry import (
    INDEX,
    PLAIN,
    ZSTD,
    MadeImage,
    MadeLayer,
    Registry,
    Wire,
    free_port,
    index_of,
    member,
    registry,
    sha256,
    tar,
)
from projects import Project, copy_store, empty_project, ended, listing, unlock, wait_for

from orchestrator.image.registry_base import base_needs
from orchestrator.recipe import find_project, load_images
from orchestrator.store import open_store

pytestmark = pytest.mark.integration

HISTORY = [
    {"created": "2026-01-01T00:00:00Z", "created_by": "COPY tree /"},
    {"created_by": 'ENV FROM_BASE="yes"', "empty_layer": True},
    {"created_by": "RUN upper\t&& true", "comment": "buildkit"},
]
UPPER = tar(
    [
        member("usr/bin/raise", b"#!/bin/sh\n", mode=0o4755),
        member("usr/share/plain/file", b"of the base\n"),
        member("etc/ld.so.conf.d/base.conf", b"# a vendor's\n/opt/base/lib\n"),
        member("usr/share/.wh.gone"),
    ]
)
WINNER = '[[winners]]\npath = "/usr/share/plain/file"\ncomponent = "plain"\nreason = "the base\'s is a sample"\n'
PLAIN_RECIPE = f"""\
name = "plain"
summary = "plain"
[inputs]
build = ["{BASE}"]
runtime = ["{BASE}"]
[versions."1.0"]
origin = "source"
[versions."2.0"]
origin = "source"
[build]
script = '''
mkdir -p $OUT/usr/share/plain
echo $version > $OUT/usr/share/plain/file
'''
"""


@dataclass(frozen=True)
class Spoken(MadeImage):
    """An image whose config has an environment and a history."""

    @property
    def config(self) -> bytes:
        document = json.loads(super().config)
        env = ["PATH=/usr/bin:/opt/base/bin", "FROM_BASE=yes", "GREETING=of the base", "nonsense"]
        document["config"] = {"Env": env, "User": "nobody", "Labels": {"of": "base"}, "Entrypoint": ["/nothing"]}
        return json.dumps(document | {"history": HISTORY}).encode()


def packed(tree: Path, *left_out: str) -> bytes:
    """The tar of a tree, as root's."""

    def owned(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return None if info.name in left_out else info

    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.iterdir()):
            archive.add(path, path.name, filter=owned)
        archive.addfile(member("usr/share/gone")[0])
    return written.getvalue()


def a_project(root: Path, store: Path) -> Project:
    """The image's project; beside its base recipe the default one, whose Python makes bytecode."""
    project = empty_project(root, store)
    write_base(project)
    shutil.copytree(project.recipe(BASE).parent, project.recipe("debian-runtime").parent)
    project.edit("debian-runtime", f'name = "{BASE}"', 'name = "debian-runtime"')
    project.write("plain", PLAIN_RECIPE)
    return project


def write_demo(project: Project, base: str, *, extra: str = WINNER) -> None:
    """The image recipe on a base from a registry, with a wheel."""
    one = make_wheel(project.root, "one", {"one/__init__.py": b"VALUE = 1\n"})
    write_image(project, one, extra=extra, imports="import one, os; print(one.VALUE, os.environ['FROM_BASE'])")
    edit_image(project, f'recipe = "{BASE}"', f'from = "{base}"')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        with registry(tmp_path_factory.mktemp("registry") / "r") as running:
            yield running


@pytest.fixture(scope="module")
def wire(server: Registry) -> Iterator[Wire]:
    made_wire = Wire(server.address)
    yield made_wire
    made_wire.close()


@pytest.fixture(scope="module")
def tree(snake_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the small base with Python."""
    project = empty_project(tmp_path_factory.mktemp("tree") / "project", snake_store)
    write_base(project)
    return project.object(BASE) / "tree"


@pytest.fixture(scope="module")
def base(tree: Path) -> MadeImage:
    return Spoken((MadeLayer(packed(tree), ZSTD), MadeLayer(UPPER, PLAIN)))


@pytest.fixture(scope="module")
def finished(
    snake_store: Path, server: Registry, wire: Wire, base: MadeImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Any, str]]:
    """The project with its image made, what the command said of it, and what it said on stderr."""
    directory = tmp_path_factory.mktemp("finished")
    copy_store(snake_store, directory / "store")
    project = a_project(directory / "project", directory / "store")
    write_demo(project, f"oci:{wire.address}/team/base@{server.push('team/base', base)}")
    result = project.done("image", IMAGE, "--json")
    yield project, result.document, result.err
    unlock(project.store)


@pytest.fixture
def project(snake_store: Path, tmp_path: Path) -> Iterator[Project]:
    copy_store(snake_store, tmp_path / "store")
    yield (fresh := a_project(tmp_path / "project", tmp_path / "store"))
    assert not list((fresh.store / "stage").iterdir())
    unlock(fresh.store)


def blob(project: Project, digest: str) -> bytes:
    return (project.store / "oci/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def refused(project: Project, *words: str, status: int = 3) -> str:
    """`orch image demo` fails with these words, without a traceback, and the image has no name."""
    result = project.orch("image", IMAGE)
    assert result.status == status, result.err
    for word in words:
        assert word in result.err, result.err
    assert "Traceback" not in result.err
    index = project.store / "oci/index.json"
    assert not index.exists() or not json.loads(index.read_text())["manifests"]
    return result.err


def test_its_layers_are_the_first_ones_byte_for_byte(finished: tuple[Project, Any, str], base: MadeImage) -> None:
    project, result, _ = finished
    layers = json.loads(blob(project, result["manifest"]))["layers"]
    assert [layer["digest"] for layer in layers[:2]] == [sha256(layer.blob) for layer in base.layers]
    assert [layer["mediaType"] for layer in layers[:2]] == [ZSTD, PLAIN]
    assert [blob(project, layer["digest"]) for layer in layers[:2]] == [layer.blob for layer in base.layers]
    assert [layer["components"] for layer in result["layers"][:2]] == [["base-image"]] * 2
    assert [layer["components"] for layer in result["layers"]].count(["base-image"]) == 2
    assert result["layers"][-1]["components"] == ["system"]
    config = json.loads(blob(project, result["config"]))
    assert config["rootfs"]["diff_ids"][:2] == [sha256(layer.content) for layer in base.layers]
    assert len(config["rootfs"]["diff_ids"]) == len(layers)


def test_its_config_is_joined_with_the_image_s_own(finished: tuple[Project, Any, str], base: MadeImage) -> None:
    project, result, said = finished
    document = json.loads(blob(project, result["config"]))
    assert document["history"][:3] == HISTORY
    assert len([line for line in document["history"] if not line.get("empty_layer")]) == len(result["layers"])
    config = document["config"]
    environment = dict(line.split("=", 1) for line in config["Env"])
    assert environment["FROM_BASE"] == "yes"
    assert environment["GREETING"] == "hello"
    assert environment["PATH"].startswith("/opt/dynamo/venv/bin:")
    assert environment["PATH"].endswith(":/opt/base/bin")
    assert environment["PATH"].split(":").count("/usr/bin") == 1
    assert config["User"] == "1000:0"
    assert config["Entrypoint"] == ["/usr/local/bin/orch-entrypoint"]
    assert "of" not in config["Labels"]
    assert config["Labels"]["org.opencontainers.image.base.digest"] == sha256(base.manifest)
    assert project.log("demo-run")[-4:] == ["uid=1000(dynamo) gid=0(root) groups=0(root)", "0002", "hello", "1 yes"]
    assert "1 setuid or setgid program: /usr/bin/raise" in said


def test_again_no_registry_and_no_program(
    finished: tuple[Project, Any, str], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, result, _ = finished
    asked = wire.connections
    assert asked
    monkeypatch.setenv("PATH", "/nonexistent")
    again = made(project)
    assert (again["made"], again["manifest"]) == (False, result["manifest"])
    assert wire.connections == asked


def test_a_change_above_it_asks_no_registry_and_unpacks_nothing(
    finished: tuple[Project, Any, str], wire: Wire, tmp_path: Path
) -> None:
    project, result, _ = finished
    copy_store(project.store, tmp_path / "store")
    other, asked = Project(root=project.root, store=tmp_path / "store"), wire.connections
    again = other.done("image", IMAGE, "--set", "plain.version=2.0", "--json")
    assert wire.connections == asked
    assert "unpack" not in again.err
    changed = {layer["digest"] for layer in again.document["layers"]} - {layer["digest"] for layer in result["layers"]}
    assert [layer["name"] for layer in again.document["layers"] if layer["digest"] in changed] == ["plain"]
    document = other.orch("diff", result["manifest"], IMAGE, "--json").document
    assert [(one["name"], one["text"]) for one in document["components"]] == [("plain", "1.0 -> 2.0")]
    unlock(other.store)


def test_a_file_of_it_is_found_and_the_winner_s(finished: tuple[Project, Any, str], base: MadeImage) -> None:
    project, _, _ = finished
    (place,) = project.done("find", IMAGE, "/usr/bin/raise", "--json").document["paths"]
    assert (place["component"], place["layer"], place["key"]) == ("base-image", None, None)
    assert place["sources"][0].endswith(f"/team/base@{sha256(base.manifest)}")
    assert place["recipe"].endswith("image.toml: base.from")
    assert "a layer of the base image" in project.done("find", IMAGE, "/usr/bin/raise").out
    (place,) = project.done("find", IMAGE, "/usr/share/plain/file", "--json").document["paths"]
    assert place["component"] == "plain"
    (place,) = project.done("find", IMAGE, f"/{SITE}/one/__init__.py", "--json").document["paths"]
    assert place["component"] == "wheel:one"
    for name in ("base-image", sha256(base.layers[1].blob), "team/base"):
        (component,) = project.done("find", IMAGE, name, "--json").document["components"]
        assert component["name"] == "base-image"
    assert project.orch("find", IMAGE, "/usr/share/gone").status == 5
    assert "made: " in project.done("images").out


def test_a_dry_run_says_what_would_be_fetched_and_asks_nobody(
    project: Project, server: Registry, wire: Wire, base: MadeImage
) -> None:
    name = f"oci:{wire.address}/team/base@{server.push('team/base', base)}"
    write_demo(project, name)
    before, asked = listing(project.store), wire.connections
    out = project.done("image", IMAGE, "--dry-run").out
    assert name in out
    assert "and its base image" in out
    plan = project.done("image", IMAGE, "--dry-run", "--json").document
    assert {"source": name, "bytes": None} in plan["fetch"]
    assert listing(project.store) == before
    assert wire.connections == asked


def test_an_index_leads_to_the_image_of_the_platform(project: Project, server: Registry, base: MadeImage) -> None:
    other = MadeImage((MadeLayer(tar([member("arm")])),), architecture="arm64")
    for image in (other, base):
        server.push("multi", image)
    write_demo(project, f"oci:{server.address}/multi@{server.push_manifest('multi', index_of((other, base)), INDEX)}")
    result = made(project)
    assert [layer["digest"] for layer in result["layers"][:2]] == [sha256(layer.blob) for layer in base.layers]
    config = json.loads(blob(project, result["config"]))["config"]
    assert config["Labels"]["org.opencontainers.image.base.digest"] == sha256(base.manifest)


def test_what_the_registry_does_not_give_is_told_with_file_and_field(project: Project, server: Registry) -> None:
    where = f"recipes/images/{IMAGE}/image.toml: base.from"
    dead = f"127.0.0.1:{free_port()}"
    write_demo(project, f"oci:{dead}/team/base@sha256:{'0' * 64}")
    refused(project, where, "cannot fetch", "refused", status=4)
    edit_image(project, dead, server.address)
    refused(project, where, f"has no team/base@sha256:{'0' * 64}")
    assert not (project.store / "logs/plain").exists(), "something was built before"


def test_interrupted_while_it_is_fetched_nothing_is_left(project: Project, server: Registry, base: MadeImage) -> None:
    slow = Wire(server.address, cut=1 << 20, hangs=True)
    write_demo(project, f"oci:{slow.address}/team/base@{server.push('team/base', base)}")
    process = project.start("image", IMAGE)
    wait_for(lambda: any((project.store / "stage").glob("*oci*")), seconds=60, what="the fetch")
    os.killpg(process.pid, signal.SIGINT)
    result = ended(process)
    slow.close()
    assert result.status == 130, result.err
    assert "Traceback" not in result.err


def test_a_base_that_cannot_carry_the_image_is_refused_before_anything_is_built(
    project: Project, server: Registry, tree: Path
) -> None:
    without = MadeImage((MadeLayer(packed(tree, "usr/bin/python3.11"), PLAIN),))
    write_demo(project, f"oci:{server.address}/slim@{server.push('slim', without)}")
    where = f"recipes/images/{IMAGE}/image.toml: base.from"
    refused(project, where, "the base image has no /usr/bin/python3.11", "/opt/dynamo/venv", "pin an image that has it")
    tiny = MadeImage((MadeLayer(tar([member("bin/tool", b"x")]), PLAIN),))
    edit_image(project, f"slim@{sha256(without.manifest)}", f"tiny@{server.push('tiny', tiny)}")
    refused(project, where, "the base image has no /sbin/ldconfig")
    assert not (project.store / "logs/plain").exists()


def test_what_differs_from_it_needs_a_winner_and_nothing_of_it_can_be_dropped(
    project: Project, server: Registry, base: MadeImage
) -> None:
    name = f"oci:{server.address}/team/base@{server.push('team/base', base)}"
    write_demo(project, name, extra="")
    refused(project, "/usr/share/plain/file has different content in base-image and in plain", "[[winners]]")
    winner = WINNER.replace('component = "plain"', 'component = "base-image"')
    edit_image(project, "[[checks.waive]]", f"{winner}[[checks.waive]]")
    made(project)
    (place,) = project.done("find", IMAGE, "/usr/share/plain/file", "--json").document["paths"]
    assert place["component"] == "base-image"
    drop = '[[drop]]\npath = "usr/bin/raise"\ncomponent = "base-image"\nreason = "no setuid"\n'
    edit_image(project, "[[checks.waive]]", f"{drop}[[checks.waive]]")
    result = project.orch("image", IMAGE)
    assert result.status == 3
    assert "its layers are taken as they are" in result.err


def test_an_image_of_orch_is_the_base_of_another(project: Project, server: Registry) -> None:
    one = make_wheel(project.root, "one", {"one.py": b"VALUE = 1\n"})
    write_image(project, one, extra='user = "lower"\nuid = 2000\n', imports="import one")
    text = (project.root / "recipes/images" / IMAGE / "image.toml").read_text()
    edit_image(project, text[text.index("[python]") : text.index("[config]")], "")
    edit_image(project, text[text.index("python -c") : text.rindex("'''")], "")
    lower = made(project, "--push", f"{server.address}/lower:1", "--insecure")
    name = f"oci:{server.address}/lower@{lower['manifest']}"
    write_image(project, one, imports="import one")
    edit_image(project, f'recipe = "{BASE}"', f'from = "{name}"')
    edit_image(project, 'components = ["plain"]', "components = []")
    upper = made(project)
    count = len(lower["layers"])
    assert [layer["digest"] for layer in upper["layers"][:count]] == [layer["digest"] for layer in lower["layers"]]
    assert {"wheel:one", "bytecode", "system"} == {
        component for layer in upper["layers"][count:] for component in layer["components"]
    }


def test_its_bytes_are_known_before_they_are_fetched(project: Project, server: Registry, base: MadeImage) -> None:
    write_demo(project, f"oci:{server.address}/team/base@{server.push('team/base', base)}")
    image, layout = load_images(find_project(project.root))[IMAGE], open_store(project.store)
    fetch, unpacked = base_needs(layout, image, "x86_64-linux")
    assert fetch == sum(map(len, base.blobs))
    assert unpacked > sum(len(layer.content) for layer in base.layers) // 2
    made(project)
    assert base_needs(layout, image, "x86_64-linux") == (0, 0)
