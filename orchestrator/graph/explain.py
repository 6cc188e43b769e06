"""Two documents laid side by side, in words: why a key moved. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.frozen import frozen

AROUND = 2  # lines of a script that are shown before and after what changed


@frozen
class Change:
    """What is different in one field of a document. `lines` show more of it: a unified diff of a script, the hashes of
    a file before and after."""

    field: str
    texts: tuple[str, ...]
    lines: tuple[str, ...] = ()


def _range(start: int, end: int) -> str:
    return f"line {start + 1}" if end - start == 1 else f"lines {start + 1}-{end}"


def _opcodes(before: list[str], after: list[str]) -> Iterable[tuple[str, int, int, int, int]]:
    """As `difflib.SequenceMatcher.get_opcodes`, without it where only one place differs in a plain way."""
    start = next((i for i, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    if start is not None and len(before) == len(after) and before[start + 1 :] == after[start + 1 :]:
        return [("replace", start, start + 1, start, start + 1)]
    import difflib

    return difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _script(old: str, new: str) -> Iterator[str]:
    before, after = old.splitlines(), new.splitlines()
    for tag, i1, i2, j1, j2 in _opcodes(before, after):
        if tag == "replace":
            yield f"script {_range(j1, j2)} changed"
        elif tag == "insert":
            yield f"script {_range(j1, j2)} added"
        elif tag == "delete":
            yield f"script {_range(i1, i2)} of before removed"
    if before == after:
        yield "script: line ends changed"


def _words(field: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Differences of a list of strings whose order matters."""
    gone = [word for word in old if word not in new]
    come = [word for word in new if word not in old]
    yield from (f"{field}: - {word}" for word in gone)
    yield from (f"{field}: + {word}" for word in come)
    if not gone and not come:
        yield f"{field}: another order or number of the same"


def _named(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Differences of a mapping from names to content."""
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{kind} {name} removed"
        elif name not in old:
            yield f"{kind} {name} added"
        elif old[name] != new[name]:
            yield f"{kind} {name} changed"


def _values(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Differences of a mapping from names to short values."""
    for name in sorted({*old, *new}):
        before, after = old.get(name, "unread"), new.get(name, "unread")
        if before != after:
            yield f"{kind} {name}: {before} -> {after}"


def _files(kind: str, name: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Differences of a list of files, each a mapping with its name under `name`."""
    before = {str(entry.get(name)): dict(entry) for entry in old}
    after = {str(entry.get(name)): dict(entry) for entry in new}
    if before == after:
        plural = "patches" if kind == "patch" else f"{kind}s"
        yield f"{plural}: another order or number of the same"
    yield from _named(kind, before, after)


def _field(field: str, old: Any, new: Any) -> Iterator[str]:
    match field, old, new:
        case "script", str(), str():
            yield from _script(old, new)
        case (("flags" | "setuid" | "ldconf"), list(), list()):
            yield from _words(field, old, new)
        case "options", dict(), dict():
            yield from _values("option", old, new)
        case "inputs" | "closure", dict(), dict():
            yield from _named("input", old, new)
        case "sources", list(), list():
            yield from _files("source", "file_name", old, new)
        case (("patches" | "files"), list(), list()):
            yield from _files("patch" if field == "patches" else "file", "name", old, new)
        case _ if isinstance(old, str | int) and isinstance(new, str | int):
            yield f"{'sandbox schema' if field == 'sandbox' else field}: {old} -> {new}"
        case _:
            yield f"{field} changed"


def explain(old_document: Mapping[str, Any], new_document: Mapping[str, Any]) -> list[str]:
    """What is different, a field at a time in the order of the new document: empty if nothing is."""
    found: list[str] = []
    for field in dict.fromkeys((*new_document, *old_document)):
        if field not in old_document or field not in new_document:
            found.append(f"{field} {'added to' if field in new_document else 'gone from'} the document")
        elif old_document[field] != new_document[field]:
            found += _field(field, old_document[field], new_document[field])
    return found


def changes(old_document: Mapping[str, Any], new_document: Mapping[str, Any]) -> list[Change]:
    """What is different, as `explain` says it, by field and with the lines and hashes."""
    found: list[Change] = []
    for field in dict.fromkeys((*new_document, *old_document)):
        old, new = ({field: document[field]} if field in document else {} for document in (old_document, new_document))
        if texts := explain(old, new):
            lines = tuple(_detail(field, old.get(field), new.get(field)))
            found.append(Change(field=field, texts=tuple(texts), lines=lines))
    return found


def _detail(field: str, old: Any, new: Any) -> Iterator[str]:
    match field, old, new:
        case "script", str(), str():
            import difflib

            diff = difflib.unified_diff(old.splitlines(), new.splitlines(), n=AROUND, lineterm="")
            yield from list(diff)[2:]  # the first two name files
        case "sources", list(), list():
            yield from _hashes("file_name", old, new)
        case (("patches" | "files"), list(), list()):
            yield from _hashes("name", old, new)
        case _:
            return


def _hashes(name: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    """What is said otherwise of the files that both lists have."""
    before = {str(entry.get(name)): dict(entry) for entry in old}
    for entry in new:
        was = before.get(str(entry.get(name)), entry)
        for field in dict.fromkeys((*entry, *was)):
            if entry.get(field) != was.get(field):
                yield f"{entry.get(name)}: {field} {_short(was.get(field))} -> {_short(entry.get(field))}"


def _short(value: Any) -> str:
    """A hash is told from another by its beginning."""
    text = {None: "none", True: "yes", False: "no"}.get(value) if isinstance(value, bool | None) else str(value)
    return f"{text[:12]}..." if text is not None and len(text) == 64 else str(text)
