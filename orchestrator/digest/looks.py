"""What was made of files once, beside how they looked: while they look the same, it need not be made again.

`Looks` is one file of such facts. A look is device, inode, mode, size, mtime and ctime of a file or directory; nobody
can put all of it back after a change: the kernel sets the last of the times. A change always gives a file a newer time,
but two in the same tick of a file system's clock give it the same. So nothing is remembered of what changed after this
process began, or shortly before. Nor is anything of a symbolic link: where it leads is not in its look.
The file itself: kept.py.
"""

# A thousand questions are asked in the time that pathlib needs for thirty
# ruff: noqa: PTH116
from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from operator import attrgetter

from orchestrator.digest.kept import Moment, read_kept, write_kept

YOUNG = 2_000_000_000  # nanoseconds: as coarse as times on any file system are
_SPARE = 5_000  # facts that are kept though this process had no use for them
_FEW = 64  # facts that are sooner found again than written

_look = attrgetter("st_dev", "st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")
_Fact = tuple[tuple[tuple[str, tuple[int, ...]], ...], bytes]  # paths and their looks; what was made of them


class Looks:
    """Facts by name about what lies below the directory `top`, kept in `file`. They hold for one `context`: all that
    decides what is made of a file, besides the file and the code."""

    def __init__(self, file: str, top: str, moment: Moment, context: str = "", *, whole: bool = False) -> None:
        """`whole`: what lies there is never edited, only replaced by another file, so that no change is missed because
        two came in one tick."""
        self._file = file
        self._top = f"{top}/"
        self._young = moment.began - YOUNG if not whole else None
        self._moment = moment
        self._context = repr((top, context))
        self._place = self._where()
        self._facts: dict[str, _Fact] = read_kept(file, moment, self._context) or {}
        self._asked: set[str] = set()
        self._fresh = 0

    def get(self, name: str) -> bytes | None:
        """What was made, if all that it was made of looks as it did."""
        return None if self.unlike((name,), (b"",)) else self._facts[name][1]

    def unlike(self, names: Sequence[str], begins: Sequence[bytes | None]) -> list[int]:
        """The places in `names` of all but those of which something is known that begins as `begins` says there, and
        whose files look as they did: thousands of `get`, in one go."""
        facts, found, stat_at = self._facts, [], os.stat
        try:
            top = os.open(self._top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # the way there is long
        except (OSError, ValueError):
            return list(range(len(names)))
        try:
            for place, (name, begin) in enumerate(zip(names, begins, strict=True)):
                fact = facts.get(name)
                if fact is not None and begin is not None and fact[1].startswith(begin):
                    try:
                        for path, seen in fact[0]:
                            if _look(stat_at(path, dir_fd=top, follow_symlinks=False)) != seen:
                                break
                        else:
                            continue
                    except (OSError, ValueError):
                        pass
                found.append(place)
        finally:
            os.close(top)
        self._asked.update(set(names) - {names[place] for place in found})
        return found

    def paths(self, name: str) -> tuple[str, ...] | None:
        """What lies below the top that the fact of this name was made of, if there is one; it may have changed."""
        fact = self._facts.get(name)
        return None if fact is None else tuple(path for path, _ in fact[0])

    def add(self, name: str, paths: Iterable[str], made: bytes) -> None:
        """Remember what this process made of what it read at `paths`, which lie below the top.

        A path that is not there is passed over: should something come, the look of its directory changes, which is to
        be one of the paths.
        """
        self._facts.pop(name, None)
        try:
            looks = tuple(self._looked(dict.fromkeys(paths)))
        except (OSError, ValueError):
            return
        self._facts[name] = looks, made
        self._asked.add(name)
        self._fresh += 1

    def _looked(self, paths: Iterable[str]) -> Iterable[tuple[str, tuple[int, ...]]]:
        for path in paths:
            try:
                now = os.lstat(self._top + path)
            except FileNotFoundError:
                continue
            if not (stat.S_ISREG(now.st_mode) or stat.S_ISDIR(now.st_mode)):
                raise ValueError(path)
            if self._young is not None and max(now.st_mtime_ns, now.st_ctime_ns) >= self._young:
                raise ValueError(path)
            yield path, _look(now)

    def save(self) -> None:
        """Put what was added into the file, where that is possible; a few facts among many are left out."""
        if self._fresh <= min(_FEW, len(self._facts) // 16) or self._place is None or self._where() != self._place:
            return
        self._fresh = 0
        spare = [name for name in self._facts if name not in self._asked]
        for name in spare[: max(0, len(spare) - _SPARE)]:  # the oldest
            del self._facts[name]
        write_kept(self._file, self._moment, self._context, self._facts)

    def _where(self) -> tuple[int, int] | None:
        """Which directory the top is: if another was put into its place meanwhile, nothing is saved."""
        try:
            found = os.stat(self._top)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino
