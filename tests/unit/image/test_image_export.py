from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from layer_box import make_image, plan_of, publish_files

from orchestrator.digest import Digest
from orchestrator.errors import MachineError, UsageError
from orchestrator.image import export as export_module
from orchestrator.image.export import Target, export, parse_target, push, refuse_target
from orchestrator.image.model import Compression
from orchestrator.image.push import check_ref
from orchestrator.store import ImageRecord, Layout, blob_path, open_store

FILES: dict[str, dict[str, bytes]] = {"base": {"bin/sh": b"\x7fELF" * 999}, "ucx": {"usr/lib/libucp.so": bytes(70_000)}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


@pytest.fixture
def record(layout: Layout) -> ImageRecord:
    return image(layout, "try")


def image(layout: Layout, name: str, compression: Compression = "zstd", **more: bytes) -> ImageRecord:
    trees = {**FILES, "more": {**more}} if more else FILES
    plans = [plan_of(part, publish_files(layout, files)) for part, files in trees.items()]
    return make_image(layout, name, plans, compression=compression)


def index_of(directory: Path) -> dict[str, str]:
    manifests = json.loads((directory / "index.json").read_bytes())["manifests"]
    return {item["annotations"]["org.opencontainers.image.ref.name"]: item["digest"] for item in manifests}


def digests(record: ImageRecord) -> set[Digest]:
    return {record.manifest, record.config, *(layer.digest for layer in record.layers)}


def refuse_links(*arguments: object) -> None:
    raise OSError(18, "Invalid cross-device link")


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("oci:out", "oci", "out"),
        ("oci-archive:/tmp/x.tar", "oci-archive", "/tmp/x.tar"),
        ("docker-archive:a b", "docker-archive", "a b"),
    ],
)
def test_targets(text: str, kind: str, path: str) -> None:
    target = parse_target(text)
    assert (target.kind, target.path) == (kind, Path(path))


