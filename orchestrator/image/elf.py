"""What the ELF files of a stored object say about themselves. The one home of elftools.

Read from the program headers alone (sections may be stripped, and there are thousands of files), once per object: the
facts are remembered in the store, elf/<hex>.json. Judges nothing; that is `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.common.utils import parse_cstring_from_stream, struct_parse
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from orchestrator.digest import Digest
from orchestrator.frozen import frozen
from orchestrator.image.model import ElfFacts
from orchestrator.store import Layout, object_tree, read_manifest
from orchestrator.store.records import read_record, write_record
from orchestrator.tree import disk

_READER = 1  # raised when this module learns to read more: what was remembered before is read again
_MAGIC = b"\x7fELF"
_SMALLEST = 52  # bytes of the smaller of the two ELF headers
_MOST = 65536  # entries of one table: more is a broken file
_BROKEN = (ELFError, ConstructError, ValueError, KeyError, OverflowError, AssertionError, UnicodeError, AttributeError)
_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")
# Needed by name and not by number: the release that brought them.
_GLIBC_NAMED = {"GLIBC_ABI_DT_RELR": "2.36", "GLIBC_ABI_GNU_TLS": "2.42", "GLIBC_ABI_GNU2_TLS": "2.42"}


def elf_facts(layout: Layout, object: Digest) -> tuple[ElfFacts, ...]:
    """The facts of every ELF file of a stored object, in the order of its manifest; paths as the manifest has them.

    A file that begins like ELF and cannot be read has `machine` "" and nothing else. Raise MachineError."""
    record = layout.root / "elf" / f"{object.hex}.json"
    known = read_record(layout, record, _parse)
    if known is not None:
        return known
    tree = object_tree(layout, object)
    found = []
    for entry in read_manifest(layout, object).entries:
        if entry.kind == "file" and entry.size >= _SMALLEST:
            with disk("read", tree / entry.path):
                facts = _read_file(tree / entry.path, entry.path)
            if facts is not None:
                found.append(facts)
    document = {"reader": _READER, "object": str(object), "files": [asdict(facts) for facts in found]}
    write_record(layout, record, document)
    return tuple(found)


def _parse(document: dict[str, Any]) -> tuple[ElfFacts, ...] | None:
    if document["reader"] != _READER:
        return None
    return tuple(
        ElfFacts(**{**item, "needed": tuple(item["needed"]), "runpath": tuple(item["runpath"])})
        for item in document["files"]
    )


def _read_file(path: Path, name: str) -> ElfFacts | None:
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            return None
        return read_elf(stream, name)


def read_elf(stream: IO[bytes], path: str) -> ElfFacts:
    """The facts of the ELF file in `stream`, as those of `path`; a broken one has `machine` ""."""
    try:
        return _facts(stream, path)
    except _BROKEN:
        return ElfFacts(path=path, machine="", soname="", needed=(), runpath=(), glibc="", is_library=False)


def defined_versions(stream: IO[bytes]) -> tuple[str, ...]:
    """The symbol versions that a library defines, such as GLIBC_2.36; none of a broken one."""
    with suppress(*_BROKEN):
        dynamic = _dynamic(ELFFile(stream))
        if dynamic is not None:
            return tuple(dynamic.versions("Verdef", "DT_VERDEF", "DT_VERDEFNUM"))
    return ()


def version_number(text: str) -> tuple[int, ...]:
    """`2.36` as numbers that can be compared; () of ""."""
    return tuple(int(part) for part in text.split(".")) if text else ()


def _facts(stream: IO[bytes], path: str) -> ElfFacts:
    elf = ELFFile(stream)
    kind, machine = str(elf.header["e_type"]), _machine(elf)
    dynamic = _dynamic(elf) if kind in ("ET_DYN", "ET_EXEC") else None
    if dynamic is None:
        return ElfFacts(path=path, machine=machine, soname="", needed=(), runpath=(), glibc="", is_library=False)
    runpath = dynamic.strings("DT_RUNPATH") or dynamic.strings("DT_RPATH")
    needed = [_newest(name) for name in dynamic.versions("Verneed", "DT_VERNEED", "DT_VERNEEDNUM")]
    return ElfFacts(
        path=path,
        machine=machine,
        soname=next(iter(dynamic.strings("DT_SONAME")), ""),
        needed=dynamic.strings("DT_NEEDED"),
        runpath=tuple(part for part in ":".join(runpath).split(":") if part),
        glibc=max(needed, key=version_number, default=""),
        is_library=kind == "ET_DYN" and not dynamic.interpreter,
        inherited=bool(runpath) and dynamic.tag("DT_RUNPATH") is None,
    )


def _machine(elf: ELFFile) -> str:
    machine = elf.header["e_machine"]
    return machine if isinstance(machine, str) else f"EM_{machine}"


def _newest(version: str) -> str:
    match = _GLIBC.fullmatch(version)
    return match[1] if match else _GLIBC_NAMED.get(version, "")


@frozen
class _Dynamic:
    """The dynamic section as the loader sees it: tags, and where addresses lie in the file."""

    elf: ELFFile
    tags: tuple[tuple[str, int], ...]
    loads: tuple[tuple[int, int, int], ...]  # address, size in the file, offset
    interpreter: bool

    def tag(self, name: str) -> int | None:
        return next((value for tag, value in self.tags if tag == name), None)

    def offset(self, name: str) -> int | None:
        address = self.tag(name)
        if address is None:
            return None
        for start, size, offset in self.loads:
            if start <= address < start + size:
                return address - start + offset
        raise ValueError(f"{name} points out of the file")

    def string(self, index: int) -> str:
        table = self.offset("DT_STRTAB")
        found = None if table is None else parse_cstring_from_stream(self.elf.stream, table + index)
        if found is None:
            raise ValueError("a string lies out of the file")
        return found.decode()

    def strings(self, name: str) -> tuple[str, ...]:
        return tuple(self.string(value) for tag, value in self.tags if tag == name)

    def versions(self, kind: str, table: str, count: str) -> Iterator[str]:
        """The names in the version table `kind`, Verneed or Verdef: all, whichever library they are of."""
        here = self.offset(table)
        if here is None:
            return
        letter = "vn" if kind == "Verneed" else "vd"
        head = getattr(self.elf.structs, f"Elf_{kind}")
        part = getattr(self.elf.structs, "Elf_Vernaux" if kind == "Verneed" else "Elf_Verdaux")
        for _ in range(min(self.tag(count) or 0, _MOST)):
            entry = struct_parse(head, self.elf.stream, here)
            at = here + entry[f"{letter}_aux"]
            for _ in range(entry[f"{letter}_cnt"]):
                item = struct_parse(part, self.elf.stream, at)
                yield self.string(item[f"{letter}a_name"])
                if not item[f"{letter}a_next"]:
                    break
                at += item[f"{letter}a_next"]
            if not entry[f"{letter}_next"]:
                return
            here += entry[f"{letter}_next"]


def _dynamic(elf: ELFFile) -> _Dynamic | None:
    loads, tags, interpreter = [], None, False
    step = elf.header["e_phentsize"]
    if elf.header["e_phnum"] and step < elf.structs.Elf_Phdr.sizeof():
        raise ValueError("program headers are too small")
    for index in range(elf.header["e_phnum"]):
        header = struct_parse(elf.structs.Elf_Phdr, elf.stream, elf.header["e_phoff"] + index * step)
        match header["p_type"]:
            case "PT_LOAD":
                loads.append((header["p_vaddr"], header["p_filesz"], header["p_offset"]))
            case "PT_DYNAMIC":
                tags = tuple(_tags(elf, header["p_offset"], header["p_filesz"]))
            case "PT_INTERP":
                interpreter = True
    if not tags:
        return None
    return _Dynamic(elf=elf, tags=tags, loads=tuple(loads), interpreter=interpreter)


def _tags(elf: ELFFile, offset: int, size: int) -> Iterator[tuple[str, int]]:
    step = elf.structs.Elf_Dyn.sizeof()
    for index in range(min(size // step, _MOST)):
        item = struct_parse(elf.structs.Elf_Dyn, elf.stream, offset + index * step)
        if item["d_tag"] == "DT_NULL":
            return
        yield str(item["d_tag"]), int(item["d_val"])
