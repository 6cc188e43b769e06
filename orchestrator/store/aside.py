"""What is damaged is moved out of the way, never repaired in place and never served: from then on it is a miss."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from orchestrator.store.durable import fsync_path
from orchestrator.store.layout import Layout
from orchestrator.tree import disk


def put_aside(layout: Layout, path: Path, why: str) -> Path | None:
    """Move `path`, which lies in the store, into corrupt/ with a note that says why; return its new place, or None if
    it was not there. Raise MachineError."""
    target = layout.corrupt / f"{path.parent.name}-{path.name}-{os.urandom(4).hex()}"
    with disk("put aside", path):
        layout.corrupt.mkdir(parents=True, exist_ok=True)
        try:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)  # a directory can be moved by those only who may write to it
            path.rename(target)
        except FileNotFoundError:
            return None
        fsync_path(path.parent)
    with suppress(OSError):  # a full disk has no room for the note
        target.with_name(f"{target.name}.why").write_text(f"{why}\n", encoding="utf-8", errors="backslashreplace")
    return target
