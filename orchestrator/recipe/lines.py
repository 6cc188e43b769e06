"""On which line of a TOML text each field stands. Pure; exact for a text that parses: the parser itself is asked."""

from __future__ import annotations

from typing import Any

from orchestrator.recipe import toml

FieldPath = tuple[str | int, ...]


def _statement(lines: list[str], start: int) -> tuple[dict[str, Any], int]:
    """What the statement that begins on line `start` says, and the line after it."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return toml.loads("\n".join(lines[start:end]) + "\n"), end
        except toml.TOMLDecodeError:
            continue
    return {}, len(lines)


def _header(said: dict[str, Any], last: dict[FieldPath, int]) -> FieldPath:
    """The path of a `[table]` or `[[table]]` header; `last` counts the entries of each list of tables."""
    path: FieldPath = ()
    inner: Any = said
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        path = (*path, name)
        if isinstance(inner, list):
            last[path] = last.get(path, -1) + 1
        if path in last:
            path = (*path, last[path])
    return path


def _below(value: Any, path: FieldPath) -> list[FieldPath]:
    found = [path]
    if isinstance(value, dict):
        for name, child in value.items():
            found += _below(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += _below(child, (*path, index))
    return found


def field_lines(text: str) -> dict[FieldPath, int]:
    """The line, from 1, on which the statement that first names each field begins."""
    lines = text.split("\n")
    found: dict[FieldPath, int] = {}
    last: dict[FieldPath, int] = {}
    table: FieldPath = ()
    at = 0
    while at < len(lines):
        said, after = _statement(lines, at)
        if lines[at].lstrip().startswith("["):
            table = _header(said, last)
            paths = [table[:end] for end in range(1, len(table) + 1)]
        else:
            paths = _below(said, table)
        for path in paths:
            found.setdefault(path, at + 1)
        at = after
    return found
