"""`orch cache ls`: a line for each entry of the store."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import age_text, asked, document, is_terminal, options_text, room_for_last, table
from orchestrator.cli.numbers import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.store import Layout
    from orchestrator.store.index import Index
    from orchestrator.store.questions import Entry

TEXTS = {"ls": "list what the store has: objects, or with --kind sources or layers"}
EPILOGS = {
    "ls": """\
Age is how long ago it was made, used how long ago a command last needed it. What nothing keeps, `-`,
goes with the next `orch gc`. `unknown` is what no record tells.

examples:
  orch cache ls
  orch cache ls ucx --sort age              what was made of ucx, the oldest first
  orch cache ls --unkept --sort size        what orch gc would free
  orch cache ls --larger 100MB --older-than 7d
  orch cache ls --kind layer --sort size
"""
}
_KINDS = ("build", "base", "wheel", "bytecode", "unknown", "source", "layer")
_FILES = ("source", "layer")
_SORTS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda one: (one.name, one.version, one.options, one.hex),
    "size": lambda one: (-one.bytes, one.name),
    "age": lambda one: (one.made is None, one.made or 0.0, one.name),
    "used": lambda one: (one.used, one.name),
}
_SHORT = 8  # digits of a key


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only of recipes whose names begin so")
    parser.add_argument("--kind", choices=_KINDS, help="only of one kind; sources and layers are listed only so")
    parser.add_argument("--origin", choices=("source", "vendor", "unknown"), help="only of one origin")
    parser.add_argument("--unkept", action="store_true", help="only what no root keeps")
    parser.add_argument("--larger", type=size, metavar="SIZE", help="only what is larger, as 100MB")
    parser.add_argument("--older-than", type=age, metavar="AGE", help="only what was not used for so long, as 7d")
    parser.add_argument("--sort", choices=tuple(_SORTS), default="name", help="largest or oldest first (default: name)")


def size(text: str) -> int:
    """An argparse type: bytes."""
    from orchestrator.cli.gc import size as parse

    return parse(text)


def age(text: str) -> float:
    """An argparse type: seconds."""
    from orchestrator.cli.gc import age as parse

    return parse(text)


def run(arguments: argparse.Namespace) -> int:
    """Print the entries."""
    with asked(arguments) as (layout, index):
        everything = list(_entries(layout, index, arguments.kind))
    found = sorted(_chosen(everything, arguments), key=_SORTS[arguments.sort])
    if not found and arguments.names:
        _refuse_unknown(everything, arguments.names)
    if arguments.json:
        document(arguments, {"entries": [_content(one) for one in found], "bytes": sum(one.bytes for one in found)})
    else:
        _print(found)
    return 0


def _entries(layout: Layout, index: Index, kind: str | None) -> Iterable[Entry]:
    from orchestrator.store.questions import entries, layer_entries, source_entries

    if kind == "source":
        return source_entries(layout, index)
    return layer_entries(layout, index) if kind == "layer" else entries(layout, index)


def _is_named(one: Entry, names: list[str]) -> bool:
    return any(one.name.startswith((name, f"wheel:{name}")) for name in names) or not names


def _chosen(everything: list[Entry], arguments: argparse.Namespace) -> Iterable[Entry]:
    now = time.time()
    for one in everything:
        if (
            _is_named(one, arguments.names)
            and (arguments.kind is None or one.kind == arguments.kind)
            and (arguments.origin is None or one.origin == arguments.origin)
            and not (arguments.unkept and one.kept)
            and (arguments.larger is None or one.bytes > arguments.larger)
            and (arguments.older_than is None or one.used < now - arguments.older_than)
        ):
            yield one


def _refuse_unknown(everything: list[Entry], names: list[str]) -> None:
    """Raise UsageError for a name that nothing in the store has."""
    from orchestrator.cli.parser import close
    from orchestrator.errors import UsageError

    known = sorted({one.name for one in everything})
    for name in names:
        if not any(_is_named(one, [name]) for one in everything):
            hint = close(name, known, "orch cache ls ") or "orch cache ls lists what there is"
            raise UsageError(f"nothing in this store is called {name!r}", hint=hint)


def _content(one: Entry) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "version": one.version or None,
        "origin": one.origin,
        "options": dict(one.options),
        "key": f"blake3:{one.key}" if one.key else None,
        "digest": f"{'sha256' if one.kind in _FILES else 'blake3'}:{one.hex}",
        "path": one.path,
        "bytes": one.bytes,
        "files": one.files,
        "made": one.made,
        "used": one.used,
        "kept": list(one.kept),
    }


def _print(found: list[Entry]) -> None:
    from orchestrator.store.questions import kept_text

    if not found:
        print("nothing")
        return
    files = all(one.kind in _FILES for one in found)
    heads = ["name", *([] if files else ["version", "origin", "options"]), "digest" if files else "key"]
    heads += ["size", "age", "used", "kept by"]
    rows = [
        [
            one.name,
            *([] if files else [one.version or "unknown", one.origin, options_text(one.options) or "-"]),
            one.hex[:_SHORT] if files else one.key[:_SHORT] or "unknown",
            bytes_text(one.bytes),
            age_text(one.made),
            age_text(one.used),
            kept_text(one.kept) or "-",
        ]
        for one in found
    ]
    if not room_for_last(heads, rows):  # a narrow terminal: by how many roots
        _narrow(rows, 1 if not files else 0)
        heads[-1] = "roots"
        rows = [[*row[:-1], str(len(one.kept)) if one.kept else "-"] for row, one in zip(rows, found, strict=True)]
    last = len(heads) - 1
    table(heads, rows, right=(last - 3, last - 2, last - 1))
    unkept = sum(one.bytes for one in found if not one.kept)
    total = f"{len(found)} entr{'y' if len(found) == 1 else 'ies'}, {bytes_text(sum(one.bytes for one in found))}"
    print(f"{total}{f'; {bytes_text(unkept)} of it nothing keeps' if unkept else ''}")


def _narrow(rows: list[list[str]], place: int) -> None:
    """Shorten what is longest, versions or file names, to what a narrow terminal has."""
    import shutil

    from orchestrator.cli.cache_view import cut

    if not is_terminal():
        return
    others = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True)) - max(len(row[place]) for row in rows)
    most = max(8, shutil.get_terminal_size().columns - others + max(len(row[-1]) for row in rows) - 8)
    for row in rows:
        row[place] = cut(row[place], most)
