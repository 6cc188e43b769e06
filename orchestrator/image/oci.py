"""The documents of the OCI image specification that an image is made of, as canonical bytes. Pure.

Knows no store and no recipe: what goes into a document is handed in. OCI's own words are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RecipeError
from orchestrator.frozen import NamedTuple, field, frozen
from orchestrator.image.model import Layer

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_REF = re.compile(r"[A-Za-z0-9]+(?:[-._:@/+][A-Za-z0-9]+)*")


@frozen
class Descriptor:
    """What a blob is, how it is called by its content, and how big it is."""

    media_type: str
    digest: Digest  # sha256
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As it stands in a manifest or an index."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Descriptor:
        """Raise KeyError, TypeError, ValueError or RecipeError for what is no descriptor."""
        size = document["size"]
        if type(size) is not int or size < 0:
            raise ValueError(f"size is {size!r}")
        notes = {str(name): str(value) for name, value in dict(document.get("annotations") or {}).items()}
        digest = Digest.parse(document["digest"])
        return cls(media_type=str(document["mediaType"]), digest=digest, size=size, annotations=notes)


class Document(NamedTuple):
    """The bytes of a document and what they are."""

    media_type: str
    data: bytes


@frozen
class ImageMeta:
    """What an image configuration says beside its layers."""

    platform: str  # such as x86_64-linux
    created: str  # RFC 3339
    env: tuple[str, ...] = ()  # NAME=VALUE
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""  # UID:GID or a name
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def architecture(platform: str) -> str:
    """OCI's word for the machine of a platform such as x86_64-linux. Raise RecipeError if there is none."""
    machine, _, system = platform.partition("-")
    if system != "linux" or machine not in _ARCHITECTURES:
        raise RecipeError(
            f"no image can be made for the platform {platform}",
            why=f"known are {', '.join(f'{name}-linux' for name in sorted(_ARCHITECTURES))}",
        )
    return _ARCHITECTURES[machine]


def image_config(meta: ImageMeta, layers: Sequence[Layer], *, below: Sequence[Mapping[str, Any]] = ()) -> Document:
    """The image configuration: `layers` bottom first; one entry of the history a layer names what it is. `below` is the
    history, as it stands in its own configuration, of the image whose layers are the first ones.

    What is empty is left out. Raise RecipeError for a platform that OCI has no word for.
    """
    told = sum(not entry.get("empty_layer") for entry in below)
    how = {
        "Env": list(meta.env),
        "Entrypoint": list(meta.entrypoint),
        "Cmd": list(meta.cmd),
        "User": meta.user,
        "WorkingDir": meta.workdir,
        "Labels": dict(meta.labels),
    }
    document = {
        "architecture": architecture(meta.platform),
        "os": "linux",
        "created": meta.created,
        "config": {name: value for name, value in how.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]},
        "history": [
            *(dict(entry) for entry in below),
            *({"created": meta.created, "created_by": f"orch: {layer.name}"} for layer in layers[told:]),
        ],
    }
    return Document(CONFIG, canonical_json(document))


def image_manifest(
    config: Descriptor, layers: Sequence[Layer], *, annotations: Mapping[str, str] | None = None
) -> Document:
    """The image manifest: its digest is the image's. `layers` bottom first."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.document(),
        "layers": [
            Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size).document() for layer in layers
        ],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return Document(MANIFEST, canonical_json(document))


def image_index(refs: Mapping[str, Descriptor]) -> bytes:
    """The index.json of a layout whose images have these names."""
    manifests = [
        Descriptor(
            media_type=descriptor.media_type,
            digest=descriptor.digest,
            size=descriptor.size,
            annotations={**descriptor.annotations, REF_NAME: name},
        ).document()
        for name, descriptor in sorted(refs.items())
    ]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def check_ref(name: str) -> None:
    """Raise RecipeError unless the specification lets an image have this name."""
    if not _REF.fullmatch(name):
        raise RecipeError(
            f"{name!r} cannot be the name of an image",
            why="a name is letters and digits, with single separators out of - . _ : @ / + between them",
        )
