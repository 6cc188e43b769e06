"""Answers that still hold: what a command with nothing to do printed, and every fact that made it so.

Asked before anything else is imported, so that a no-op costs little more than the start of Python; this module imports
nothing that Python has not loaded by then. It knows no recipe and no key: an answer is given only if every fact beside
it still holds, and whatever is odd in any way leads to the ordinary path, which says so or saves a new answer.

An answer is a file of the store, `answers/<question>`: the question is the command's words, the working directory and
what of the environment matters. Its lines are facts:

    orch answer 1
    seal HEX                 BLAKE2 of all that follows
    store PATH               where the store really is
    code HEX                 orch's own files and the packages beside it, as they looked
    same STAT PATH           a file or directory, as it looked: device, inode, mode, size, mtime, ctime
    none PATH                there is no such file
    file SIZE PATH, dir PATH an immutable thing that has to be there
    says TEXT PATH           a small file in which this text stands, whatever else does
    say                      what follows is what to print

How one comes to be saved: remember.py.
"""

# pathlib takes longer to import than the answer
# ruff: noqa: PTH100, PTH109, PTH111, PTH113, PTH116, PTH118, PTH120, PTH123
from __future__ import annotations

import marshal
import os
import stat
import sys
import time

try:
    from _blake2 import blake2b  # hashlib would load OpenSSL first
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False  # typing takes longer to import than the answer
if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = ("build", "image")  # those that may have saved something
ENVIRONMENT = ("ORCH_STORE", "HOME")  # what the store's place depends on
FORM = b"orch answer 1\n"
_PROJECT = "orch.toml"
BEGAN = time.time_ns()  # nothing that an answer depends on was read before
try:
    HERE = os.getcwd()
except OSError:  # it was removed
    HERE = ""


def answer(words: Sequence[str]) -> bool:
    """Print the saved answer to a command line and return True, if there is one and it still holds. Never raises."""
    try:
        if not words or words[0] not in VERBS or sys.stdout is None or sys.stdout.encoding.lower() != "utf-8":
            return False
        said = find(words)
        if said is None:
            return False
        while said:
            said = said[os.write(1, said) :]
        return True
    except (OSError, ValueError):
        return False


def find(words: Sequence[str]) -> bytes | None:
    """What to print, or None. Raise OSError or ValueError where there is nothing to be found or it is odd."""
    here = os.getcwd()
    store = _place(words, here)
    place = os.path.join(store, "answers", question(words, here))
    with open(place, "rb") as file:
        data = file.read()
    form, sealed, body = data[: len(FORM)], data[len(FORM) : len(FORM) + 70], data[len(FORM) + 70 :]
    if form != FORM or sealed != seal(body) or not os.access(store, os.R_OK | os.W_OK | os.X_OK):
        return None
    facts, _, said = body.partition(b"\nsay\n")
    lines = facts.split(b"\n")
    if lines[0] != b"store " + os.fsencode(store) or lines[1] != b"code " + code()[0]:
        return None
    if not _hold(lines[2:]):
        return None
    os.utime(place)  # when it was asked for last: gc looks
    return said


def code() -> tuple[bytes, int]:
    """A digest of how orch's own files, this Python and the packages beside them look; the newest of their times."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    looks: list[tuple[str, tuple[int, ...]]] = []
    todo = [package]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    looks.append((entry.path, _look(entry.stat())))
                elif entry.name != "__pycache__" and entry.is_dir():
                    todo.append(entry.path)
    # What pip installs and removes changes the directory.
    looks += [(place, _look(os.stat(place))) for place in sys.path if place.endswith("-packages")]
    looks.sort()
    plain = marshal.dumps((sys.version, sys.prefix, package, looks), 2)  # later forms tell equal values apart
    return _digest(plain), max(max(seen[-2:]) for _, seen in looks)


def _hold(facts: Sequence[bytes]) -> bool:
    for fact in facts:
        kind, _, rest = fact.partition(b" ")
        if kind == b"same":
            seen, _, path = rest.partition(b" ")
            if look(os.stat(path)).encode() != seen:
                return False
        elif kind == b"dir":
            if not stat.S_ISDIR(os.stat(rest).st_mode):
                return False
        elif kind == b"file":
            size, _, path = rest.partition(b" ")
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_size != int(size):
                return False
        elif kind == b"says":
            text, _, path = rest.partition(b" ")
            with open(path, "rb") as file:
                if text not in file.read():
                    return False
        elif kind != b"none" or is_there(rest):
            return False
    return True


def _look(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def look(found: os.stat_result) -> str:
    """How something looks. Nobody can put all of it back after a change: the kernel sets the last of the times."""
    return f"{found.st_dev}:{found.st_ino}:{found.st_mode}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def is_there(path: str | bytes) -> bool:
    """Whether there is anything of that name."""
    try:
        os.lstat(path)  # a link to nothing is something: then stat raises, and there is no answer
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def question(words: Sequence[str], here: str) -> str:
    """The name of an answer: all that decides which files the command looks at, and which platform it answers for."""
    machine = os.uname()
    settings = [f"{name}={os.environ[name]}" for name in ENVIRONMENT if name in os.environ]
    parts = [str(len(words)), *words, here, machine.sysname, machine.machine, *settings]
    return _digest(os.fsencode("\0".join(parts))).decode()


def _place(words: Sequence[str], here: str) -> str:
    """Where the command's store should be. A wrong guess finds nothing: answers lie in their own stores."""
    place = os.environ.get("ORCH_STORE", "")
    if not place:
        root = here
        while not os.path.isfile(os.path.join(root, _PROJECT)):
            if root == os.path.dirname(root):
                raise ValueError(here)
            root = os.path.dirname(root)
        place = os.path.join(root, _said(os.path.join(root, _PROJECT)) or "store")
    for index, word in enumerate(words):
        if word.startswith("--store="):
            place = word.removeprefix("--store=")
        elif word == "--store":
            place = "".join(words[index + 1 : index + 2])
    return os.path.realpath(os.path.join(here, place))


def _said(file: str) -> str:
    """The store's path as an orch.toml has it, in the form in which people write it; any other form is not understood
    and means an ordinary run."""
    with open(file, encoding="utf-8") as lines:
        table = ""
        for line in map(str.strip, lines):
            if line.startswith("["):
                table = line
            name, _, value = line.partition("=")
            if table == "[store]" and name.strip() == "path":
                return os.path.expanduser(value.strip()[1:-1])
    return ""


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).hexdigest().encode()


def seal(body: bytes) -> bytes:
    """The line that shows damage."""
    return b"seal " + _digest(body) + b"\n"
