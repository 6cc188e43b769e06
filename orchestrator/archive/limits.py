"""What an archive may do at most, in one place, and the refusal that says it did more. Knows no format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import MachineError, SourceError

MAX_BYTES = 32 << 30  # unpacked; the largest wheel of the serving stacks is about 4 GB, a source under 2 GB
MAX_ENTRIES = 1_000_000  # the largest source trees hold 100,000 files, the largest wheel 60,000
MAX_RATIO = 400  # unpacked to packed; of 1,646 .debs the highest has 178, the next 60; gzip of zeros has 1,030
RATIO_FROM = 64 << 20  # bytes; a small archive of zeros harms nobody
MAX_HEADER = 64 << 10  # bytes of one long name or pax header; a path has at most 4,096
MAX_DEPTH = 200  # directories; each is one system call for each entry below it
MAX_NAME = 255  # bytes of one component: the kernel's limit
MAX_LINK = 4095  # bytes of a link's text: the kernel's limit
MAX_HOPS = 40  # links followed for one name inside a root file system: the kernel's limit
MAX_CONTROL = 64 << 20  # bytes of a .deb's control.tar, which is held in memory
XZ_MEMORY = 1 << 30  # bytes; xz -9 needs 65 MB
KEEP_FREE = 64 << 20  # bytes left on the disk, so that the store can still write its own records

REPACK = "look at the archive; if upstream really ships it so, repack it and lock the new file's hash"
GET_AGAIN = "get the file again, or lock the hash of a sound one"


class Refusal(Exception):
    """Why an archive or one of its entries is refused; `reported` makes a SourceError of it."""

    def __init__(self, why: str, *, entry: str | None = None, hint: str = REPACK) -> None:
        super().__init__(why)
        self.why = why
        self.entry = entry
        self.hint = hint


@contextmanager
def reported(archive: Path, file_name: str) -> Iterator[None]:
    """Turn a Refusal into the SourceError that names the archive and the entry."""
    try:
        yield
    except Refusal as refusal:
        entry = "" if refusal.entry is None else f"entry {refusal.entry!r} of "
        raise SourceError(
            f"{entry}{file_name} is refused", where=str(archive), why=refusal.why, hint=refusal.hint
        ) from refusal
    except OSError as error:
        raise MachineError(
            f"cannot unpack {file_name}",
            where=str(error.filename or archive),
            why=error.strerror or str(error),
            hint="free space or check the permissions, then run the command again",
        ) from error


class Budget:
    """Counts what one archive has unpacked to; raises when it is too much. `packed` and `free` are bytes."""

    def __init__(self, *, packed: int, free: int) -> None:
        self._ratio_limit = max(RATIO_FROM, packed * MAX_RATIO)
        self._free = free - KEEP_FREE
        self._bytes = 0
        self._entries = 0

    def entry(self) -> None:
        """One more entry."""
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise Refusal(f"it holds more than {MAX_ENTRIES} entries")

    def data(self, size: int) -> None:
        """`size` more bytes are about to be unpacked."""
        self._bytes += size
        if self._bytes > MAX_BYTES:
            raise Refusal(f"it unpacks to more than {MAX_BYTES} bytes")
        if self._bytes > self._ratio_limit:
            raise Refusal(f"it unpacks to more than {MAX_RATIO} times its size")
        if self._bytes > self._free:
            raise MachineError(
                "not enough disk space to unpack",
                why=f"an archive unpacks to more than the {max(0, self._free)} bytes that may be used",
                hint="free disk space, then run the command again: what was finished is kept",
            )
