from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from layer_box import make_image, plan_of, publish_files

from orchestrator.digest import Digest
from orchestrator.errors import MachineError
from orchestrator.image.layout import add_document, name_image, read_document, read_refs, set_ref
from orchestrator.image.oci import MANIFEST, Descriptor, Document
from orchestrator.store import Layout, blob_path, latest_image, list_images, open_store, read_image


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def test_a_document_is_a_blob(layout: Layout) -> None:
    descriptor = add_document(layout, Document("text/plain", b"hello"))
    assert str(descriptor.digest) == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert read_document(layout, descriptor.digest) == b"hello"
    assert add_document(layout, Document("text/plain", b"hello")) == descriptor


def test_a_damaged_document_is_put_aside(layout: Layout) -> None:
    descriptor = add_document(layout, Document("text/plain", b"hello"))
    path = blob_path(layout, descriptor.digest)
    path.chmod(0o644)
    path.write_bytes(b"hallo")
    with pytest.raises(MachineError, match="damaged"):
        read_document(layout, descriptor.digest)
    assert not path.exists()


def test_a_name_leads_to_the_last_one_and_others_stay(layout: Layout) -> None:
    one, two = (Descriptor(media_type=MANIFEST, digest=Digest("sha256", digit * 64), size=1) for digit in "12")
    assert read_refs(layout) == {}
    set_ref(layout, "a", one)
    set_ref(layout, "b", one, {"note": "x"})
    set_ref(layout, "a", two)
    refs = read_refs(layout)
    assert refs["a"] == two
    assert refs["b"].annotations == {"note": "x"}
    assert json.loads((layout.oci / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_names_set_at_once_are_all_there(layout: Layout) -> None:
    one = Descriptor(media_type=MANIFEST, digest=Digest("sha256", "1" * 64), size=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: set_ref(layout, f"image{number}", one), range(16)))
    assert set(read_refs(layout)) == {f"image{number}" for number in range(16)}


def test_setting_what_is_set_writes_nothing(layout: Layout) -> None:
    one = Descriptor(media_type=MANIFEST, digest=Digest("sha256", "1" * 64), size=1)
    set_ref(layout, "a", one)
    before = (layout.oci / "index.json").stat().st_ino
    set_ref(layout, "a", one)
    assert (layout.oci / "index.json").stat().st_ino == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"manifests": [{"digest": "x"}]}'])
def test_a_damaged_index_is_put_aside(layout: Layout, damage: bytes) -> None:
    one = Descriptor(media_type=MANIFEST, digest=Digest("sha256", "1" * 64), size=1)
    set_ref(layout, "a", one)
    (layout.oci / "index.json").write_bytes(damage)
    assert read_refs(layout) == {}
    set_ref(layout, "a", one)
    assert read_refs(layout) == {"a": one}


def test_images_are_found_by_key_and_by_name(layout: Layout) -> None:
    first = make_image(layout, "try", [plan_of("a", publish_files(layout, {"a": b"1"}))])
    second = make_image(layout, "try", [plan_of("a", publish_files(layout, {"a": b"2"}))])
    assert read_image(layout, first.key) == first
    assert latest_image(layout, "try") == second
    assert set(list_images(layout)) == {first, second}
    name_image(layout, first)  # asked for again
    assert latest_image(layout, "try") == first
    assert read_refs(layout)["try"].digest == first.manifest
    assert latest_image(layout, "other") is None


def test_a_damaged_record_counts_as_none(layout: Layout) -> None:
    record = make_image(layout, "try", [plan_of("a", publish_files(layout, {"a": b"1"}))])
    path = layout.images / f"{record.key.hex}.json"
    path.write_bytes(path.read_bytes().replace(b'"name":"try"', b'"name":"tri"'))
    assert read_image(layout, record.key) is None
    assert latest_image(layout, "try") is None
    assert list_images(layout) == ()
