"""The tokens of one build: two named pipes in its directory, for programs that speak the protocol of GNU make.

A client reads a byte from one pipe before it starts one more process beside its first, and writes a byte when that has
ended. Make takes any two descriptors, so what it returns arrives in the second pipe: at orch, who decides who is next.
What a build holds is what it was granted less what came back, so nothing is lost with a client that is killed.
Knows nothing of other builds: cores.py deals with those.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TAKE = "cores-free"  # below /build/.orch; the script's side of this is in script.py
GIVE = "cores-back"
_MOST = 4096  # bytes that a pipe surely holds; nobody has more cores


class Tokens:
    """What one build was granted. All but `place` and `remove` is called by one thread."""

    def __init__(self, ready: Callable[[Tokens], None]) -> None:
        """`ready` is called when the pipes are there, by the thread that made them."""
        self.granted = 0  # and not returned
        self._ready = ready
        self._lock = threading.Lock()
        self._closed = False
        self._pipes: tuple[int, int] | None = None
        self._directory: int | None = None  # a build can put a link in its place, but not here

    def place(self, directory: Path) -> None:
        """Make the pipes in `directory`. Raise OSError."""
        with self._lock:
            if self._closed:
                return
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            opened: list[int] = []
            for name in (TAKE, GIVE):
                os.mkfifo(name, 0o600, dir_fd=self._directory)
                # For reading and writing: then neither side ever waits for the other, or hears that it is alone.
                flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
                opened.append(os.open(name, flags, dir_fd=self._directory))
            self._pipes = (opened[0], opened[1])
            self._ready(self)

    def remove(self) -> None:
        """Take the pipes away: a kept directory should be one that `cp -r` can copy. What the build has put in their
        place stays."""
        with self._lock:
            if self._directory is None:
                return
            for name in (TAKE, GIVE):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._directory)
            os.close(self._directory)
            self._directory = None

    @property
    def placed(self) -> bool:
        return self._pipes is not None

    @property
    def returns(self) -> int:
        """The descriptor that can be read when something came back."""
        assert self._pipes is not None
        return self._pipes[1]

    def unread(self) -> int:
        """Granted and not taken by the build."""
        if self._pipes is None:
            return 0
        import termios

        (count,) = struct.unpack("i", fcntl.ioctl(self._pipes[0], termios.FIONREAD, b"\0" * 4))
        return min(int(count), self.granted)

    def grant(self, count: int) -> None:
        assert self._pipes is not None
        self.granted += os.write(self._pipes[0], b"+" * min(count, _MOST - self.granted))

    def reclaim(self, count: int) -> int:
        """Take back at most `count` that the build has not taken; how many that were."""
        return 0 if self._pipes is None else self._read(self._pipes[0], min(count, self.unread()))

    def collect(self) -> int:
        """How many came back since the last call; a build that returns more than it had is not believed."""
        return 0 if self._pipes is None else self._read(self._pipes[1], _MOST)

    def _read(self, pipe: int, count: int) -> int:
        try:
            back = min(len(os.read(pipe, count)) if count else 0, self.granted)
        except BlockingIOError:
            back = 0
        self.granted -= back
        return back

    def close(self) -> int:
        """End it; how many were still out. Nothing of the build runs any more, or nobody cares what it does."""
        with self._lock:
            self._closed = True
            for pipe in self._pipes or ():
                os.close(pipe)
            self._pipes = None
        out, self.granted = self.granted, 0
        return out
