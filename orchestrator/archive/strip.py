"""Takes the single top directory off the entries of an archive. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.archive.limits import Refusal
from orchestrator.archive.names import Entry
from orchestrator.frozen import replace

_HINT = 'set `unpack = "."` and strip nothing, or repack the archive'


def stripped(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries without their one top directory; raise Refusal unless there is exactly one."""
    top: str | None = None
    for entry in entries:
        if not entry.parts:
            continue
        top = top or entry.parts[0]
        if entry.parts[0] != top or (len(entry.parts) == 1 and entry.kind != "directory"):
            raise Refusal(f"it is not inside one top directory ({top!r})", entry=entry.name, hint=_HINT)
        if entry.kind == "hardlink" and entry.target[:1] != (top,):
            raise Refusal(f"it is a hard link out of the top directory {top!r}", entry=entry.name)
        if len(entry.parts) > 1:
            yield replace(entry, parts=entry.parts[1:], target=entry.target[1:])
    if top is None:
        raise Refusal("it has no top directory", hint=_HINT)
