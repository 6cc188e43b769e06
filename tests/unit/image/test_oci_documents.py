from __future__ import annotations

import json

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.image.model import Layer
from orchestrator.image.oci import (
    CONFIG,
    MANIFEST,
    Descriptor,
    ImageMeta,
    check_ref,
    image_config,
    image_index,
    image_manifest,
)

LAYERS = tuple(
    Layer(
        name=name,
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        digest=Digest("sha256", digit * 64),
        size=10,
        diff_id=Digest("sha256", digit.upper().lower() * 63 + "0"),
        unpacked=20,
        parts=(),
    )
    for name, digit in (("debian-runtime", "a"), ("ucx", "b"))
)
META = ImageMeta(
    platform="x86_64-linux",
    created="1980-01-01T00:00:00Z",
    env=("PATH=/usr/bin", "B=ä"),
    entrypoint=("/entry",),
    cmd=("/bin/bash",),
    user="1000:0",
    workdir="/workspace",
    labels={"title": "try"},
)


def test_the_configuration_is_these_bytes() -> None:
    media_type, data = image_config(META, LAYERS)
    assert media_type == CONFIG
    assert data.decode() == (
        '{"architecture":"amd64","config":{"Cmd":["/bin/bash"],"Entrypoint":["/entry"],"Env":["PATH=/usr/bin","B=ä"],'
        '"Labels":{"title":"try"},"User":"1000:0","WorkingDir":"/workspace"},"created":"1980-01-01T00:00:00Z",'
        '"history":[{"created":"1980-01-01T00:00:00Z","created_by":"orch: debian-runtime"},'
        '{"created":"1980-01-01T00:00:00Z","created_by":"orch: ucx"}],"os":"linux","rootfs":{"diff_ids":['
        f'"sha256:{"a" * 63}0","sha256:{"b" * 63}0"],"type":"layers"}}}}'
    )


def test_the_manifest_is_these_bytes() -> None:
    config = Descriptor(media_type=CONFIG, digest=Digest("sha256", "c" * 64), size=5)
    media_type, data = image_manifest(config, LAYERS, annotations={"k": "v"})
    assert media_type == MANIFEST
    layer = '{{"digest":"sha256:{}","mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":10}}'
    assert data.decode() == (
        f'{{"annotations":{{"k":"v"}},"config":{{"digest":"sha256:{"c" * 64}",'
        '"mediaType":"application/vnd.oci.image.config.v1+json","size":5},"layers":['
        f"{layer.format('a' * 64)},{layer.format('b' * 64)}],"
        '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )


def test_the_index_names_images_in_order() -> None:
    one = Descriptor(media_type=MANIFEST, digest=Digest("sha256", "d" * 64), size=1)
    document = json.loads(image_index({"b": one, "a": one}))
    assert [item["annotations"] for item in document["manifests"]] == [
        {"org.opencontainers.image.ref.name": "a"},
        {"org.opencontainers.image.ref.name": "b"},
    ]


def test_what_is_empty_is_left_out() -> None:
    data = image_config(ImageMeta(platform="aarch64-linux", created="1980-01-01T00:00:00Z"), ()).data
    document = json.loads(data)
    assert document["architecture"] == "arm64"
    assert document["config"] == {}


@pytest.mark.parametrize("platform", ["x86_64-darwin", "s390x-linux", ""])
def test_a_platform_without_a_word_is_refused(platform: str) -> None:
    with pytest.raises(RecipeError, match="platform"):
        image_config(ImageMeta(platform=platform, created=""), ())


@pytest.mark.parametrize(
    ("name", "good"), [("sglang-cu12", True), ("a:b", True), ("", False), ("-a", False), ("a b", False)]
)
def test_names(name: str, good: bool) -> None:
    if good:
        check_ref(name)
    else:
        with pytest.raises(RecipeError):
            check_ref(name)
