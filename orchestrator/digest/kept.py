"""Files of what is remembered between commands: found whole and of the same code and context, or not at all.

What is lost, damaged, cut off or of another context is made again, never an error; so is what cannot be written.
Several processes may write one file at once: each replaces it whole. Nothing is synced.
"""

# pathlib takes longer than reading the file
# ruff: noqa: PTH105, PTH108, PTH116, PTH123
from __future__ import annotations

import marshal
import os
import time
from typing import Any

from orchestrator.digest.digest import blake3_bytes
from orchestrator.frozen import frozen

SKEW = 1_000_000_000  # nanoseconds by which a file system's clock may differ from ours
_FORM = b"orch kept 1\n"
_HEX = 64


@frozen
class Moment:
    """When this process began, in nanoseconds since 1970, and what it is: `code` differs wherever orch's own files, its
    Python or what it imports do."""

    began: int
    code: bytes


def read_kept(file: str, moment: Moment, context: str) -> Any:
    """The plain value in `file`, or None."""
    try:
        with open(file, "rb") as opened:
            data = opened.read()
    except (OSError, ValueError):
        return None
    head = _head(moment, context)
    start = len(head)
    body = memoryview(data)[start + _HEX :]
    if data[:start] != head or data[start : start + _HEX] != _seal(body):
        return None
    return marshal.loads(body)


def write_kept(file: str, moment: Moment, context: str, value: Any) -> None:
    """Keep `value`, made of what marshal takes, where that is possible. What is older than now by the clock of its file
    system alone is not kept."""
    body = marshal.dumps(value)
    new = f"{file}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(new, "xb") as opened:
            opened.write(_head(moment, context) + _seal(body) + body)
        try:
            if abs(os.stat(new).st_mtime_ns - time.time_ns()) <= SKEW:
                os.replace(new, file)
        finally:
            if os.path.lexists(new):
                os.unlink(new)
    except OSError:
        return


def _head(moment: Moment, context: str) -> bytes:
    words = repr((moment.code, context)).encode("utf-8", "surrogatepass")
    return _FORM + blake3_bytes(words).hex.encode()


def _seal(body: bytes | memoryview) -> bytes:
    return blake3_bytes(body).hex.encode()
