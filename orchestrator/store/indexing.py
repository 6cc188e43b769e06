"""Brings the index up to date with the store: what came, what went, what was replaced. A record or manifest that cannot
be read is not in it."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest
from orchestrator.store.goals import read_goal
from orchestrator.store.layout import Layout
from orchestrator.store.realisations import read_check, read_realisation
from orchestrator.tree import disk

_YOUNG = 2_000_000_000  # nanoseconds: a directory that changed so lately may change again with the same time


def update(db: sqlite3.Connection, layout: Layout) -> None:
    """Bring the tables up to date, all of them or, where that fails, none. Raise MachineError, sqlite3.Error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        with disk("read", layout.root):
            if _changed(db, layout.objects):
                _update_objects(db, layout)
            for directory in (layout.realisations, layout.checks, layout.goals):
                if _changed(db, directory):
                    _update_records(db, layout, directory)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _changed(db: sqlite3.Connection, directory: Path) -> bool:
    """Whether something came, went or was replaced: each gives the directory a new time. Notes the time if it is old
    enough to be told from the next change's."""
    try:
        mtime = directory.stat().st_mtime_ns
    except FileNotFoundError:
        mtime = 0
    row = db.execute("SELECT mtime FROM seen WHERE directory = ?", (directory.name,)).fetchone()
    if row is not None and row[0] == mtime:
        return False
    kept = mtime if mtime < time.time_ns() - _YOUNG else -1
    db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (directory.name, kept))
    return True


def _names(directory: Path) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry for entry in entries}
    except FileNotFoundError:
        return {}


def _update_objects(db: sqlite3.Connection, layout: Layout) -> None:
    there = {name for name in _names(layout.objects) if len(name) == 64}
    known = {name for (name,) in db.execute("SELECT hex FROM object")}
    db.executemany("DELETE FROM object WHERE hex = ?", [(name,) for name in known - there])
    rows = ((name, *size) for name in there - known if (size := _size(layout, name)) is not None)
    db.executemany("INSERT INTO object VALUES (?, ?, ?, ?)", rows)


def _size(layout: Layout, name: str) -> tuple[int, int, int] | None:
    """Bytes, files and entries, from the manifest as it stands: its hash is looked at where the object is used."""
    try:
        entries = json.loads((layout.objects / name / "manifest.json").read_bytes())["entries"]
        files = [entry["size"] for entry in entries if entry["kind"] == "file"]
        return sum(files), len(files), len(entries)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _update_records(db: sqlite3.Connection, layout: Layout, directory: Path) -> None:
    there = {}
    for name, entry in _names(directory).items():
        if name.endswith(".json"):
            with suppress(FileNotFoundError):
                found = entry.stat()
                there[name[:-5]] = f"{found.st_mtime_ns}:{found.st_ino}:{found.st_size}"
    rows = db.execute("SELECT hex, stamp FROM record WHERE directory = ?", (directory.name,))
    known = dict(rows.fetchall())
    gone = [(directory.name, name) for name in known.keys() - there.keys()]
    db.executemany("DELETE FROM record WHERE directory = ? AND hex = ?", gone)
    for name, stamp in there.items():
        if known.get(name) == stamp:
            continue
        row = _row(layout, directory, name)
        if row is None:
            db.execute("DELETE FROM record WHERE directory = ? AND hex = ?", (directory.name, name))
            continue
        values = (directory.name, name, stamp, *row)
        db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def _row(layout: Layout, directory: Path, name: str) -> tuple[str, str, str | None, str, str, str] | None:
    """Kind, name, output, facts, inputs and sources of a record."""
    key = Digest("blake3", name)
    if directory == layout.goals:
        goal = read_goal(layout, key)
        if goal is None:
            return None
        closure = [
            (one.name, one.version, one.origin, one.digest.hex, one.derivation.hex if one.derivation else None)
            for one in goal.closure
        ]
        facts: dict[str, Any] = {"goal": goal.goal, "options": goal.options, "finished": goal.finished}
        facts |= {"key": name, "output": goal.output.hex, "closure": closure}
        return "goal", goal.goal, goal.output.hex, json.dumps(facts), "", ""
    made = (read_check if directory == layout.checks else read_realisation)(layout, key)
    if made is None:
        return None
    output = made.output.hex if made.output is not None else None
    if made.kind == "check":
        output = str(made.document.get("output", "")).rpartition(":")[2] or None
    facts = _document(made.document, made.runtime) | {
        "key": name,
        "kind": made.kind,
        "name": made.name,
        "version": made.version,
        "origin": made.origin,
        "output": output,
        "seconds": made.seconds,
        "finished": made.finished,
        "log": made.log,
    }
    sources = [f"wheel:{one}" if facts["builder"] == "wheel" else one for one in facts["sources"].values()]
    return made.kind, made.name, output, json.dumps(facts), " ".join(facts["inputs"].values()), " ".join(sources)


def _document(document: Any, runtime: Any) -> dict[str, Any]:
    """What of a hashed document is worth asking for."""

    def hexes(pairs: Any) -> dict[str, str]:
        return {str(name): str(text).rpartition(":")[2] for name, text in dict(pairs).items()}

    return {
        "options": {str(name): str(value) for name, value in dict(document.get("options", {})).items()},
        "builder": str(document.get("builder", "")),
        "platform": str(document.get("platform", "")),
        "inputs": hexes(document.get("inputs", {}) or document.get("closure", {})),
        "runtime": hexes(runtime),
        "sources": {
            str(source.get("file_name", "")): str(source.get("sha256") or f"tree:{source.get('tree')}")
            for source in document.get("sources", [])
        },
    }
