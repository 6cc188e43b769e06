"""Saves what a command with nothing to do printed, with all that made it so; `answers` finds it the next time.

An answer is saved only if nothing that led to it can have changed since it was read, and if any later change will show.
A change always gives a file a newer time, but two in the same tick of a file system's clock give it the same. So
whatever changed after the command began, or so shortly before that its tick may have lasted, is in no answer: the next
command looks again. Nothing here knows what a goal or an image is.
"""

# Thousands of paths are looked at
# ruff: noqa: PTH114, PTH115, PTH116, PTH118, PTH120
from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.cli import answers
from orchestrator.cli.answers import FORM, code, is_there, look, question, seal
from orchestrator.store import Layout

KEPT = 256  # answers in one store; the oldest go
YOUNG = 2_000_000_000  # nanoseconds: as coarse as times on any file system are
SKEW = 1_000_000_000  # by which a file system's clock may differ from ours


class _Unfit(Exception):
    """There can be no answer: something is too young, or has a name that cannot be written down."""


def save(
    layout: Layout,
    words: Sequence[str],
    *,
    watched: Iterable[str | Path],
    required: Iterable[str | Path],
    out: str,
    saying: Mapping[Path, bytes] | None = None,
) -> bool:
    """Remember that the command `words`, here and now, had nothing to do and printed `out`; whether that was possible.

    `watched`: every file and directory that it read, listed or missed, records of the store too; any change to one ends
    the answer. `required`: immutable files and directories that have to be there, whatever their times. `saying`: small
    files, and of each a text that has to stand in it. What is not fit to be saved, or cannot be written, is no error.
    """
    try:
        here = str(Path.cwd())
        seen, newest = code()
        if here != answers.HERE or newest >= answers.BEGAN - YOUNG:
            return False
        paths = [*dict.fromkeys(str(path) for path in (layout.root / "schema", *watched))]
        for place in _ways(paths):
            _refuse_young(os.lstat(place))
        facts = [*map(_watched, paths), *map(_required, dict.fromkeys(str(path) for path in required))]
        facts += [_saying(path, text) for path, text in (saying or {}).items()]
        body = b"\n".join((b"store " + os.fsencode(layout.root), b"code " + seen, *facts, b"say", b""))
        body += out.encode("utf-8", "surrogateescape")
        _write(layout.answers, question(words, here), FORM + seal(body) + body)
        return True
    except (OSError, _Unfit):
        return False


def _ways(paths: Sequence[str]) -> Iterator[str]:
    """What may have been turned or moved so that another file, old enough, stands where one was read: every link on
    the way to a path, and the directories between it and one that is itself watched."""
    watched = set(paths)
    seen: set[str] = set()
    todo = list(paths)
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        parent = os.path.dirname(path)
        if os.path.islink(path):
            yield path
            todo.append(os.path.normpath(os.path.join(parent, os.readlink(path))))
        elif path not in watched and not watched.isdisjoint(_above(path)) and is_there(path):
            yield path
        todo.append(parent)


def _above(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _watched(path: str) -> bytes:
    if not is_there(path):
        return _line("none", path)
    found = os.stat(path)
    _refuse_young(found)
    return _line(f"same {look(found)}", path)


def _required(path: str) -> bytes:
    found = os.stat(path)
    return _line("dir" if stat.S_ISDIR(found.st_mode) else f"file {found.st_size}", path)


def _saying(path: Path, text: bytes) -> bytes:
    if b" " in text or b"\n" in text or text not in path.read_bytes():
        raise _Unfit
    return _line("says " + os.fsdecode(text), os.fspath(path))


def _refuse_young(found: os.stat_result) -> None:
    if max(found.st_mtime_ns, found.st_ctime_ns) >= answers.BEGAN - YOUNG:
        raise _Unfit


def _line(fact: str, path: str) -> bytes:
    if "\n" in path or not path.startswith("/"):
        raise _Unfit
    return os.fsencode(fact) + b" " + os.fsencode(path)


def _write(directory: Path, name: str, data: bytes) -> None:
    """Put an answer into its place at once, unless this file system's clock is not ours."""
    new = directory / f".{name}-{os.getpid()}"
    try:
        new.write_bytes(data)
        if abs(new.stat().st_mtime_ns - time.time_ns()) > SKEW:
            raise _Unfit
        new.replace(directory / name)
    finally:
        new.unlink(missing_ok=True)
    with os.scandir(directory) as entries:
        ages = sorted((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries)
    for _, path in ages[:-KEPT]:
        Path(path).unlink(missing_ok=True)
