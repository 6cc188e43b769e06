"""Reads the ar container of a .deb: where its members lie. Knows nothing of what they hold."""

from __future__ import annotations

import os

from orchestrator.archive.limits import GET_AGAIN, Refusal
from orchestrator.archive.streams import TRUNCATED
from orchestrator.frozen import frozen

_MAGIC = b"!<arch>\n"
_HEADER = 60  # bytes
_MAX_MEMBERS = 32  # a .deb has three, and seldom a signature


@frozen(kw_only=False)
class Member:
    """One member: `size` bytes from `offset` of the file."""

    name: str
    offset: int
    size: int


class Window:
    """A member, open for reading. It keeps its own position, so several may share one descriptor."""

    def __init__(self, fd: int, member: Member) -> None:
        self._fd = fd
        self._at = member.offset
        self._end = member.offset + member.size

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the member's end."""
        data = os.pread(self._fd, min(size, self._end - self._at), self._at)
        self._at += len(data)
        return data


def _member(header: bytes, offset: int) -> Member:
    name, size, magic = header[:16], header[48:58], header[58:]
    if magic != b"`\n" or not size.strip().isdigit():
        raise Refusal(f"its ar header at byte {offset} is broken", hint=GET_AGAIN)
    text = name.rstrip(b" ").removesuffix(b"/").decode("ascii", "backslashreplace")
    return Member(text, offset + _HEADER, int(size))


def members(fd: int) -> tuple[Member, ...]:
    """The members of an ar file, in order; raise Refusal if it is none, is cut short or has something left over."""
    end = os.fstat(fd).st_size
    if os.pread(fd, len(_MAGIC), 0) != _MAGIC:
        raise Refusal("it is not an ar archive, as a .deb is", hint=GET_AGAIN)
    found: list[Member] = []
    offset = len(_MAGIC)
    while offset < end:
        header = os.pread(fd, _HEADER, offset)
        if len(header) < _HEADER:
            raise Refusal(TRUNCATED, hint=GET_AGAIN)
        member = _member(header, offset)
        offset = member.offset + member.size
        if offset > end:
            raise Refusal(TRUNCATED, hint=GET_AGAIN)
        offset += offset % 2  # members start at even bytes
        found.append(member)
        if len(found) > _MAX_MEMBERS:
            raise Refusal(f"it has more than {_MAX_MEMBERS} ar members")
    return tuple(found)
