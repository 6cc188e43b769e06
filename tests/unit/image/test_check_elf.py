"""What is read of an ELF file, and that nothing that only looks like one makes it fail."""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path

import pytest
from check_makers import AARCH64, CUDA, elf
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.image.elf import defined_versions, elf_facts, read_elf, version_number
from orchestrator.store import Layout, open_store, publish_tree, staging
from orchestrator.tree import scan

WHOLE = elf(
    needed=("libc.so.6", "libucp.so.0"),
    soname="libnixl.so",
    runpath="$ORIGIN/..:/usr/local/ucx/lib",
    wants=("GLIBC_2.2.5", "GLIBC_2.28", "GLIBC_2.4", "GLIBC_PRIVATE"),
    defines=("libnixl.so", "NIXL_1"),
)


def publish(layout: Layout, files: dict[str, bytes]) -> Digest:
    with staging(layout, "test") as room:
        for name, data in files.items():
            (room / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (room / "out" / name).write_bytes(data)
        return publish_tree(layout, room / "out", scan(room / "out"))


def test_everything_that_a_dynamic_section_says() -> None:
    facts = read_elf(BytesIO(WHOLE), "lib/libnixl.so")
    assert facts.path == "lib/libnixl.so"
    assert facts.machine == "EM_X86_64"
    assert facts.soname == "libnixl.so"
    assert facts.needed == ("libc.so.6", "libucp.so.0")
    assert facts.runpath == ("$ORIGIN/..", "/usr/local/ucx/lib")
    assert facts.glibc == "2.28"
    assert facts.is_library
    assert defined_versions(BytesIO(WHOLE)) == ("libnixl.so", "NIXL_1")


def test_rpath_counts_where_there_is_no_runpath() -> None:
    assert read_elf(BytesIO(elf(rpath="/a:/b")), "x").runpath == ("/a", "/b")
    assert read_elf(BytesIO(elf(rpath="/a", runpath="/b")), "x").runpath == ("/b",)
    inherited = [
        read_elf(BytesIO(data), "x").inherited for data in (elf(rpath="/a"), elf(rpath="/a", runpath="/b"), elf())
    ]
    assert inherited == [True, False, False]


def test_what_is_no_library() -> None:
    program = read_elf(BytesIO(elf(needed=("libc.so.6",), interpreter=True)), "bin/x")
    assert program.needed == ("libc.so.6",)
    assert not program.is_library
    for kind, machine, name in ((1, 62, "EM_X86_64"), (2, CUDA, "EM_CUDA"), (3, AARCH64, "EM_AARCH64")):
        facts = read_elf(BytesIO(elf(kind=kind, machine=machine, dynamic=False)), "x.o")
        assert (facts.machine, facts.needed, facts.is_library) == (name, (), False)


def test_a_version_that_has_a_name_and_no_number() -> None:
    assert read_elf(BytesIO(elf(wants=("GLIBC_2.17", "GLIBC_ABI_DT_RELR"))), "x").glibc == "2.36"
    assert read_elf(BytesIO(elf(wants=("GLIBC_PRIVATE",))), "x").glibc == ""


def test_versions_are_compared_as_numbers() -> None:
    assert version_number("2.9") < version_number("2.10") < version_number("2.10.1")
    assert version_number("") < version_number("0.1")


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_is_cut_short_is_broken_and_no_failure(length: int) -> None:
    facts = read_elf(BytesIO(WHOLE[:length]), "x")
    assert facts.machine == "" or not facts.needed or facts.needed == ("libc.so.6", "libucp.so.0")


@given(st.integers(4, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_no_bytes_make_it_fail(place: int, junk: bytes) -> None:
    data = WHOLE[:place] + junk + WHOLE[place + len(junk) :]
    assert read_elf(BytesIO(data), "x").path == "x"
    defined_versions(BytesIO(data))


@given(st.binary(max_size=400))
def test_no_bytes_after_the_magic_make_it_fail(junk: bytes) -> None:
    assert not read_elf(BytesIO(b"\x7fELF" + junk), "x").needed


def test_the_facts_of_an_object_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = open_store(tmp_path / "store")
    files = {
        "lib/a.so": WHOLE,
        "lib/b.txt": b"\x7fELF but only text that is long enough, really, to be opened.",
        "c": b"x",
    }
    object = publish(layout, files)
    first = elf_facts(layout, object)
    assert [(facts.path, facts.machine) for facts in first] == [("lib/a.so", "EM_X86_64"), ("lib/b.txt", "")]
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.image.elf._read_file", None)  # nothing is read again
        assert elf_facts(layout, object) == first
    record = layout.root / "elf" / f"{object.hex}.json"
    record.write_bytes(record.read_bytes().replace(b"libucp", b"libuct"))
    assert elf_facts(layout, object) == first


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a program of this machine")
def test_a_real_program_is_read() -> None:
    shell = Path(shutil.which("sh") or "/bin/sh").resolve()
    with shell.open("rb") as stream:
        facts = read_elf(stream, "sh")
    assert facts.machine
    assert not facts.is_library
