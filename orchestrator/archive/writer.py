"""Writes entries below one directory and never outside it: every name is opened one component at a time, relative to
the directory before it, with O_NOFOLLOW; files are made with O_EXCL. Knows no archive format.

In a root file system (.debs) a link met on the way is resolved by hand, as a chroot would: an absolute one starts
again at the destination, `..` stops there. Everywhere else a link met on the way is a refusal.
Several Writers may fill one destination from several threads.

All that is written has UNPACKED_MTIME; a directory gets it whenever the Writer leaves it, so after its content.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.archive.limits import MAX_HOPS, Refusal
from orchestrator.archive.names import Entry, check_link_inside, check_link_text
from orchestrator.frozen import frozen

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Seconds since 1970: 1980-01-01, the SOURCE_DATE_EPOCH of the sandbox. One time for everything, because `make` runs
# again what is older than its prerequisites: equal times regenerate nothing, times of extraction differ by chance.
UNPACKED_MTIME = 315532800
_TIMES = (UNPACKED_MTIME * 10**9, UNPACKED_MTIME * 10**9)
_SETID = stat.S_ISUID | stat.S_ISGID
_MODES = threading.Lock()  # between making a directory and setting its mode


@frozen
class Rules:
    """`rootfs`: real modes, any link text, links on the way resolved inside; setuid kept for `allow_setuid` only."""

    rootfs: bool = False
    allow_setuid: frozenset[str] = frozenset()  # paths without a leading slash


class Writer:
    """Puts the entries of one archive below `destination`, which is made if missing. Use it in a `with`."""

    def __init__(self, destination: Path, rules: Rules) -> None:
        destination.mkdir(parents=True, exist_ok=True)
        self._rules = rules
        self._made: set[str] = set()  # resolved paths of what this archive wrote, directories not
        self._fds = [os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._names: list[str] = []  # of the directories in _fds but the first, links resolved
        self._at: tuple[str, ...] | None = ()  # what was asked for to get there

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._climb(len(self._names))
                os.utime(self._fds[0], ns=_TIMES)
        finally:
            for fd in self._fds:
                os.close(fd)
            self._fds.clear()

    def put(self, entry: Entry, content: Iterable[bytes]) -> None:
        """Write one entry; `content` is read for a file only. Raise Refusal if the entry may not be written."""
        if entry.kind == "directory":
            self._put_directory(entry)
        elif not entry.parts:
            raise Refusal("its name is that of the top directory, but it is not a directory")
        elif entry.kind == "hardlink":
            self._put_hardlink(entry)
        else:
            fd = self._open(entry.parts[:-1])
            path = self._claim(entry.parts[-1])
            try:
                if entry.kind == "symlink":
                    self._put_symlink(entry, fd)
                else:
                    self._put_file(entry, path, fd, content)
            except FileExistsError:
                raise Refusal(self._occupied(entry.parts[-1])) from None
            self._made.add(path)

    def _put_directory(self, entry: Entry) -> None:
        fd = self._open(entry.parts)
        # A mode other than the usual one wins whichever of several archives comes first, so the order is no matter.
        if self._rules.rootfs and entry.parts and (mode := self._mode(entry, "/".join(self._names))) != 0o755:
            with _MODES:
                os.fchmod(fd, mode)

    def _put_file(self, entry: Entry, path: str, parent: int, content: Iterable[bytes]) -> None:
        mode = self._mode(entry, path)
        fd = os.open(entry.parts[-1], _FILE, 0o600, dir_fd=parent)
        try:
            for piece in content:
                while piece:
                    piece = piece[os.write(fd, piece) :]
            os.fchmod(fd, mode)
            os.utime(fd, ns=_TIMES)
        finally:
            os.close(fd)

    def _put_symlink(self, entry: Entry, parent: int) -> None:
        check_link_text(entry.link)
        if not self._rules.rootfs:
            check_link_inside(entry.parts, entry.link)
        try:
            os.symlink(entry.link, entry.parts[-1], dir_fd=parent)
        except FileExistsError:
            if not self._rules.rootfs or _link_text(entry.parts[-1], parent) != entry.link:
                raise
        os.utime(entry.parts[-1], ns=_TIMES, dir_fd=parent, follow_symlinks=False)

    def _put_hardlink(self, entry: Entry) -> None:
        if not entry.target:
            raise Refusal("it is a hard link to the top directory")
        source = os.dup(self._open(entry.target[:-1], create=False))
        try:
            old, target = "/".join([*self._names, entry.target[-1]]), entry.target[-1]
            if old not in self._made or not stat.S_ISREG(os.lstat(target, dir_fd=source).st_mode):
                raise Refusal(
                    f"it is a hard link to {'/'.join(entry.target)!r}, which is no file earlier in the archive"
                )
            fd, name = self._open(entry.parts[:-1]), entry.parts[-1]
            if "/".join([*self._names, name]) == old:
                raise Refusal("it is a hard link to itself")
            path = self._claim(name)
            os.link(target, name, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)
            self._made.add(path)
        except FileExistsError:
            raise Refusal(self._occupied(entry.parts[-1])) from None
        finally:
            os.close(source)

    def _claim(self, name: str) -> str:
        """The real path of `name` in the open directory; what this archive put there before gives way, as in tar."""
        path = "/".join([*self._names, name])
        if path in self._made:
            os.unlink(name, dir_fd=self._fds[-1])
            self._made.discard(path)
        return path

    def _occupied(self, name: str) -> str:
        found = os.lstat(name, dir_fd=self._fds[-1]).st_mode
        what = "directory" if stat.S_ISDIR(found) else "symbolic link" if stat.S_ISLNK(found) else "file"
        return f"a {what} is there already"

    def _mode(self, entry: Entry, path: str) -> int:
        if self._rules.rootfs:
            keep = not self._rules.allow_setuid.isdisjoint((path, "/".join(entry.parts)))
            return entry.mode & (0o7777 if keep else 0o7777 & ~_SETID)
        if entry.mode & _SETID:
            raise Refusal("it is setuid or setgid")
        return 0o755 if entry.mode & 0o111 else 0o644

    def _open(self, parts: tuple[str, ...], *, create: bool = True) -> int:
        """The directory `parts`, made if missing; it stays open as the last of `_fds`, with `_names` its real path."""
        if parts == self._at:
            return self._fds[-1]
        self._climb(len(self._names))
        self._at = None
        todo, hops = list(reversed(parts)), 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                self._climb(min(1, len(self._names)))
                continue
            text = self._descend(part, create)
            if text is not None:
                hops += 1
                if hops > MAX_HOPS:
                    raise Refusal("the links on its way lead in a circle")
                if text.startswith("/"):
                    self._climb(len(self._names))
                todo += reversed(text.split("/"))
        self._at = parts
        return self._fds[-1]

    def _climb(self, levels: int) -> None:
        for _ in range(levels):
            os.utime(self._fds[-1], ns=_TIMES)
            os.close(self._fds.pop())
            self._names.pop()

    def _descend(self, part: str, create: bool) -> str | None:
        """Open one component of a path; return the link's text instead if it is a link that may be resolved."""
        top = self._fds[-1]
        try:
            try:
                fd = os.open(part, _DIRECTORY, dir_fd=top)
            except FileNotFoundError:
                if not create:
                    raise Refusal("it is a hard link into a directory that is not there") from None
                fd = self._make_directory(part)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            path, text = "/".join([*self._names, part]), _link_text(part, top)
            if text is None:
                raise Refusal(f"{path!r} on its way is not a directory") from None
            if not self._rules.rootfs:
                raise Refusal(f"{path!r} on its way is a symbolic link") from None
            return text
        self._fds.append(fd)
        self._names.append(part)
        return None

    def _make_directory(self, part: str) -> int:
        top = self._fds[-1]
        with _MODES:
            with suppress(FileExistsError):  # another thread was quicker
                os.mkdir(part, 0o755, dir_fd=top)
                os.chmod(part, 0o755, dir_fd=top)  # whatever the umask; nobody else writes here
            return os.open(part, _DIRECTORY, dir_fd=top)


def _link_text(name: str, parent: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
