"""What objects and records say, in one file that is quick to ask: `index/index.sqlite`. It holds nothing of its own: it
is brought up to date whenever it is opened, and made anew from objects and records when it is missing or damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.frozen import NamedTuple, frozen
from orchestrator.store.indexing import update
from orchestrator.store.layout import Layout
from orchestrator.store.realisations import Kind

_SCHEMA = 2
_TABLES = """
CREATE TABLE seen (directory TEXT PRIMARY KEY, mtime INTEGER) WITHOUT ROWID;
CREATE TABLE object (hex TEXT PRIMARY KEY, bytes INTEGER, files INTEGER, entries INTEGER) WITHOUT ROWID;
CREATE TABLE record (directory TEXT, hex TEXT, stamp TEXT, kind TEXT, name TEXT, output TEXT, facts TEXT,
                     inputs TEXT, sources TEXT,
                     PRIMARY KEY (directory, hex)) WITHOUT ROWID;
CREATE INDEX record_output ON record (output);
CREATE INDEX record_name ON record (name);
"""


class Size(NamedTuple):
    """How big an object's tree is: bytes of all files, number of files, of all entries."""

    bytes: int
    files: int
    entries: int


@frozen
class Facts:
    """What the index has of a realisation or check: its record without scripts. Digests and keys are hex."""

    key: str
    kind: Kind
    name: str
    version: str
    origin: str  # "" where the record does not tell
    options: tuple[tuple[str, str], ...]
    output: str | None
    seconds: float
    finished: float  # seconds since 1970, UTC
    log: str
    builder: str
    platform: str
    inputs: tuple[tuple[str, str], ...]  # recipe -> its derivation key, of a build its output's digest
    runtime: tuple[tuple[str, str], ...]  # recipe -> its derivation key
    sources: tuple[tuple[str, str], ...]  # file name -> sha256, or `tree:` and a digest


@frozen
class GoalFacts:
    """What the index has of a finished goal."""

    key: str
    goal: str
    options: tuple[tuple[str, str], ...]
    finished: float
    output: str
    closure: tuple[tuple[str, str, str, str, str | None], ...]  # name, version, origin, object, derivation key


