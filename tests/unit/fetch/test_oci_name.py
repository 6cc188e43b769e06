"""Names of images in registries, and the manifests that come from there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.fetch.oci_manifest import ImageIndex, ImageManifest, parse_manifest, platforms_of
from orchestrator.fetch.oci_name import parse_oci_name

HEX = "0123456789abcdef" * 4
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."


@pytest.mark.parametrize(
    ("registry", "path", "is_loopback"),
    [
        ("registry.example", "base", False),
        ("registry.example:5000", "team/cuda-base/runtime_22.04", False),
        ("localhost", "a/b", True),
        ("127.0.0.1:5000", "a--b/c__d", True),
        ("10.0.0.1:443", "a", False),
    ],
)
def test_a_name(registry: str, path: str, is_loopback: bool) -> None:
    text = f"oci:{registry}/{path}@sha256:{HEX}"
    name = parse_oci_name(text)
    assert (name.registry, name.path, name.digest) == (registry, path, Digest("sha256", HEX))
    assert name.is_loopback is is_loopback
    assert str(name) == text
    assert name.at(name.digest) == f"docker://{registry}/{path}@sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"docker:registry.example/a@sha256:{HEX}", "does not start with"),
        ("oci:registry.example/a", "no digest"),
        ("oci:registry.example/a:latest", "no digest"),
        (f"oci:registry.example/a@sha256:{HEX[1:]}", "64 lower-case hex digits"),
        (f"oci:registry.example/a@sha256:{HEX.upper()}", "64 lower-case hex digits"),
        (f"oci:registry.example/a@sha512:{HEX}", "64 lower-case hex digits"),
        (f"oci:registry.example/a:1@sha256:{HEX}", "a tag beside its digest"),
        (f"oci:debian@sha256:{HEX}", "names no registry"),
        (f"oci:library/debian@sha256:{HEX}", "names no registry"),
        (f"oci:registry.example/@sha256:{HEX}", "not a repository's path"),
        (f"oci:registry.example/A@sha256:{HEX}", "not a repository's path"),
        (f"oci:registry.example/a/../b@sha256:{HEX}", "not a repository's path"),
        (f"oci:registry.example/a b@sha256:{HEX}", "not a repository's path"),
        (f"oci:user@registry.example/a@sha256:{HEX}", "not a host"),
        (f"oci:-x.example/a@sha256:{HEX}", "not a host"),
        (f"oci:registry.example:0/a@sha256:{HEX}", "not a host"),
        (f"oci:registry.example:99999/a@sha256:{HEX}", "not a host"),
        (f"oci:registry.example/{'a' * 250}@sha256:{HEX}", "longer than"),
    ],
)
def test_no_name(text: str, why: str) -> None:
    with pytest.raises(RecipeError) as failure:
        parse_oci_name(text, where="image.toml: base.from")
    assert why in failure.value.why
    assert failure.value.where == "image.toml: base.from"
    assert "@sha256:HEX" in failure.value.hint


@given(st.text(max_size=60), st.booleans())
def test_whatever_is_a_name_is_spelt_as_it_was(text: str, pinned: bool) -> None:
    text = f"oci:{text}@sha256:{HEX}" if pinned else text
    try:
        name = parse_oci_name(text)
    except RecipeError:
        return
    assert str(name) == text
    assert not set(name.at(name.digest).removeprefix("docker://")) & set(" \t\n\0'\"$;&|")


def descriptor(media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{HEX}", "size": 3, **more}


def manifest(**changes: Any) -> dict[str, Any]:
    document = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}manifest.v1+json",
        "config": descriptor(f"{OCI}config.v1+json"),
        "layers": [descriptor(f"{OCI}layer.v1.tar+zstd")],
    }
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


def parsed(document: object) -> ImageManifest | ImageIndex:
    data = json.dumps(document).encode()
    return parse_manifest(Digest("sha256", hashlib.sha256(data).hexdigest()), data)


@pytest.mark.parametrize(
    ("given_type", "known_as"),
    [
        (f"{OCI}layer.v1.tar", f"{OCI}layer.v1.tar"),
        (f"{OCI}layer.v1.tar+gzip", f"{OCI}layer.v1.tar+gzip"),
        (f"{OCI}layer.v1.tar+zstd", f"{OCI}layer.v1.tar+zstd"),
        (f"{DOCKER}image.rootfs.diff.tar.gzip", f"{OCI}layer.v1.tar+gzip"),
    ],
)
def test_a_layers_media_type_is_in_ocis_words(given_type: str, known_as: str) -> None:
    found = parsed(manifest(layers=[descriptor(given_type)], mediaType=None))
    assert isinstance(found, ImageManifest)
    assert [layer.media_type for layer in found.layers] == [known_as]
    assert len(found.blobs) == 1  # config and layer have one digest here


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        manifest(schemaVersion=1),
        manifest(mediaType="application/vnd.docker.distribution.manifest.v1+json"),
        manifest(config=None),
        manifest(layers=None),
        manifest(layers=7),
        manifest(config=descriptor("application/vnd.cncf.helm.config.v1+json")),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar+encrypted")]),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar", size=-1)]),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar", size=True)]),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar", digest=f"blake3:{HEX}")]),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar", digest="sha256:../../x")]),
        manifest(layers=[descriptor(f"{OCI}layer.v1.tar")] * 2000),
        {"schemaVersion": 2, "manifests": [{}]},
        {"schemaVersion": 2, "manifests": ["x"]},
    ],
)
def test_what_is_no_manifest_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parsed(document)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "size", "digest"]), _JSON)
def test_no_field_can_do_more_than_be_refused(field: str, value: Any) -> None:
    documents = [manifest(), {"schemaVersion": 2, "manifests": [descriptor(f"{OCI}manifest.v1+json", platform=value)]}]
    documents[0][field] = value
    documents[0]["config"] = (
        {**documents[0]["config"], field: value} if isinstance(documents[0].get("config"), dict) else value
    )
    for document in documents:
        try:
            found = parsed(document)
        except ValueError:
            continue
        assert isinstance(found, ImageManifest | ImageIndex)


def test_an_index_says_what_each_entry_is_for() -> None:
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    entries = [
        descriptor(f"{OCI}manifest.v1+json", platform={"os": "linux", "architecture": "amd64"}),
        descriptor(f"{DOCKER}distribution.manifest.v2+json", platform=arm),
        descriptor(f"{OCI}manifest.v1+json", platform={"os": "unknown", "architecture": "unknown"}),
        descriptor(f"{OCI}manifest.v1+json"),
    ]
    found = parsed({"schemaVersion": 2, "manifests": entries})
    assert isinstance(found, ImageIndex)
    assert [platform for platform, _ in found.manifests][:3] == ["linux/amd64", "linux/arm64/v8", "unknown/unknown"]
    assert "linux/amd64" in platforms_of("x86_64-linux")
    assert "linux/arm64/v8" in platforms_of("aarch64-linux")
    assert platforms_of("riscv64-linux") == ()
