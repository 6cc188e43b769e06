"""A registry on loopback (Debian's docker-registry, started by hand), a wire to it that counts and can be cut, and
images made by hand to put into it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import zstandard

OCI = "application/vnd.oci.image."
MANIFEST = f"{OCI}manifest.v1+json"
INDEX = f"{OCI}index.v1+json"
GZIP = f"{OCI}layer.v1.tar+gzip"
ZSTD = f"{OCI}layer.v1.tar+zstd"
PLAIN = f"{OCI}layer.v1.tar"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of a layer; a name that ends in '/' is a directory's."""
    info = tarfile.TarInfo(name.rstrip("/"))
    info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    info.mode = 0o755 if name.endswith("/") else 0o644
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)


def tar(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


@dataclass(frozen=True)
class MadeLayer:
    """A layer: its tar, and its blob as it is compressed."""

    content: bytes
    media_type: str = GZIP

    @property
    def blob(self) -> bytes:
        if self.media_type == ZSTD:
            return zstandard.ZstdCompressor().compress(self.content)
        return self.content if self.media_type == PLAIN else gzip.compress(self.content, mtime=0)


@dataclass(frozen=True)
class MadeImage:
    """An image by hand. `diff_ids` None: the true ones."""

    layers: tuple[MadeLayer, ...]
    architecture: str = "amd64"
    diff_ids: tuple[str, ...] | None = None

    @property
    def config(self) -> bytes:
        diff_ids = [sha256(layer.content) for layer in self.layers] if self.diff_ids is None else self.diff_ids
        return json.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode()

    @property
    def manifest(self) -> bytes:
        layers = [(layer.media_type, layer.blob) for layer in self.layers]
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(f"{OCI}config.v1+json", self.config),
                "layers": [descriptor(media_type, blob) for media_type, blob in layers],
            }
        ).encode()

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return (self.config, *(layer.blob for layer in self.layers))


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def index_of(images: Sequence[MadeImage]) -> bytes:
    entries = [
        descriptor(MANIFEST, image.manifest, platform={"os": "linux", "architecture": image.architecture})
        for image in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


@dataclass
class Registry:
    """A running registry."""

    address: str  # 127.0.0.1:PORT
    directory: Path

    def push_blob(self, path: str, blob: bytes) -> None:
        begun = requests.post(f"http://{self.address}/v2/{path}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        where = begun.headers["Location"]
        mark = "&" if "?" in where else "?"
        requests.put(f"{where}{mark}digest={sha256(blob)}", data=blob, timeout=60).raise_for_status()

    def push_manifest(self, path: str, data: bytes, media_type: str) -> str:
        url = f"http://{self.address}/v2/{path}/manifests/{sha256(data)}"
        requests.put(url, data=data, headers={"Content-Type": media_type}, timeout=30).raise_for_status()
        return sha256(data)

    def push(self, path: str, image: MadeImage) -> str:
        """The digest of the manifest."""
        for blob in image.blobs:
            self.push_blob(path, blob)
        return self.push_manifest(path, image.manifest, MANIFEST)

    def blob_file(self, digest: str) -> Path:
        hexadecimal = digest.partition(":")[2]
        return self.directory / f"data/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def registry(directory: Path) -> Iterator[Registry]:
    """A registry with its data in `directory`."""
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    address = f"127.0.0.1:{free_port()}"
    directory.mkdir(parents=True)
    config = directory / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory / 'data'}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
        )
    try:
        _wait(process, address, directory / "log")
        yield Registry(address, directory)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    while True:
        with suppress(requests.ConnectionError):
            requests.get(f"http://{address}/v2/", timeout=30)
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)


@dataclass
class Wire:
    """A TCP relay to `target` that counts connections, and ends each after `cut` bytes of answers if that is set; or
    says no more after them, but stays, if it `hangs`."""

    target: str
    cut: int | None = None
    hangs: bool = False
    closed: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    server: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.getsockname()[1]}"

    def close(self) -> None:
        self.closed.set()
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.server.accept()
                self.connections += 1
                host, _, port = self.target.partition(":")
                upstream = socket.create_connection((host, int(port)))
                threading.Thread(target=self._relay, args=(client, upstream, None), daemon=True).start()
                threading.Thread(target=self._relay, args=(upstream, client, self.cut), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, cut: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                passed += len(data)
                if cut is not None and passed > cut:
                    if self.hangs:
                        self.closed.wait()
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
