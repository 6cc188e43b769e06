"""Reads an OCI image manifest or index, or Docker's of schema 2, which say the same in other words. Pure.

What comes from a registry is not trusted: every field that is used is looked at first.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.digest import Digest
from orchestrator.errors import OrchError
from orchestrator.frozen import frozen

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."
_INDEXES = (f"{_OCI}index.v1+json", f"{_DOCKER}distribution.manifest.list.v2+json")
_MANIFESTS = (f"{_OCI}manifest.v1+json", f"{_DOCKER}distribution.manifest.v2+json")
_CONFIGS = (f"{_OCI}config.v1+json", f"{_DOCKER}container.image.v1+json")
# What a layer's media type is in OCI's words. Others (encrypted ones, those that may not be distributed) are refused.
_LAYERS = {
    f"{_OCI}layer.v1.tar": f"{_OCI}layer.v1.tar",
    f"{_OCI}layer.v1.tar+gzip": f"{_OCI}layer.v1.tar+gzip",
    f"{_OCI}layer.v1.tar+zstd": f"{_OCI}layer.v1.tar+zstd",
    f"{_DOCKER}image.rootfs.diff.tar": f"{_OCI}layer.v1.tar",
    f"{_DOCKER}image.rootfs.diff.tar.gzip": f"{_OCI}layer.v1.tar+gzip",
    f"{_DOCKER}image.rootfs.diff.tar.zstd": f"{_OCI}layer.v1.tar+zstd",
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_VARIANTS = {"amd64": ("", "v1"), "arm64": ("", "v8")}  # what every machine of that architecture runs
_MAX_LAYERS = 1024


@frozen
class Blob:
    """A descriptor: what a manifest says of one of its blobs."""

    media_type: str  # in OCI's words
    digest: Digest
    size: int  # bytes


@frozen
class ImageManifest:
    """The manifest of one image for one platform, as bytes and as what they say."""

    digest: Digest
    data: bytes
    config: Blob
    layers: tuple[Blob, ...]  # the lowest first

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Config and layers, each digest once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())


@frozen
class ImageIndex:
    """The manifests of one image for several platforms: what each is for, spelt os/architecture[/variant]."""

    manifests: tuple[tuple[str, Digest], ...]


def parse_manifest(digest: Digest, data: bytes) -> ImageManifest | ImageIndex:
    """What `data`, whose SHA-256 is `digest`, says; raise ValueError if it is neither a manifest nor an index."""
    document = json_object(data)
    kind = document.get("mediaType") or (_INDEXES[0] if "manifests" in document else _MANIFESTS[0])
    try:
        if document["schemaVersion"] != 2:
            raise ValueError(f"its schemaVersion is {document['schemaVersion']!r}, read here is 2")
        if kind in _INDEXES:
            return ImageIndex(manifests=tuple(_index_entry(item) for item in document["manifests"]))
        if kind not in _MANIFESTS:
            raise ValueError(f"its mediaType is {kind!r}")
        config, layers = _blob(document["config"]), tuple(_layer(item) for item in document["layers"])
    except (KeyError, TypeError, AttributeError, OrchError) as error:
        raise ValueError(f"a field is missing or malformed: {error}") from error
    if config.media_type not in _CONFIGS:
        raise ValueError(f"it is no image: its config is a {config.media_type!r}")
    if len(layers) > _MAX_LAYERS:
        raise ValueError(f"it has {len(layers)} layers")
    return ImageManifest(digest=digest, data=data, config=config, layers=layers)


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` spells; raise ValueError for anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  # what the caller is told, not a mistake of its own
    return document


def platforms_of(platform: str) -> tuple[str, ...]:
    """How OCI spells `platform` (x86_64-linux), the best spelling first; empty if it is not known here."""
    machine, _, system = platform.partition("-")
    architecture = _MACHINES.get(machine, "")
    return tuple(spelt(system, architecture, variant) for variant in _VARIANTS.get(architecture, ()))


def spelt(system: str, architecture: str, variant: str) -> str:
    """os/architecture[/variant]."""
    return f"{system}/{architecture}" + (f"/{variant}" if variant else "")


def _index_entry(item: dict[str, Any]) -> tuple[str, Digest]:
    platform = item.get("platform") or {}
    known = item["mediaType"] in _MANIFESTS
    words = (str(platform.get(name, "")) for name in ("os", "architecture", "variant"))
    return spelt(*words) if known else f"a {item['mediaType']}", _sha256(item["digest"])


def _layer(item: dict[str, Any]) -> Blob:
    blob = _blob(item)
    if blob.media_type not in _LAYERS:
        raise ValueError(f"its layer {blob.digest} is a {blob.media_type!r}, which is not read here")
    return Blob(media_type=_LAYERS[blob.media_type], digest=blob.digest, size=blob.size)


def _blob(item: dict[str, Any]) -> Blob:
    size, media_type = item["size"], item["mediaType"]
    if type(size) is not int or size < 0 or not isinstance(media_type, str):
        raise ValueError("a descriptor's size or media type is malformed")
    return Blob(media_type=media_type, digest=_sha256(item["digest"]), size=size)


def _sha256(text: Any) -> Digest:
    digest = Digest.parse(text)
    if digest.algorithm != "sha256":
        raise ValueError(f"the digest {text!r} is no sha256")
    return digest
