"""Short lists of keys, newest first: hints that find records by name. One that is lost or damaged is only shorter."""

from __future__ import annotations

import re
from pathlib import Path

_HEX = re.compile(r"[0-9a-f]{64}")


def recent_keys(hint: Path | str) -> list[str]:
    """The keys in a list, hex."""
    try:
        with open(hint, "rb", buffering=0) as file:  # noqa: PTH123 - a plan may read thousands
            data = file.readall()
    except OSError:
        return []
    return [line for line in data.decode("utf-8", "replace").splitlines() if _HEX.fullmatch(line)]


def with_recent(hint: Path, key: str, limit: int) -> bytes:
    """The list with a key put first, at most `limit` long, as it is on the disk."""
    keys = [key, *(other for other in recent_keys(hint) if other != key)][:limit]
    return "".join(f"{one}\n" for one in keys).encode()
