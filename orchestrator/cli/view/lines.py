"""Lines to stderr, many at once: a write for each would slow a build that prints much. Any thread may add some."""

from __future__ import annotations

import sys
import threading

_APART = 0.1  # seconds between two writes
_MOST = 20_000  # lines that wait


class Lines:
    """What is added reaches stderr soon, and all of it before `close` returns."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_until_over, name="lines", daemon=True)
        self._thread.start()

    def add(self, line: str) -> None:
        """Say a line, given without its newline."""
        with self._lock:
            self._waiting.append(line)
            many = len(self._waiting) >= _MOST
        if many:  # who prints faster than stderr takes it has to wait
            self.flush()

    def close(self) -> None:
        """Write what is left."""
        self._over.set()
        self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write what was added so far."""
        with self._writing:
            with self._lock:
                lines, self._waiting = self._waiting, []
            if lines:
                sys.stderr.write("\n".join(lines) + "\n")
                sys.stderr.flush()

    def _write_until_over(self) -> None:
        while not self._over.wait(_APART):
            try:
                self.flush()
            except BrokenPipeError:  # nobody reads it: close says so to the thread that can end the program
                return
