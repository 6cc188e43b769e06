"""Names of archive entries, as values: what is a safe path, and whether a link stays inside. Pure; touches no disk."""

from __future__ import annotations

from typing import Literal

from orchestrator.archive.limits import MAX_DEPTH, MAX_LINK, MAX_NAME, Refusal
from orchestrator.frozen import frozen


@frozen
class Entry:
    """One entry of an archive whose name was found safe. `parts` is empty for the top directory itself."""

    name: str  # as the archive spells it, for messages
    parts: tuple[str, ...]
    kind: Literal["file", "directory", "symlink", "hardlink"]
    mode: int = 0o644
    size: int = 0  # bytes
    link: str = ""  # a symlink's text
    target: tuple[str, ...] = ()  # a hard link's target, from the archive's top
    owner: tuple[int, int] = (0, 0)  # uid, gid


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal(f"{what} is not UTF-8") from None


def parts_of(name: str, what: str = "its name") -> tuple[str, ...]:
    """The components of a relative path that stays inside; `./` is dropped. Raise Refusal for anything else."""
    raw = _utf8(name, what)
    if not raw:
        raise Refusal(f"{what} is empty")
    if b"\0" in raw:
        raise Refusal(f"{what} holds a NUL byte")
    if name.startswith("/"):
        raise Refusal(f"{what} is absolute")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Refusal(f"{what} has '..' in it")
    if len(parts) > MAX_DEPTH:
        raise Refusal(f"{what} is more than {MAX_DEPTH} directories deep")
    if any(len(_utf8(part, what)) > MAX_NAME for part in parts):
        raise Refusal(f"{what} has a component of more than {MAX_NAME} bytes")
    return parts


def check_link_text(text: str) -> None:
    """Raise Refusal unless `text` can be a symbolic link's text at all."""
    raw = _utf8(text, "its link text")
    if not raw or b"\0" in raw:
        raise Refusal("its link text is empty or holds a NUL byte")
    if len(raw) > MAX_LINK:
        raise Refusal(f"its link text is longer than {MAX_LINK} bytes")


def check_link_inside(parts: tuple[str, ...], text: str) -> None:
    """Raise Refusal unless a symbolic link at `parts` stays inside the destination, whatever else is there.

    Nothing is written through links, so the link's directory is a real one and leading `..` climb exactly so far.
    A `..` further on could climb from wherever an earlier link led, so it is refused rather than guessed at.
    """
    if text.startswith("/"):
        raise Refusal(f"it links to {text!r}, which is absolute")
    steps = [step for step in text.split("/") if step not in ("", ".")]
    climbs = 0
    while climbs < len(steps) and steps[climbs] == "..":
        climbs += 1
    if climbs > len(parts) - 1:
        raise Refusal(f"it links to {text!r}, which leads outside the destination")
    if ".." in steps[climbs:]:
        raise Refusal(f"it links to {text!r}, which climbs again after descending and may lead outside")