@pytest.mark.parametrize("text", ["", "out", "oci", "oci:", "dir:out", "oci:out:name", "docker-archive:x:latest"])
def test_no_targets(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


@pytest.mark.parametrize("linked", [True, False])
def test_a_layout_holds_the_image(
    layout: Layout, record: ImageRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    if not linked:
        monkeypatch.setattr(export_module.os, "link", refuse_links)
    out = tmp_path / "deep" / "out"
    export(layout, record, Target("oci", out))
    assert index_of(out) == {"try": str(record.manifest)}
    assert {path.name for path in (out / "blobs/sha256").iterdir()} == {digest.hex for digest in digests(record)}
    for path in (out / "blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        assert (path.stat().st_nlink == 2) == linked
    assert {path.name for path in out.iterdir()} == {"blobs", "index.json", "oci-layout"}


def test_a_layout_that_is_there_gets_the_image_and_keeps_the_rest(
    layout: Layout, record: ImageRecord, tmp_path: Path
) -> None:
    out = Target("oci", tmp_path / "out")
    other = image(layout, "other", extra=b"1")
    export(layout, record, out)
    export(layout, other, out)
    again = image(layout, "try", extra=b"2")
    export(layout, again, out)
    assert index_of(out.path) == {"try": str(again.manifest), "other": str(other.manifest)}
    assert blob_path(layout, record.manifest).name in {path.name for path in (out.path / "blobs/sha256").iterdir()}


def test_half_a_blob_at_the_target_is_replaced(layout: Layout, record: ImageRecord, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "blobs/sha256").mkdir(parents=True)
    (out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    half = out / "blobs/sha256" / record.layers[0].digest.hex
    half.write_bytes(b"half")
    export(layout, record, Target("oci", out))
    assert hashlib.sha256(half.read_bytes()).hexdigest() == half.name


def test_an_export_that_fails_leaves_the_old_index(layout: Layout, record: ImageRecord, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(layout, record, Target("oci", out))
    before = (out / "index.json").read_bytes()
    broken = image(layout, "try", extra=b"2")
    blob_path(layout, broken.layers[-1].digest).unlink()
    with pytest.raises(MachineError):
        export(layout, broken, Target("oci", out))
    assert (out / "index.json").read_bytes() == before
    assert not [path for path in out.rglob("*") if path.name.endswith(".new")]


@pytest.mark.parametrize("content", ["file", "directory", "index"])
def test_a_directory_that_is_something_else_is_refused(
    layout: Layout, record: ImageRecord, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "out"
    if content == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")
        if content == "index":
            (out / "oci-layout").write_text("{}")
            (out / "index.json").write_text("[1]")
    with pytest.raises(UsageError, match="not an image layout"):
        export(layout, record, Target("oci", out))
    assert not (out / "oci-layout").exists() or content == "index"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = {info.name: tar.extractfile(info) for info in tar if info.isreg()}
        return {name: file.read() for name, file in files.items() if file}


def test_an_oci_archive_is_a_layout(layout: Layout, record: ImageRecord, tmp_path: Path) -> None:
    export(layout, record, parse_target(f"oci-archive:{tmp_path}/a.tar"))
    found = members(tmp_path / "a.tar")
    blobs = {name.rpartition("/")[2]: data for name, data in found.items() if name.startswith("blobs/")}
    assert set(blobs) == {digest.hex for digest in digests(record)}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    (item,) = json.loads(found["index.json"])["manifests"]
    assert item["digest"] == str(record.manifest)
    assert found["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_docker_archive_has_the_layers_as_tars(layout: Layout, tmp_path: Path, compression: Compression) -> None:
    record = image(layout, "try", compression)
    export(layout, record, parse_target(f"docker-archive:{tmp_path}/d.tar"))
    found = members(tmp_path / "d.tar")
    (item,) = json.loads(found["manifest.json"])
    assert item["RepoTags"] == ["try:latest"]
    config = found[item["Config"]]
    assert f"{hashlib.sha256(config).hexdigest()}.json" == item["Config"] == f"{record.config.hex}.json"
    tars = [found[name] for name in item["Layers"]]
    assert [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars] == json.loads(config)["rootfs"]["diff_ids"]
    with tarfile.open(fileobj=io.BytesIO(tars[1])) as tar:
        assert tar.getnames() == ["usr", "usr/lib", "usr/lib/libucp.so"]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_is_the_same_bytes_again(layout: Layout, record: ImageRecord, tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        export(layout, record, parse_target(f"{kind}:{tmp_path}/{name}"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    export(layout, image(layout, "try", extra=b"1"), parse_target(f"{kind}:{tmp_path}/one"))  # over an archive
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("content", [b"mine", bytes(2048), None])
def test_a_file_that_is_something_else_is_refused(
    layout: Layout, record: ImageRecord, tmp_path: Path, kind: str, content: bytes | None
) -> None:
    out = tmp_path / "out"
    if content is None:
        out.mkdir()
    else:
        out.write_bytes(content)
    with pytest.raises(UsageError, match="no archive that orch wrote"):
        export(layout, record, parse_target(f"{kind}:{out}"))
    assert content is None or out.read_bytes() == content


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def to_oci_copy(layout: Layout, record: ImageRecord, out: Path) -> None:
    export(layout, record, Target("oci", out))


def to_oci_archive(layout: Layout, record: ImageRecord, out: Path) -> None:
    export(layout, record, Target("oci-archive", out))


def to_docker_archive(layout: Layout, record: ImageRecord, out: Path) -> None:
    export(layout, record, Target("docker-archive", out))


@pytest.mark.parametrize("which", ["layer", "manifest"])
def test_a_damaged_blob_is_not_linked(layout: Layout, record: ImageRecord, tmp_path: Path, which: str) -> None:
    blob = blob_path(layout, record.layers[1].digest if which == "layer" else record.manifest)
    flip(blob)
    with pytest.raises(MachineError, match="is damaged"):
        export(layout, record, Target("oci", tmp_path / "out"))
    assert not (tmp_path / "out/index.json").exists()
    assert not (tmp_path / "out/blobs/sha256" / blob.name).exists()
    assert not blob.exists()


def test_what_may_not_be_replaced_is_known_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for text in (f"oci:{tmp_path}", f"docker-archive:{tmp_path}/notes", f"oci-archive:{tmp_path}/no/such.tar"):
        with pytest.raises(UsageError):
            refuse_target(parse_target(text))
    refuse_target(parse_target(f"oci:{tmp_path}/a/b"))
    refuse_target(parse_target(f"docker-archive:{tmp_path}/new.tar"))


@pytest.mark.parametrize(
    "ref", ["host.example/team/name:cu12", "docker://127.0.0.1:5000/x", "[::1]:5000/x", "team/x", "here:5000/x"]
)
def test_places_in_a_registry(ref: str) -> None:
    check_ref(ref)


@pytest.mark.parametrize(
    "ref", ["", "host.example/Team/x", "https://host.example/x", "host.example/x:", "a b", "UPPER/x"]
)
def test_no_places_in_a_registry(ref: str) -> None:
    with pytest.raises(UsageError, match="no name of an image"):
        check_ref(ref)


def test_a_password_in_the_name_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="a user or a password") as caught:
        check_ref("me:hunter2@host.example/x")
    assert "hunter2" not in str(caught.value) + caught.value.what + caught.value.why + caught.value.where


@pytest.mark.parametrize("how", [to_oci_copy, to_oci_archive, to_docker_archive])
@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_flipped_bit_in_a_blob_leaves_no_file(
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[Layout, ImageRecord, Path], None],
    compression: Compression,
) -> None:
    monkeypatch.setattr(export_module.os, "link", refuse_links)
    record = image(layout, "try", compression)
    blob = blob_path(layout, record.layers[1].digest)
    flip(blob)
    out = tmp_path / "out"
    with pytest.raises(MachineError, match="is damaged"):
        how(layout, record, out)
    assert not out.is_file()
    assert not (out / "index.json").exists()
    assert not blob.exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"store", "out"}


def test_push_without_skopeo_says_what_to_install(
    layout: Layout, record: ImageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match="skopeo is not installed") as caught:
        push(layout, record, "127.0.0.1:1/try")
    assert "apt-get install skopeo" in caught.value.hint


SKOPEO = """#!/bin/sh
printf '%s\\n' "$@" >"$ARGUMENTS"
cat image/index.json >"$ARGUMENTS.index"
ls image/blobs/sha256 | wc -l >"$ARGUMENTS.blobs"
echo "Copying blob"
printf %s "$DIGEST" >digest
exit "$STATUS"
"""


def fake_skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str, status: int) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/skopeo").write_text(SKOPEO)
    (tmp_path / "bin/skopeo").chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "ARGUMENTS": f"{tmp_path}/arguments",
        "DIGEST": digest,
        "STATUS": str(status),
    }.items():
        monkeypatch.setenv(name, value)


def test_push_hands_over_this_image_alone(
    layout: Layout, record: ImageRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_skopeo(tmp_path, monkeypatch, str(record.manifest), 0)
    image(layout, "try", extra=b"1")  # the name has moved on
    said: list[str] = []
    push(layout, record, "docker://host:5000/team/try:1", insecure=True, say=said.append)
    assert said == ["Copying blob"]
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[-2:] == ["oci:image:try", "docker://host:5000/team/try:1"]
    assert "--dest-tls-verify=false" in arguments
    assert "--preserve-digests" in arguments
    (item,) = json.loads((tmp_path / "arguments.index").read_bytes())["manifests"]
    assert item["digest"] == str(record.manifest)
    assert int((tmp_path / "arguments.blobs").read_text()) >= 4


@pytest.mark.parametrize(("status", "what"), [(1, "could not be pushed"), (0, "another digest")])
def test_a_push_that_went_wrong_is_an_error(
    layout: Layout, record: ImageRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, what: str
) -> None:
    fake_skopeo(tmp_path, monkeypatch, f"sha256:{'0' * 64}", status)
    with pytest.raises(MachineError, match=what):
        push(layout, record, "host:5000/try")
    assert "--dest-tls-verify=false" not in (tmp_path / "arguments").read_text().splitlines()
    assert not list(layout.stage.iterdir())
