"""Six trees like those of an inference framework's image, the same bytes for the same seed: what images.py measures on.

Most bytes are in few big files that look like libraries (machine code of few words and many operands, tables, parts
that nothing compresses), most files are small text. Compressed by zstd -3 they shrink to about two fifths.
"""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TEXT_SHARE = 0.15  # of all bytes that are in small files
_CODE_POOL = 32 << 20
_TEXT_POOL = 16 << 20
_PIECE = 128 << 10  # of a library: what it is like changes this often
_FILES_IN_DIRECTORY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One component: its share of all bytes and of all files, and how many of its files are libraries."""

    name: str
    bytes: float
    files: float
    libraries: float  # of all libraries


SHAPES = (  # "changed" is 50 MB of 2 GB
    Shape(name="torch", bytes=0.40, files=0.28, libraries=0.20),
    Shape(name="cuda", bytes=0.30, files=0.12, libraries=0.30),
    Shape(name="framework", bytes=0.15, files=0.34, libraries=0.15),
    Shape(name="kernels", bytes=0.08, files=0.14, libraries=0.20),
    Shape(name="fabric", bytes=0.045, files=0.10, libraries=0.10),
    Shape(name="changed", bytes=0.025, files=0.02, libraries=0.05),
)
LIBRARIES = 300


class Maker:
    """Writes trees; what it writes depends on the seed and on the order of calls."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._code = _code(self._random)
        self._text = _text(self._random)

    def component(self, root: Path, shape: Shape, size: int, files: int) -> None:
        """The tree of one component below the directory `root`, out of `size` bytes and `files` files in all."""
        libraries = max(2, round(LIBRARIES * shape.libraries))
        small = max(2, round(files * shape.files) - libraries)
        text = min(TEXT_SHARE * shape.files * size, 0.5 * shape.bytes * size)
        top = root / "opt" / shape.name
        for number, length in enumerate(self._lengths(libraries, int(shape.bytes * size - text), 1.3)):
            self._library(top / "lib" / f"lib{shape.name}{number}.so.1", length)
            (top / "lib" / f"lib{shape.name}{number}.so").symlink_to(f"lib{shape.name}{number}.so.1")
        for number, length in enumerate(self._lengths(small, int(text), 2.0)):
            package = f"part{number // (8 * _FILES_IN_DIRECTORY)}"
            place = top / "share" / package / f"sub{number // _FILES_IN_DIRECTORY}"
            self._small(place / f"module_{number}.py", length, number)

    def touch_up(self, root: Path) -> None:
        """Change a tree as a new version does: new content in every third file, others as they were."""
        found = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        for number, path in enumerate(found[::3]):
            size = path.stat().st_size
            if path.suffix == ".py":
                self._small(path, size, number)
            else:
                self._library(path, size)

    def _lengths(self, count: int, total: int, alpha: float) -> list[int]:
        """`count` lengths, few large and many small, that are `total` together, or nearly."""
        weights = [min(self._random.paretovariate(alpha), 60.0) for _ in range(count)]
        scale = total / sum(weights)
        return [max(64, int(weight * scale)) for weight in weights]

    def _library(self, path: Path, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(b"\x7fELF"[:size])
            for piece in self._pieces(max(0, size - 4)):
                file.write(piece)
        path.chmod(0o755)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            length = min(_PIECE, size)
            what = self._random.random()
            if what < 0.15:
                yield self._random.randbytes(length)
            elif what < 0.27:
                yield bytes(length)
            else:
                start = self._random.randrange(_CODE_POOL - length)
                yield self._code[start : start + length]
            size -= length

    def _small(self, path: Path, size: int, number: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        first = f"# {self._random.getrandbits(64):016x} {number}\n".encode()[:size]
        start = self._random.randrange(_TEXT_POOL - size)
        path.write_bytes(first + self._text[start : start + size - len(first)])


def _cut(pieces: Iterator[bytes], size: int) -> bytes:
    gathered, length = [], 0
    for piece in pieces:
        gathered.append(piece)
        length += len(piece)
        if length >= size:
            break
    return b"".join(gathered)[:size]


def _code(chance: random.Random) -> bytes:
    """Words as of instructions, common ones first, each with an operand that may be anything."""
    words = [chance.randbytes(chance.randint(2, 9)) for _ in range(4096)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    operands = [bytes(count) for count in (1, 2, 3)]

    def pieces() -> Iterator[bytes]:
        while True:
            for word in chance.choices(words, cum_weights=weights, k=4096):
                yield word
                draw = chance.random()
                yield chance.randbytes(1 + (draw > 0.8)) if draw > 0.7 else operands[draw > 0.35]

    return _cut(pieces(), _CODE_POOL)


def _text(chance: random.Random) -> bytes:
    """Lines as of a program."""
    names = ["".join(chance.choices(string.ascii_lowercase + "_", k=chance.randint(2, 14))) for _ in range(6000)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(names) + 1)))
    forms = ["{} = {}({})", "if {} is not {}:", "return {}.{}", "def {}(self, {}: int) -> {}:", "{}.append({})", ""]

    def pieces() -> Iterator[bytes]:
        while True:
            drawn = chance.choices(names, cum_weights=weights, k=3072)
            for index in range(0, len(drawn), 3):
                line = "    " * chance.randint(0, 3) + chance.choice(forms).format(*drawn[index : index + 3])
                yield f"{line}\n".encode()

    return _cut(pieces(), _TEXT_POOL)
