"""`orch cache diff`: what of one stored object differs from another."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import asked, cut, document, named
from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import bytes_text

if TYPE_CHECKING:
    from orchestrator.image.elf_change import ElfChange
    from orchestrator.store import Layout
    from orchestrator.store.contents import Changes
    from orchestrator.store.select import Chosen
    from orchestrator.tree import Entry

TEXTS = {"diff": "compare two objects: files, and what ELF files need and export"}
EPILOGS = {
    "diff": """\
`+` was added, `-` removed, `~` changed. Of an ELF file that changed it is said what a program that
uses it could see: SONAME, NEEDED, the names it exports. Exit status 0 if both are the same, 5 if not.

examples:
  orch cache diff ucx@1.13.1 ucx
  orch cache diff nixl@cuda=12 nixl@cuda=13
  orch cache diff 2876676653 d07ddb5037 --json
"""
}
_SHOWN = 10  # symbols of a file; --json has all


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("first", metavar="NAME_A", help="a recipe, key, digest or path in the store")
    parser.add_argument("second", metavar="NAME_B", help="another")


def run(arguments: argparse.Namespace) -> int:
    """Print what differs."""
    from orchestrator.digest import Digest
    from orchestrator.store import read_manifest
    from orchestrator.store.contents import changes
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        first, second = choose(layout, index, arguments.first), choose(layout, index, arguments.second)
    manifests = [read_manifest(layout, Digest("blake3", one.hex)) for one in (first, second)]
    found = changes(*manifests)
    elf = _elf(layout, first, second, found)
    if arguments.json:
        document(arguments, _content(first, second, found, elf))
    else:
        _print(first, second, found, elf)
    return 0 if found.same else 5


def _elf(layout: Layout, first: Chosen, second: Chosen, found: Changes) -> dict[str, ElfChange]:
    """What differs in ELF files whose content does, by path."""
    from orchestrator.digest import Digest
    from orchestrator.image.elf_change import elf_change
    from orchestrator.store import object_tree

    before, after = (object_tree(layout, Digest("blake3", one.hex)) for one in (first, second))
    told = {}
    for old, new in found.changed:
        if old.kind == new.kind == "file" and old.digest != new.digest:
            change = elf_change(before / old.path, after / new.path)
            if change is not None:
                told[new.path] = change
    return told


def _content(first: Chosen, second: Chosen, found: Changes, elf: dict[str, ElfChange]) -> dict[str, Any]:
    def entry(one: Entry) -> dict[str, Any]:
        return {"path": f"/{one.path}", "kind": one.kind, "bytes": one.size}

    return {
        "first": named(first),
        "second": named(second),
        "same": found.same,
        "added": [entry(one) for one in found.added],
        "removed": [entry(one) for one in found.removed],
        "changed": [
            {
                **entry(after),
                "bytes_before": before.size,
                "what": _what(before, after),
                "elf": asdict(elf[after.path]) if after.path in elf else None,
            }
            for before, after in found.changed
        ],
    }


def _what(before: Entry, after: Entry) -> list[str]:
    if before.kind != after.kind:
        return [f"{before.kind} -> {after.kind}"]
    said = []
    if before.digest != after.digest:
        sizes = f"{bytes_text(before.size)} -> " if bytes_text(before.size) != bytes_text(after.size) else ""
        said.append(f"content, {sizes}{bytes_text(after.size)}")
    if before.target != after.target:
        said.append(f"-> {before.target} became -> {after.target}")
    if before.mode != after.mode:
        said.append(f"mode {before.mode:04o} -> {after.mode:04o}")
    if (before.uid, before.gid, before.xattrs) != (after.uid, after.gid, after.xattrs):
        said.append("owner or attributes")
    return said


def _print(first: Chosen, second: Chosen, found: Changes, elf: dict[str, ElfChange]) -> None:
    if found.same:
        print(f"the same object: {first.hex}")
        return
    lines = [(one.path, [f"+ /{one.path}{_note(one)}"]) for one in found.added]
    lines += [(one.path, [f"- /{one.path}{_note(one)}"]) for one in found.removed]
    for before, after in found.changed:
        said = f"~ /{after.path}  {'; '.join(_what(before, after))}"
        lines.append((after.path, [said, *(f"    {text}" for text in _elf_lines(elf.get(after.path)))]))
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for _, texts in sorted(lines):
        for text in texts:
            print(cut(harmless(text), limit))
    print(
        f"{first.label} -> {second.label}: {len(found.added)} added, {len(found.removed)} removed, "
        f"{len(found.changed)} changed; {bytes_text(first.size.bytes)} -> {bytes_text(second.size.bytes)}"
    )


def _note(one: Entry) -> str:
    return f" -> {one.target}" if one.kind == "link" else "/" if one.kind == "dir" else f"  {bytes_text(one.size)}"


def _elf_lines(change: ElfChange | None) -> list[str]:
    if change is None:
        return []
    if change.same:
        return ["needs and exports the same"]
    lines = []
    if change.soname is not None:
        lines.append(f"SONAME {change.soname[0] or 'none'} -> {change.soname[1] or 'none'}")
    lines += [f"NEEDED + {name}" for name in change.needed_added]
    lines += [f"NEEDED - {name}" for name in change.needed_removed]
    for sign, names in (("+", change.symbols_added), ("-", change.symbols_removed)):
        lines += [f"symbol {sign} {name}" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            lines.append(f"symbol {sign} and {len(names) - _SHOWN} more (--json lists them)")
    return lines
