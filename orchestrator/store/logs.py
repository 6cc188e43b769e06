"""Build and check logs, one file a run, by the step's name and the time. Kept when the run failed: that is their
use."""

from __future__ import annotations

import os
import time
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.store.layout import Layout, safe_name
from orchestrator.tree import disk


def new_log(layout: Layout, name: str, key: Digest) -> Path:
    """An empty log file for a run of `name` (a recipe, or a step) with `key`. Raise MachineError."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{rest // 1000:06d}Z"
    path = layout.logs / safe_name(name) / f"{stamp}-{key.hex[:12]}.log"
    with disk("make a log at", path):
        try:
            path.touch()
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return path


def list_logs(layout: Layout, name: str | None = None) -> list[Path]:
    """The logs of `name`, or all of them, newest first. Raise MachineError."""
    with disk("list", layout.logs):
        homes = [layout.logs / safe_name(name)] if name is not None else [Path(item) for item in _items(layout.logs)]
        logs = [Path(item) for home in homes for item in _items(home) if item.name.endswith(".log")]
    return sorted(logs, key=lambda path: path.name, reverse=True)


def latest_log(layout: Layout, name: str) -> Path | None:
    """The newest log of `name`, or None. Raise MachineError."""
    return next(iter(list_logs(layout, name)), None)


def _items(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
