"""Short lists of keys, newest first: hints that find records by name. One that is lost or damaged is only shorter."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.store.layout import Layout
from orchestrator.store.records import replace_file

_HEX = re.compile(r"[0-9a-f]{64}")


def recent_keys(hint: Path) -> list[str]:
    """The keys in a list, hex."""
    try:
        data = hint.read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return [line for line in data.splitlines() if _HEX.fullmatch(line)]


def with_recent(hint: Path, key: str, limit: int) -> bytes:
    """The list with a key put first, at most `limit` long, as it is on the disk."""
    keys = [key, *(other for other in recent_keys(hint) if other != key)][:limit]
    return "".join(f"{one}\n" for one in keys).encode()


def add_recent(layout: Layout, hint: Path, key: str, limit: int) -> None:
    """Put a key first in a list of at most `limit`. What cannot be written is written by the next success."""
    with suppress(MachineError):
        replace_file(layout, hint, with_recent(hint, key, limit))
