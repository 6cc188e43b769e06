"""What the bytecode step of an image runs, as text: it stands in the step's key word for word. Pure.

The same bytes must come out whatever is compiled before, after or beside a file. What all modules of a process share,
and `marshal` writes in one of two ways, is whether a string of one character was interned by any of them: so all are
interned beforehand. Names are shared too, and since Python 3.11 always written in one way.
"""

from __future__ import annotations

__all__ = ["BYTECODE_SCRIPT", "LEFT_OUT"]

LEFT_OUT = "left-out"  # a file in /build: paths that get no bytecode, each ended by NUL

_PROGRAM = r"""
import importlib.util
import marshal
import multiprocessing
import os
import sys
import warnings

OUT, TOP, LEFT_OUT, PROCESSES = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
FLAGS = 0b01  # hash-based, and never compared with the source


def compiled(path):
    with open(path, "rb") as file:
        source = file.read()
    try:
        data = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        return False  # packages ship what is not for this Python, or for none; the last is how the parser's stack ends
    target = OUT + importlib.util.cache_from_source(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    head = importlib.util.MAGIC_NUMBER + FLAGS.to_bytes(4, "little") + importlib.util.source_hash(source)
    with open(target, "wb") as file:
        file.write(head + data)
    return True


def sources():
    with open(LEFT_OUT, "rb") as file:
        left_out = {os.fsdecode(path) for path in file.read().split(b"\0")}
    for directory, directories, names in os.walk(TOP):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(directory, name)
            if name.endswith(".py") and not os.path.islink(path) and path not in left_out:
                yield path


warnings.simplefilter("ignore")
for number in range(256):
    sys.intern(chr(number))
os.makedirs(OUT + TOP, exist_ok=True)
with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
    results = list(pool.imap_unordered(compiled, list(sources()), chunksize=16))
print(f"{sum(results)} files compiled, {results.count(False)} that do not compile left as they are")
"""

BYTECODE_SCRIPT = f"""\
phase compile
export PYTHONHASHSEED=0
"python${{option[python]}}" -B -s -S -P - "$OUT" \\
    "${{option[prefix]}}/lib/python${{option[python]}}/site-packages" /build/{LEFT_OUT} "$ORCH_CORES" <<'PYTHON'
{_PROGRAM.strip()}
PYTHON
"""
