"""A digest is an algorithm and a hex string. Files are hashed here and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from blake3 import blake3

from orchestrator.errors import RecipeError
from orchestrator.frozen import NamedTuple

_FORM = re.compile(r"(blake3|sha256):([0-9a-f]{64})")
_MMAP_FROM = 1 << 20  # bytes; below this, reading is quicker than mapping
_THREADS_FROM = 8 << 20  # bytes; below this, one thread is done before others have begun


class Digest(NamedTuple):  # thousands are made for one question
    """`blake3:hex` (ours) or `sha256:hex` (OCI, sources)."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Raise RecipeError unless `text` is `blake3:` or `sha256:` and 64 lower-case hex digits."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise RecipeError(
                f"not a digest: {text!r}",
                why="a digest is 'sha256:' or 'blake3:' and 64 lower-case hex digits",
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Blake3:
    """BLAKE3-256 of bytes that come one after the other. Not for several threads at once."""

    __slots__ = ("_hasher",)

    def __init__(self) -> None:
        self._hasher = blake3()

    def update(self, data: bytes) -> None:
        """Go on with `data`."""
        self._hasher.update(data)

    def digest(self) -> Digest:
        """Of all that came so far."""
        return Digest("blake3", self._hasher.hexdigest())


def blake3_bytes(data: bytes | memoryview) -> Digest:
    """BLAKE3-256 of bytes."""
    return Digest("blake3", blake3(data).hexdigest())


def blake3_file(path: Path, size: int | None = None) -> Digest:
    """BLAKE3-256 of a regular file's content; `size` in bytes, if the caller has it already, saves a stat."""
    if size is None:
        size = path.stat().st_size
    hasher = blake3(max_threads=blake3.AUTO) if size >= _THREADS_FROM else blake3()
    if size >= _MMAP_FROM:
        hasher.update_mmap(path)
    else:
        hasher.update(path.read_bytes())
    return Digest("blake3", hasher.hexdigest())


def sha256_file(path: Path) -> Digest:
    """SHA-256 of a regular file's content."""
    import hashlib  # with it comes OpenSSL: not for a question

    with path.open("rb") as file:
        return Digest("sha256", hashlib.file_digest(file, "sha256").hexdigest())
