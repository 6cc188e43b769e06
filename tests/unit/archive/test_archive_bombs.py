"""Archives that unpack to too much are stopped early, and a full disk is the machine's fault."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from archive_makers import member, tar, zipped

from orchestrator.archive import limits, unpack
from orchestrator.errors import MachineError, SourceError

GIGABYTE = 1 << 30


def unpacked_bytes(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in root.rglob("*") if path.is_file())


def test_a_gigabyte_of_zeros_in_gzip_is_stopped_early(tmp_path: Path) -> None:
    info, _ = member("zeros")
    info.size = GIGABYTE
    packer = zlib.compressobj(9, wbits=31)
    archive = tmp_path / "bomb"
    with archive.open("wb") as file:
        file.write(packer.compress(info.tobuf(tarfile.GNU_FORMAT)))
        for _ in range(GIGABYTE >> 20):
            file.write(packer.compress(bytes(1 << 20)))
        file.write(packer.compress(bytes(1024)) + packer.flush())
    with pytest.raises(SourceError) as raised:
        unpack(archive, tmp_path / "out", file_name="bomb.tar.gz", strip=False)
    assert raised.value.what == "entry 'zeros' of bomb.tar.gz is refused"
    assert raised.value.why == "it unpacks to more than 400 times its size"
    assert unpacked_bytes(tmp_path / "out") < GIGABYTE // 2


def test_a_zip_bomb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    (tmp_path / "bomb").write_bytes(buffer.getvalue())
    with pytest.raises(SourceError, match=r"bomb\.whl is refused") as raised:
        unpack(tmp_path / "bomb", tmp_path / "out", file_name="bomb.whl", strip=False)
    assert raised.value.why == "it unpacks to more than 400 times its size"
    assert list((tmp_path / "out").iterdir()) == []


def test_zip_entries_that_share_their_data_are_refused(tmp_path: Path) -> None:
    data = zipped(("a", os.urandom(5000)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    end = data.index(b"PK\5\6")
    record, tail = data[start:end], bytearray(data[end:])
    tail[8:12] = (2).to_bytes(2, "little") * 2
    tail[12:16] = (2 * len(record)).to_bytes(4, "little")
    (tmp_path / "bomb").write_bytes(data[:start] + record * 2 + bytes(tail))
    with pytest.raises(SourceError) as raised:
        unpack(tmp_path / "bomb", tmp_path / "out", file_name="bomb.zip", strip=False)
    assert raised.value.why == "its entries overlap"


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 10)
    (tmp_path / "bomb").write_bytes(tar(*(member(f"f{number}") for number in range(11))))
    with pytest.raises(SourceError) as raised:
        unpack(tmp_path / "bomb", tmp_path / "out", file_name="bomb.tar", strip=False)
    assert raised.value.why == "it holds more than 10 entries"


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 20)
    (tmp_path / "bomb").write_bytes(gzip.compress(tar(member("f", os.urandom(2 << 20))), 1))
    with pytest.raises(SourceError) as raised:
        unpack(tmp_path / "bomb", tmp_path / "out", file_name="bomb.tar.gz", strip=False)
    assert raised.value.why == "it unpacks to more than 1048576 bytes"


def test_too_little_space_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = limits.KEEP_FREE + 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    (tmp_path / "a").write_bytes(tar(member("f", bytes(20_000))))
    with pytest.raises(MachineError, match="not enough disk space to unpack") as raised:
        unpack(tmp_path / "a", tmp_path / "out", file_name="a.tar", strip=False)
    assert "more than the 1000 bytes that may be used" in raised.value.why


def test_a_destination_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tar(member("f")))
    (tmp_path / "out").write_text("a file")
    with pytest.raises(MachineError, match=r"cannot unpack a\.tar"):
        unpack(tmp_path / "a", tmp_path / "out", file_name="a.tar", strip=False)
