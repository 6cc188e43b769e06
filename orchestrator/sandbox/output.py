"""What a command prints: every byte into the log, readable lines to whoever watches."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from orchestrator.errors import MachineError

_LONGEST = 4096  # bytes of one line that a watcher gets; the log has all
_LAST = 20  # lines kept to explain a failure of the sandbox itself
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Output:
    """Receives bytes as they come. A line that is too long reaches the watcher cut."""

    def __init__(self, log: BinaryIO, on_line: Callable[[str], None]) -> None:
        self._log = log
        self._on_line = on_line
        self._line = bytearray()
        self.last: deque[str] = deque(maxlen=_LAST)

    def __call__(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[self._log.write(left) :]
            self._log.flush()
        except OSError as error:
            where = str(getattr(self._log, "name", ""))
            why = error.strerror or str(error)
            hint = "free disk space, then run the command again: what was finished is kept"
            raise MachineError("the log cannot be written", where=where, why=why, hint=hint) from error
        first, *others = data.split(b"\n")
        self._extend(first)
        for part in others:
            self._end_line()
            self._extend(part)

    def close(self) -> None:
        """Hand over a last line that has no newline."""
        if self._line:
            self._end_line()

    def _extend(self, part: bytes) -> None:
        self._line += part[: _LONGEST - len(self._line)]

    def _end_line(self) -> None:
        line = readable(bytes(self._line))
        self._line.clear()
        self.last.append(line)
        self._on_line(line)


def readable(line: bytes) -> str:
    """The text of a line: what a terminal would show of it last, without escape sequences and control characters."""
    text = _ESCAPES.sub("", line.decode("utf-8", errors="replace").rstrip("\r"))
    return _CONTROLS.sub("", text.rpartition("\r")[2]).rstrip()
