from __future__ import annotations

import dataclasses

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.store import (
    ComponentFields,
    ImageRecord,
    LayerFields,
    Layout,
    latest_image,
    list_images,
    read_image,
    write_image,
)
from orchestrator.store.images import note_latest

SHA = Digest("sha256", "a" * 64)
RECORD = ImageRecord(
    key=blake3_bytes(b"key"),
    name="sglang-cu12",
    version="0.5.8",
    platform="x86_64-linux",
    options=(("cuda", "12"), ("nixl.version", "0.9.0")),
    manifest=SHA,
    manifest_size=9 << 30,
    config=Digest("sha256", "b" * 64),
    config_size=5,
    created="1980-01-01T00:00:00Z",
    layers=(LayerFields("ucx", "type", SHA, 1, Digest("sha256", "c" * 64), 2, ("ucx", "ä")),),
    components=(
        ComponentFields(
            "ucx", "1.19", "source", "native", blake3_bytes(b"o"), SHA, ("https:x",), "r.toml", 7, ("a/b",)
        ),
        ComponentFields("system", "1", "orch", "system", blake3_bytes(b"s"), None, (), "", 0),
    ),
    unpacked=12,
    waived=("needed: /a: libx.so",),
    off=("budget",),
)


def test_an_image_is_read_back_as_it_was(layout: Layout) -> None:
    assert read_image(layout, RECORD.key) is None
    assert latest_image(layout, RECORD.name) is None
    assert list_images(layout) == ()
    write_image(layout, RECORD)
    assert read_image(layout, RECORD.key) == RECORD
    assert latest_image(layout, RECORD.name) == RECORD
    assert list_images(layout) == (RECORD,)


def test_the_latest_is_the_one_written_or_asked_for_last(layout: Layout) -> None:
    other = dataclasses.replace(RECORD, key=blake3_bytes(b"other"))
    write_image(layout, RECORD)
    write_image(layout, other)
    assert latest_image(layout, RECORD.name) == other
    note_latest(layout, RECORD)
    assert latest_image(layout, RECORD.name) == RECORD
    assert set(list_images(layout)) == {RECORD, other}


@pytest.mark.parametrize("field", ["layers", "components", "manifest", "unpacked", "waived"])
def test_a_flipped_bit_is_a_miss(layout: Layout, field: str) -> None:
    write_image(layout, RECORD)
    path = layout.images / f"{RECORD.key.hex}.json"
    data = bytearray(path.read_bytes())
    data[data.index(f'"{field}"'.encode()) + len(field) + 4] ^= 1
    path.write_bytes(data)
    assert read_image(layout, RECORD.key) is None
    assert latest_image(layout, RECORD.name) is None
    assert list(layout.corrupt.iterdir())


def test_a_record_under_another_key_is_no_answer(layout: Layout) -> None:
    write_image(layout, RECORD)
    other = blake3_bytes(b"other")
    (layout.images / f"{RECORD.key.hex}.json").rename(layout.images / f"{other.hex}.json")
    assert read_image(layout, other) is None
