"""How one ELF file differs from another: SONAME, NEEDED, the symbols that it exports. Judges nothing."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from orchestrator.frozen import frozen
from orchestrator.image.elf import read_elf
from orchestrator.tree import disk

_MAGIC = b"\x7fELF"
_BROKEN = (ELFError, ConstructError, ValueError, KeyError, OverflowError, AssertionError, AttributeError, struct.error)
_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym: name, info, other, section, value, size
_HIDDEN = (1, 2)  # of a symbol's visibility: internal, hidden


@frozen
class ElfChange:
    """What of an ELF file a program that uses it can see to be different. Sorted."""

    soname: tuple[str, str] | None  # before and after, if they differ
    needed_added: tuple[str, ...]
    needed_removed: tuple[str, ...]
    symbols_added: tuple[str, ...]
    symbols_removed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing of it differs, so that only code or data do."""
        return self.soname is None and not (
            self.needed_added or self.needed_removed or self.symbols_added or self.symbols_removed
        )


def elf_change(before: Path, after: Path) -> ElfChange | None:
    """How the ELF file `after` differs from `before`; None unless both begin like ELF. Of one that cannot be read
    nothing is told. Raise MachineError."""
    with disk("read", before), before.open("rb") as first, after.open("rb") as second:
        if first.read(4) != _MAGIC or second.read(4) != _MAGIC:
            return None
        old, new = read_elf(first, ""), read_elf(second, "")
        had, has = exported(first), exported(second)
    return ElfChange(
        soname=(old.soname, new.soname) if old.soname != new.soname else None,
        needed_added=tuple(sorted(set(new.needed) - set(old.needed))),
        needed_removed=tuple(sorted(set(old.needed) - set(new.needed))),
        symbols_added=tuple(sorted(has - had)),
        symbols_removed=tuple(sorted(had - has)),
    )


def exported(stream: IO[bytes]) -> frozenset[str]:
    """The names that an ELF file defines for others, without their versions; none of a broken one."""
    with suppress(*_BROKEN):
        elf = ELFFile(stream)
        table = elf.get_section_by_name(".dynsym")
        if table is None or not (elf.elfclass == 64 and elf.little_endian):
            return frozenset(_by_segment(elf))
        names = elf.get_section(table["sh_link"]).data()
        data = table.data()
        whole = len(data) - len(data) % _SYMBOL.size
        return frozenset(
            names[name : names.index(b"\0", name)].decode("utf-8", "replace")
            for name, info, other, section, _, _ in _SYMBOL.iter_unpack(data[:whole])
            if section and info >> 4 and other & 3 not in _HIDDEN  # defined, not local, not hidden
        )
    return frozenset()


def _by_segment(elf: ELFFile) -> list[str]:
    """Of a file without section headers, or of another machine: slower."""
    found: list[str] = []
    for segment in elf.iter_segments():
        if isinstance(segment, DynamicSegment):
            symbols: Any = segment.iter_symbols()
            found += [one.name for one in symbols if one.name and _is_exported(one)]
    return found


def _is_exported(symbol: Any) -> bool:
    return (
        symbol["st_shndx"] != "SHN_UNDEF"
        and symbol["st_info"]["bind"] != "STB_LOCAL"
        and symbol["st_other"]["visibility"] not in ("STV_HIDDEN", "STV_INTERNAL")
    )
