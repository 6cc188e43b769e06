from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_box import flip, plan_of, publish_files

from orchestrator.errors import MachineError
from orchestrator.image import layer as layer_module
from orchestrator.image.compress import MEDIA_TYPES, compress, decompress
from orchestrator.image.layer import encoder, known_layer, layer_key, make_layer, make_layers
from orchestrator.image.model import Compression, Layer, LayerPlan
from orchestrator.image.tar import layer_pieces, tar_chunks
from orchestrator.store import Layout, blob_path, has_object, open_store

KINDS: tuple[Compression, ...] = ("zstd", "gzip")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def noise(seed: int, size: int) -> bytes:
    """Bytes that compress to about a half."""
    return random.Random(seed).randbytes(size // 2).hex().encode()


@pytest.fixture
def plans(layout: Layout) -> list[LayerPlan]:
    trees = [
        {"opt/big": noise(1, 9 << 20), "opt/small": b"x"},
        {f"many/{number}": noise(number, 3000) for number in range(300)},
        {"etc/one": b"one"},
    ]
    return [
        plan_of(f"layer{index}", publish_files(layout, files), size=sum(map(len, files.values())))
        for index, files in enumerate(trees)
    ]


def unpacked(layout: Layout, layer: Layer) -> bytes:
    with blob_path(layout, layer.digest).open("rb") as blob, decompress(blob, layer.media_type) as tar:
        return tar.read()


@pytest.mark.parametrize("compression", KINDS)
def test_a_layer_is_its_tar_and_its_digests_are_true(
    layout: Layout, plans: list[LayerPlan], compression: Compression
) -> None:
    for plan in plans:
        layer = make_layer(layout, plan, compression=compression)
        blob = blob_path(layout, layer.digest).read_bytes()
        tar = b"".join(tar_chunks(layout, layer_pieces(layout, plan)))
        assert unpacked(layout, layer) == tar
        assert hashlib.sha256(tar).hexdigest() == layer.diff_id.hex
        assert hashlib.sha256(blob).hexdigest() == layer.digest.hex
        assert (len(blob), layer.unpacked, layer.name) == (layer.size, plan.size, plan.name)
        assert layer.media_type == f"application/vnd.oci.image.layer.v1.tar+{compression}"
        assert blob_path(layout, layer.digest).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("compression", KINDS)
def test_the_bytes_do_not_depend_on_workers_or_threads(
    tmp_path: Path, layout: Layout, plans: list[LayerPlan], compression: Compression
) -> None:
    first = make_layers(layout, plans, compression=compression, workers=1)
    for threads in (1, 2, 5):
        _forget(layout)
        again = tuple(make_layer(layout, plan, compression=compression, threads=threads) for plan in plans)
        assert again == first
    _forget(layout)
    assert make_layers(layout, plans, compression=compression, workers=3) == first


def _forget(layout: Layout) -> None:
    for path in layout.layers.iterdir():
        path.unlink()


@pytest.mark.parametrize("compression", KINDS)
@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.binary(min_size=1, max_size=70_000), max_size=6), threads=st.integers(1, 4))
def test_what_was_compressed_is_decompressed(compression: Compression, chunks: list[bytes], threads: int) -> None:
    blob = b"".join(compress(iter(chunks), compression, threads))
    assert blob == b"".join(compress(iter(chunks), compression, 1))
    assert decompress(io.BytesIO(blob), MEDIA_TYPES[compression]).read() == b"".join(chunks)
    if compression == "gzip":
        assert gzip.decompress(blob) == b"".join(chunks)


def test_a_gzip_layer_says_nothing_of_when_and_where() -> None:
    blob = b"".join(compress([b"abc"], "gzip", 1))
    assert blob[:10] == bytes.fromhex("1f8b08000000000000ff")


