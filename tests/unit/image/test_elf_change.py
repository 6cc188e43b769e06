"""How ELF files differ: names, needs and symbols, of small ones made here and of this machine's own C library."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from check_makers import elf

from orchestrator.image.elf_change import elf_change, exported


def with_symbols(*symbols: tuple[str, int, int, int]) -> bytes:
    """A 64-bit library with section headers for .dynsym alone; a symbol is a name, a binding, a visibility and the
    section that defines it."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in symbols)
    table = bytes(24)
    for name, binding, visibility, section in symbols:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("<IBBHQQ", at, binding << 4 | 2, visibility, section, 16, 8)
    titles = b"\0.dynsym\0.dynstr\0.shstrtab\0"
    parts = [(1, 11, table, 2, 24), (9, 3, names, 0, 0), (17, 3, titles, 0, 0)]
    body, headers = b"", bytes(64)
    for title, kind, data, link, size in parts:
        headers += struct.pack("<IIQQQQIIQQ", title, kind, 0, 0, 64 + len(body), len(data), link, 1, 8, size)
        body += data
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return (
        ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, 4, 3) + body + headers
    )


def libc() -> Path:
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = line.split()[-1]
        if "/libc.so" in name or "/libc-" in name or "/ld-musl" in name:
            return Path(name)
    raise AssertionError("this Python has no C library of its own")


def test_exported_are_names_that_are_defined_for_others() -> None:
    data = with_symbols(
        ("shown", 1, 0, 1), ("weak", 2, 0, 1), ("protected", 1, 3, 1), ("absolute", 1, 0, 0xFFF1), ("local", 0, 0, 1),
        ("hidden", 1, 2, 1), ("wanted", 1, 0, 0),
    )  # fmt: skip
    assert exported(BytesIO(data)) == {"shown", "weak", "protected", "absolute"}


def test_a_real_library_is_read_the_same_without_its_section_headers() -> None:
    data = bytearray(libc().read_bytes())
    found = exported(BytesIO(bytes(data)))
    assert {"malloc", "printf", "fopen"} <= found
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    assert exported(BytesIO(bytes(data))) == found


def test_a_change_is_what_a_user_of_the_library_can_see(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(elf(soname="liba.so.1", needed=("libb.so.1", "libc.so.6")))
    after.write_bytes(elf(soname="liba.so.2", needed=("libc.so.6", "libd.so.3")))
    change = elf_change(before, after)
    assert change is not None
    assert not change.same
    assert change.soname == ("liba.so.1", "liba.so.2")
    assert (change.needed_added, change.needed_removed) == (("libd.so.3",), ("libb.so.1",))
    before.write_bytes(with_symbols(("kept", 1, 0, 1), ("old", 1, 0, 1)))
    after.write_bytes(with_symbols(("kept", 1, 0, 1), ("new", 1, 0, 1), ("newer", 1, 0, 1)))
    change = elf_change(before, after)
    assert change is not None
    assert (change.symbols_added, change.symbols_removed) == (("new", "newer"), ("old",))
    after.write_bytes(before.read_bytes() + b"more")
    change = elf_change(before, after)
    assert change is not None
    assert change.same


@pytest.mark.parametrize("length", [4, 40, 64, 100, 200, 300])
def test_a_broken_file_tells_nothing_and_does_not_fail(tmp_path: Path, length: int) -> None:
    whole = with_symbols(("a", 1, 0, 1))
    (tmp_path / "whole").write_bytes(whole)
    (tmp_path / "broken").write_bytes(whole[:length])
    change = elf_change(tmp_path / "whole", tmp_path / "broken")
    assert change is not None
    assert change.symbols_removed == ("a",)


def test_other_files_are_no_elf(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "elf").write_bytes(elf())
    assert elf_change(tmp_path / "text", tmp_path / "elf") is None
