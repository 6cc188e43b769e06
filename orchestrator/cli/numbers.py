"""Counts, bytes and seconds as people read them."""

from __future__ import annotations

_LONGEST = 1000 * 3600  # seconds; more is nothing that was measured, and a sum of such may be infinite


def bytes_text(count: int) -> str:
    """`41 MB`: decimal units, two figures below ten."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"
        value /= 1000
    raise AssertionError


def count_text(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds_text(seconds: float, *, tenths: bool = True) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`; without tenths for what is counted while one looks."""
    if tenths and seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if not seconds < _LONGEST:
        return "> 1000 h"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rough_text(seconds: float) -> str:
    """`5 s`, `40 s`, `4 min`, `1 h 07 min`: for what is only a forecast."""
    from orchestrator.build.estimate import rough

    if not seconds < _LONGEST:
        return "> 1000 h"
    return f"{max(1, round(seconds))} s" if seconds < 9.5 else rough(seconds)
