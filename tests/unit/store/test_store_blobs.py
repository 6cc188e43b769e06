"""Blobs of the OCI layout: whole or not there, read-only, put aside when damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import MachineError
from orchestrator.store import open_store, staging
from orchestrator.store.blobs import add_blob, adopt_blob, blob_path, has_blob, quarantine_blob, verify_blob

DATA = b"some layer"
DIGEST = Digest("sha256", hashlib.sha256(DATA).hexdigest())


def test_bytes_become_a_blob(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "store")
    assert not has_blob(layout, DIGEST)
    assert add_blob(layout, DATA) == add_blob(layout, DATA) == DIGEST
    path = blob_path(layout, DIGEST)
    assert path == layout.root / "oci/blobs/sha256" / DIGEST.hex
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o444
    assert has_blob(layout, DIGEST, len(DATA)) and not has_blob(layout, DIGEST, len(DATA) + 1)
    assert not list(layout.stage.iterdir())


def test_a_staged_file_is_moved(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "store")
    with staging(layout, "test") as room:
        (room / "file").write_bytes(DATA)
        assert adopt_blob(layout, room / "file", DIGEST) == blob_path(layout, DIGEST)
        assert not (room / "file").exists()
        with pytest.raises(MachineError):
            adopt_blob(layout, room / "nothing", Digest("sha256", "0" * 64))
    assert verify_blob(layout, DIGEST)
    assert not has_blob(layout, Digest("sha256", "0" * 64))


def test_a_damaged_blob_is_a_miss(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "store")
    path = blob_path(layout, add_blob(layout, DATA))
    path.chmod(0o644)
    path.write_bytes(DATA[::-1])
    assert not verify_blob(layout, DIGEST)
    aside = quarantine_blob(layout, DIGEST, "its content differs")
    assert aside is not None and aside.read_bytes() == DATA[::-1]
    assert not has_blob(layout, DIGEST)
    assert quarantine_blob(layout, DIGEST, "again") is None
    add_blob(layout, DATA)
    assert verify_blob(layout, DIGEST)
