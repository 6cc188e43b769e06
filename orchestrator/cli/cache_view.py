"""What the verbs of `orch cache` have in common: the open index, tables, ages. Prints; asks nothing of the store."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli.complaint import harmless
from orchestrator.cli.place import store_of

if TYPE_CHECKING:
    import argparse

    from orchestrator.store import Layout
    from orchestrator.store.index import Index
    from orchestrator.store.select import Chosen

DIGITS = 12  # of a key or digest that is shown
_LEAST = 16  # columns that are worth a last cell that is cut


@contextmanager
def asked(arguments: argparse.Namespace) -> Iterator[tuple[Layout, Index]]:
    """The store, which is only read, and its index."""
    from orchestrator.store.index import open_index

    layout = store_of(arguments, create=False)
    gc.disable()  # thousands of values come to stay: looking for garbage among them takes a tenth of the time
    try:
        with open_index(layout) as index:
            yield layout, index
            gc.freeze()
    finally:
        gc.enable()


def document(arguments: argparse.Namespace, content: dict[str, object]) -> None:
    """Print the one document of a sub-verb."""
    from orchestrator.cli.document import print_document

    print_document(f"cache {arguments.what}", content)


def is_terminal() -> bool:
    """Whether stdout is one that shows colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"


def dim(text: str) -> str:
    """`text` as what matters less, on a terminal."""
    return f"\x1b[2m{text}\x1b[0m" if is_terminal() else text


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> None:
    """Print rows under their heads, columns aligned, those in `right` to the right. On a terminal the last is cut."""
    rows = [row if "".join(row).isprintable() else [harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, row in enumerate([heads, *rows]):
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = cut("  ".join(cells).rstrip(), limit)
        print(dim(line) if number == 0 else line)


def room_for_last(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a terminal has columns for more than the beginning of the last cells; true where nothing is cut."""
    if not sys.stdout.isatty():
        return True
    taken = sum(max(map(len, column)) + 2 for column in list(zip(heads, *rows, strict=True))[:-1])
    return taken + _LEAST <= shutil.get_terminal_size().columns


def cut(text: str, limit: int | None) -> str:
    """`text` in at most `limit` columns."""
    return text if limit is None or len(text) <= limit else f"{text[: max(0, limit - 1)]}…"


def age_text(then: float | None) -> str:
    """`40 s`, `5 min`, `3 h`, `12 d`: how long ago it was; `unknown`."""
    if then is None or then <= 0:
        return "unknown"
    seconds = max(0.0, time.time() - then)
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def date_text(then: float | None) -> str:
    """`2026-11-22 18:34 (3 h ago)`, in this machine's time zone."""
    if then is None or then <= 0:
        return "unknown"
    return f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(then))} ({age_text(then)} ago)"


def files_text(count: int) -> str:
    """`1 file`, `12 files`."""
    return f"{count} file{'' if count == 1 else 's'}"


def options_text(options: Sequence[tuple[str, str]]) -> str:
    """`cuda=12 verbs=on`."""
    return " ".join(f"{name}={value}" for name, value in options)


def named(chosen: Chosen) -> dict[str, object]:
    """Which object a question is answered for, for `--json`."""
    facts = chosen.facts
    return {
        "name": facts.name if facts else None,
        "version": facts.version if facts else None,
        "options": dict(facts.options) if facts else None,
        "key": f"blake3:{facts.key}" if facts else None,
        "object": f"blake3:{chosen.hex}",
    }
