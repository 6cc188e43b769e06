"""Images read by the programs that people use: skopeo, umoci, a registry. All on this machine, over loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.image.export import export, parse_target, push
from orchestrator.image.layer import make_layers
from orchestrator.image.layout import add_document, name_image
from orchestrator.image.model import Compression, LayerPart, LayerPlan
from orchestrator.image.oci import ImageMeta, image_config, image_manifest
from orchestrator.store import ImageRecord, LayerFields, Layout, open_store, publish_tree, staging, write_image
from orchestrator.tree import SEALED_MTIME, Entry, Manifest

pytestmark = pytest.mark.integration

LONG = f"usr/share/{'long-name-' * 12}"
BASE = Manifest(
    tuple(
        [Entry(path, "dir", 0o755) for path in ("usr", "usr/bin", "usr/share", "home")]
        + [Entry("home/dynamo", "dir", 0o2775, uid=1000)]
        + [Entry("bin", "link", 0o777, target="usr/bin"), Entry("usr/bin/sh", "link", 0o777, target="tool")]
        + [
            Entry(path, "file", mode, size=len(data), digest=blake3_bytes(data).hex, uid=uid)
            for path, mode, data, uid in (
                ("usr/bin/tool", 0o755, b"#!/nothing\n" * 400_000, 0),
                (LONG, 0o644, b"x", 0),
                ("usr/share/ä", 0o640, b"", 1000),
            )
        ]
    )
)
CONTENT = {"usr/bin/tool": b"#!/nothing\n" * 400_000, LONG: b"x", "usr/share/ä": b""}


def need(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def publish(layout: Layout, manifest: Manifest, content: dict[str, bytes]) -> Digest:
    with staging(layout, "test") as room:
        tree = room / "tree"
        tree.mkdir()
        for entry in manifest.entries:
            if entry.kind == "dir":
                (tree / entry.path).mkdir()
            elif entry.kind == "link":
                (tree / entry.path).symlink_to(entry.target)
            else:
                (tree / entry.path).write_bytes(content[entry.path])
        return publish_tree(layout, tree, manifest)


def nixl(version: bytes) -> tuple[Manifest, dict[str, bytes]]:
    data = version * 50_000
    entries = [Entry(path, "dir", 0o755) for path in ("opt", "opt/nixl")]
    entries.append(Entry("opt/nixl/lib.so", "file", 0o644, size=len(data), digest=blake3_bytes(data).hex))
    return Manifest(tuple(entries)), {"opt/nixl/lib.so": data}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return open_store(tmp_path_factory.mktemp("consumers") / "store")


def image(
    layout: Layout, name: str = "small", version: bytes = b"0.9.0", compression: Compression = "zstd"
) -> ImageRecord:
    """An image of two layers: one that stays and one that is the version's."""
    objects = {"base": publish(layout, BASE, CONTENT), "nixl": publish(layout, *nixl(version))}
    plans = [
        LayerPlan(name=part, parts=(LayerPart(component=part, object=digest),), size=1)
        for part, digest in objects.items()
    ]
    layers = make_layers(layout, plans, compression=compression)
    meta = ImageMeta(
        platform="x86_64-linux",
        created="1980-01-01T00:00:00Z",
        env=("A=b",),
        entrypoint=("/usr/bin/tool",),
        user="1000:0",
        labels={"org.opencontainers.image.title": name},
    )
    config = add_document(layout, image_config(meta, layers))
    manifest = add_document(layout, image_manifest(config, layers))
    fields = [
        LayerFields(one.name, one.media_type, one.digest, one.size, one.diff_id, one.unpacked, (one.name,))
        for one in layers
    ]
    record = ImageRecord(
        key=blake3_bytes(str(manifest.digest).encode()),
        name=name,
        version="1",
        platform=meta.platform,
        options=(),
        manifest=manifest.digest,
        manifest_size=manifest.size,
        config=config.digest,
        config_size=config.size,
        created=meta.created,
        layers=tuple(fields),
        components=(),
        unpacked=1,
    )
    write_image(layout, record)
    name_image(layout, record)
    return record


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_skopeo_reads_the_store_and_what_is_written_out(
    layout: Layout, tmp_path: Path, compression: Compression
) -> None:
    skopeo = need("skopeo")
    record = image(layout, compression=compression)
    for target in (f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/a.tar"):
        export(layout, record, parse_target(target))
    for place in (f"oci:{layout.oci}:small", f"oci:{tmp_path}/out:small", f"oci-archive:{tmp_path}/a.tar"):
        facts = json.loads(run(skopeo, "inspect", place))
        assert facts["Digest"] == str(record.manifest)
        assert facts["Layers"] == [str(layer.digest) for layer in record.layers]
        assert (facts["Architecture"], facts["Os"]) == ("amd64", "linux")
        assert facts["Labels"] == {"org.opencontainers.image.title": "small"}
        # A copy reads and hashes every blob.
        run(skopeo, "--insecure-policy", "copy", "--preserve-digests", place, f"dir:{tmp_path}/copy")
        assert (tmp_path / "copy/manifest.json").read_bytes() == (
            layout.oci / "blobs/sha256" / record.manifest.hex
        ).read_bytes()


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_skopeo_reads_a_docker_archive(layout: Layout, tmp_path: Path, compression: Compression) -> None:
    skopeo = need("skopeo")
    record = image(layout, compression=compression)
    place = f"docker-archive:{tmp_path}/d.tar"
    export(layout, record, parse_target(place))
    raw = json.loads(run(skopeo, "inspect", "--raw", place))
    assert raw["config"]["digest"] == str(record.config)  # what docker calls the image's ID
    run(skopeo, "--insecure-policy", "copy", f"{place}:small:latest", f"oci:{tmp_path}/copy:x")
    facts = json.loads(run(skopeo, "inspect", "--config", f"oci:{tmp_path}/copy:x"))
    assert facts["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in record.layers]
    assert facts["config"]["Entrypoint"] == ["/usr/bin/tool"]


def test_umoci_unpacks_what_the_manifests_say(layout: Layout, tmp_path: Path) -> None:
    umoci = need("umoci")
    if os.geteuid() != 0:
        pytest.skip("only root can unpack owners")
    image(layout, compression="gzip")  # umoci 0.4 knows no zstd
    run(umoci, "unpack", "--image", f"{layout.oci}:small", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    wanted = {entry.path: entry for manifest in (BASE, nixl(b"0.9.0")[0]) for entry in manifest.entries}
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    assert set(found) == set(wanted)
    for path, entry in wanted.items():
        facts = found[path].lstat()
        assert (facts.st_uid, facts.st_gid, facts.st_mtime) == (entry.uid, entry.gid, SEALED_MTIME), path
        if entry.kind == "link":
            assert os.readlink(found[path]) == entry.target  # noqa: PTH115
            continue
        assert facts.st_mode & 0o7777 == entry.mode, path
        if entry.kind == "file":
            assert blake3_bytes(found[path].read_bytes()).hex == entry.digest


@dataclass(frozen=True)
class Registry:
    address: str
    log: Path

    def requests(self, method: str) -> list[str]:
        """The paths that were asked for with this method, from the access log."""
        marker = f'"{method} '
        lines = [line for line in self.log.read_text().splitlines() if marker in line and "HTTP/1.1" in line]
        return [line.split(marker, 1)[1].split()[0] for line in lines]


CONFIG = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {root}
http:
  addr: {address}
  secret: nothing
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    program = need("docker-registry")
    need("skopeo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (tmp_path / "config.yml").write_text(CONFIG.format(root=tmp_path / "registry", address=address))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log)
        try:
            _wait(process, address)
            yield Registry(address, tmp_path / "log")
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    host, port = address.split(":")
    for _ in range(600):
        assert process.poll() is None, "the registry ended"
        try:
            socket.create_connection((host, int(port))).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the registry does not listen")


def uploads(paths: Sequence[str]) -> set[str]:
    """The digests of blobs whose upload was finished."""
    return {path.partition("digest=")[2].replace("%3A", ":").partition("&")[0] for path in paths if "digest=" in path}


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_registry_keeps_the_digest_and_gets_only_what_it_lacks(
    layout: Layout, tmp_path: Path, registry: Registry, compression: Compression
) -> None:
    first = image(layout, "pushed", b"0.9.0", compression)
    ref = f"{registry.address}/team/pushed:1"
    said: list[str] = []
    push(layout, first, ref, insecure=True, say=said.append)
    assert any("Copying" in line for line in said)
    sent = uploads(registry.requests("PUT"))
    assert sent == {str(first.config), *(str(layer.digest) for layer in first.layers)}

    second = image(layout, "pushed", b"0.8.0", compression)
    assert second.layers[0] == first.layers[0]
    push(layout, second, ref, insecure=True)
    sent_later = uploads(registry.requests("PUT")) - sent
    assert sent_later == {str(second.config), str(second.layers[1].digest)}

    before = uploads(registry.requests("PUT"))
    push(layout, second, ref, insecure=True)
    assert uploads(registry.requests("PUT")) == before

    skopeo = need("skopeo")
    facts = json.loads(run(skopeo, "inspect", "--tls-verify=false", f"docker://{ref}"))
    assert facts["Digest"] == str(second.manifest)
    run(
        *(skopeo, "--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"),
        *(f"docker://{registry.address}/team/pushed@{first.manifest}", f"oci:{tmp_path}/pulled:x"),
    )
    for layer in first.layers:
        assert (tmp_path / "pulled/blobs/sha256" / layer.digest.hex).stat().st_size == layer.size


def test_a_registry_that_is_not_there_is_said(layout: Layout) -> None:
    need("skopeo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(MachineError, match="could not be pushed") as caught:
        push(layout, image(layout), f"{address}/small:1", insecure=True)
    assert "connection refused" in caught.value.why


def test_a_registry_without_tls_is_named_with_the_remedy(layout: Layout, registry: Registry) -> None:
    with pytest.raises(MachineError) as caught:
        push(layout, image(layout), f"{registry.address}/small:1")
    assert "--insecure" in caught.value.hint
