"""Sizes and ages as people write them. Pure."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_TIMES = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def parse_size(text: str) -> int:
    """Bytes of `40GB`, `500 MB`, `2TiB`, `1000`; raise ValueError for anything else."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGT]I?)?B?)", text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size: write it as 40GB or 500MB")
    return round(float(found[1]) * _UNITS[found[2] or ""])


def parse_age(text: str) -> float:
    """Seconds of `30d`, `12h`, `2w`; raise ValueError for anything else."""
    found = re.fullmatch(r"([0-9]+)([hdw])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an age: write it as 30d, 12h or 2w")
    return int(found[1]) * _TIMES[found[2]]