def test_a_layer_that_is_there_is_neither_read_nor_made(
    layout: Layout, plans: list[LayerPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_layers(layout, plans)

    def refuse(*arguments: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(layer_module, "layer_pieces", refuse)
    monkeypatch.setattr(layer_module, "tar_chunks", refuse)
    told: list[str] = []
    assert make_layers(layout, plans, progress=lambda name, done, total: told.append(name)) == first
    assert make_layer(layout, plans[0]) == first[0] == known_layer(layout, plans[0])
    assert not told


@pytest.mark.parametrize("harm", ["missing", "short", "record"])
def test_what_is_missing_is_made_again(layout: Layout, plans: list[LayerPlan], harm: str) -> None:
    first = make_layer(layout, plans[0])
    blob = blob_path(layout, first.digest)
    if harm == "missing":
        blob.unlink()
    elif harm == "short":
        blob.chmod(0o644)
        os.truncate(blob, first.size - 1)
    else:
        (record,) = layout.layers.iterdir()
        record.write_bytes(record.read_bytes().replace(b"layer0", b"layer1"))
    assert known_layer(layout, plans[0]) is None
    assert make_layer(layout, plans[0]) == first
    assert hashlib.sha256(blob.read_bytes()).hexdigest() == first.digest.hex


def test_a_damaged_object_gets_into_no_layer_and_ends_the_others(layout: Layout, plans: list[LayerPlan]) -> None:
    damaged = plans[0].parts[0].object
    flip(layout, damaged, "opt/big")
    with pytest.raises(MachineError, match="is damaged"):
        make_layers(layout, plans, workers=2)
    assert not has_object(layout, damaged)
    assert known_layer(layout, plans[0]) is None
    assert not list(layout.stage.iterdir())


def test_stop_ends_it_and_leaves_nothing(layout: Layout, plans: list[LayerPlan]) -> None:
    stop = threading.Event()

    def progress(name: str, done: int, total: int) -> None:
        if done:
            stop.set()

    with pytest.raises(KeyboardInterrupt):
        make_layers(layout, plans, progress=progress, stop=stop)
    assert known_layer(layout, plans[0]) is None
    assert not list(layout.stage.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(
    layout: Layout, plans: list[LayerPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(layer_module, "_write", full)
    with pytest.raises(MachineError, match="No space left"):
        make_layers(layout, plans)
    assert not list(layout.stage.iterdir())
    assert not list((layout.oci / "blobs/sha256").iterdir())


def test_progress_ends_at_all_of_it(layout: Layout, plans: list[LayerPlan]) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    make_layers(layout, plans, progress=lambda name, done, total: told.setdefault(name, []).append((done, total)))
    for plan in plans:
        steps = told[plan.name]
        assert steps == sorted(steps)
        assert steps[-1] == (plan.size, plan.size)
        assert [done for done, total in steps].count(plan.size) == 1  # told once, when the layer is in the layout


def test_the_layers_that_will_be_made_are_announced(layout: Layout, plans: list[LayerPlan]) -> None:
    announced: list[tuple[str, ...]] = []
    make_layer(layout, plans[0])
    make_layers(layout, plans, announce=announced.append)
    make_layers(layout, plans, announce=announced.append)
    assert [set(names) for names in announced] == [{plan.name for plan in plans[1:]}]


def test_two_at_once_make_one(layout: Layout, plans: list[LayerPlan], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real: Callable[..., object] = layer_module.tar_chunks

    def counted(*arguments: object) -> object:
        made.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(layer_module, "tar_chunks", counted)
    layers = make_layers(layout, [plans[0], plans[0], plans[0]], workers=3)
    assert len(set(layers)) == 1
    assert len(made) == 1


def test_a_layers_key_is_what_decides_its_bytes(layout: Layout) -> None:
    one, two = publish_files(layout, {"a": b"1"}), publish_files(layout, {"b": b"2"})
    key = layer_key(plan_of("name", one), "zstd")
    assert layer_key(plan_of("other name", one, size=5), "zstd") == key
    others = [
        layer_key(plan_of("name", one), "gzip"),
        layer_key(plan_of("name", one, two), "zstd"),
        layer_key(plan_of("name", two, one), "zstd"),
        layer_key(plan_of("name", one, excluded=["a"]), "zstd"),
    ]
    assert len({key, *others}) == 5
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    assert encoder("zstd") == f"compression=zstd level=3 library={version} mode=threads job=4194304 tar=1"
    assert zlib.ZLIB_RUNTIME_VERSION in encoder("gzip")