class Index:
    """Answers over one store, as it was when this was opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def sizes(self) -> dict[str, Size]:
        """Every object's size, by its hex."""
        rows = self._db.execute("SELECT hex, bytes, files, entries FROM object")
        return {name: Size(size, files, entries) for name, size, files, entries in rows}

    def facts(self, kind: Kind | None = None, *, name: str | None = None, output: str | None = None) -> Iterator[Facts]:
        """Realisations and checks, those of a kind, recipe or output alone if asked so; in no particular order."""
        wanted = {"kind": kind, "name": name, "output": output}
        given = {field: value for field, value in wanted.items() if value is not None}
        where = " AND ".join(["directory != 'goals'", *(f"{field} = ?" for field in given)])
        rows = self._db.execute(f"SELECT facts FROM record WHERE {where}", tuple(given.values()))
        while some := rows.fetchmany(1000):  # parsed together, which takes a third of the time
            for document in json.loads(f"[{','.join(text for (text,) in some)}]"):
                yield _facts(document)

    def labels(self, outputs: Iterable[str]) -> dict[str, str]:
        """What objects were made as, by their hex: `ucx`; of several recipes the first by name."""
        query = "SELECT min(name) FROM record WHERE output = ? AND directory = 'realisations'"
        found = ((output, self._db.execute(query, (output,)).fetchone()[0]) for output in outputs)
        return {output: name for output, name in found if name is not None}

    def has_name(self, name: str) -> bool:
        """Whether something was made of this recipe."""
        where = "name = ? AND kind = 'derivation' LIMIT 1"
        return self._db.execute(f"SELECT 1 FROM record WHERE {where}", (name,)).fetchone() is not None

    def names(self) -> list[str]:
        """Every recipe that something was made of, sorted."""
        rows = self._db.execute("SELECT DISTINCT name FROM record WHERE kind = 'derivation' ORDER BY name")
        return [name for (name,) in rows]

    def beginning(self, prefix: str) -> tuple[list[str], list[Facts]]:
        """The objects, and the realisations by key, whose hex begins so; at most a few of each."""
        last = prefix.ljust(64, "f")
        objects = self._db.execute("SELECT hex FROM object WHERE hex BETWEEN ? AND ? LIMIT 9", (prefix, last))
        where = "directory = 'realisations' AND hex BETWEEN ? AND ? LIMIT 9"
        records = self._db.execute(f"SELECT facts FROM record WHERE {where}", (prefix, last))
        return [name for (name,) in objects], [_facts(json.loads(text)) for (text,) in records]

    def size(self, name: str) -> Size | None:
        """The size of one object, if it is there."""
        row = self._db.execute("SELECT bytes, files, entries FROM object WHERE hex = ?", (name,)).fetchone()
        return Size(*row) if row is not None else None

    def stale(self, before: float) -> list[tuple[str, str]]:
        """Directory and hex of every record that is older than `before` (seconds since 1970) and leads to nothing."""
        gone = "output NOT IN (SELECT hex FROM object) AND json_extract(facts, '$.finished') < ?"
        return self._db.execute(f"SELECT directory, hex FROM record WHERE {gone}", (before,)).fetchall()

    def derivation(self, key: str) -> Facts | None:
        """The realisation of a derivation key or build key."""
        where = "directory = 'realisations' AND hex = ?"
        row = self._db.execute(f"SELECT facts FROM record WHERE {where}", (key,)).fetchone()
        return _facts(json.loads(row[0])) if row is not None else None

    def inputs(self) -> dict[str, tuple[str, str | None, list[str]]]:
        """Every derivation's recipe, output and the derivation keys of its inputs, by its key: for all at once."""
        rows = self._db.execute("SELECT hex, name, output, inputs FROM record WHERE kind = 'derivation'")
        return {key: (name, output, inputs.split()) for key, name, output, inputs in rows}

    def sources(self) -> Iterator[tuple[str, str, list[str]]]:
        """Of every build that had some: output, recipe, the hashes of its sources, `wheel:HASH` where the output is an
        installed wheel, `tree:HASH` where only the tree is pinned. Quick for all at once."""
        # What needs no inputs has one key and one record, of either kind.
        where = "(kind = 'build' OR kind = 'derivation' AND inputs = '') AND sources != '' AND output IS NOT NULL"
        for output, name, sources in self._db.execute(f"SELECT output, name, sources FROM record WHERE {where}"):
            yield output, name, sources.split()

    def goals(self) -> list[GoalFacts]:
        """Every finished goal, newest first."""
        rows = self._db.execute("SELECT facts FROM record WHERE kind = 'goal'").fetchall()
        found = [_goal_facts(json.loads(text)) for (text,) in rows]
        return sorted(found, key=lambda goal: (goal.finished, goal.key), reverse=True)


@contextmanager
def open_index(layout: Layout) -> Iterator[Index]:
    """The index of a store, up to date. Where it cannot be written it is made in memory. Raise MachineError if the
    store may not be read."""
    connection = _connect(layout)
    try:
        try:
            update(connection, layout)
        except sqlite3.DatabaseError:
            connection.close()
            with suppress(OSError):
                _path(layout).unlink(missing_ok=True)
            connection = _prepared(":memory:")
            update(connection, layout)
        yield Index(connection)
    finally:
        connection.close()


def _path(layout: Layout) -> Path:
    return layout.root / "index" / "index.sqlite"


def _connect(layout: Layout) -> sqlite3.Connection:
    path = _path(layout)
    for _ in range(2):
        try:
            return _prepared(str(path)) if path.parent.is_dir() else _prepared(":memory:")
        except sqlite3.OperationalError:  # read-only, full, or held by another for too long
            break
        except sqlite3.DatabaseError:  # damaged
            with suppress(OSError):
                path.unlink()
    return _prepared(":memory:")


def _prepared(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=20, isolation_level=None)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
            connection.execute("BEGIN IMMEDIATE")
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                connection.execute(f'DROP TABLE "{name}"')
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA}")
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _facts(document: dict[str, Any]) -> Facts:
    for name in ("options", "inputs", "runtime", "sources"):
        document[name] = tuple(document[name].items())
    return Facts(**document)


def _goal_facts(document: dict[str, Any]) -> GoalFacts:
    document["options"] = tuple((name, value) for name, value in document["options"])
    document["closure"] = tuple(tuple(item) for item in document["closure"])
    return GoalFacts(**document)
