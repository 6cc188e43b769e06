"""Files that a person asked for with -o: whole, or as they were."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write `text` at `path` in one step: a reader sees the file of before or all of it. Raise UsageError if it cannot
    be written there, MachineError for a full disk."""
    from orchestrator.tree import disk

    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint=f"name a file: -o {path / 'NAME'}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no directory {path.parent}", where=str(path), hint=f"mkdir -p {path.parent}")
    if not os.access(path if path.exists() and not path.is_file() else path.resolve().parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: permission denied", hint="name another place: -o FILE")
    if path.exists() and not path.is_file():  # a device or a pipe takes what is written and is no file
        with disk("write", path), path.open("w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
        return
    path = path.resolve()  # a link stays, what it names is replaced
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    with disk("write", path):
        try:
            with new.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
