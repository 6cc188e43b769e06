"""The form that every lock file has: `# NAME VALUE` lines, then one item a line, sorted by name. Knows no kind of lock.

A lock is written by orch and read by it, so nothing is let pass: one text for one lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.errors import RecipeError
from orchestrator.frozen import frozen

SCHEMA = "1"
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
ANY = re.compile(r".*\S.*")
SHA256 = re.compile(r"[0-9a-f]{64}")
SIZE = re.compile(r"[1-9][0-9]{0,15}")
DATE = "date"  # the one kind of value that is more than its form
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
DATE_FORM = (DATE, _DAY)

Rows = list[tuple[int, list[str]]]


def is_date(text: str) -> bool:
    """Whether `text` is a day of the calendar, spelt YYYY-MM-DD."""
    from datetime import date

    try:
        return _DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


@frozen
class Form:
    """One kind of lock. `header` maps each name after the title to what its value is and looks like, `row` each field
    of a line to its form; `item` is what a line stands for, `again` the command that makes such a lock."""

    title: str
    header: Mapping[str, tuple[str, re.Pattern[str]]]
    row: Mapping[str, re.Pattern[str]]
    item: str
    again: str

    def wrong(self, where: str, line: int, what: str, *, why: str = "") -> RecipeError:
        """The error for line `line` of the lock that messages call `where`."""
        return RecipeError(what, where=f"{where}:{line}", why=why, hint=f"make it again: {self.again}")

    def _header(self, lines: Sequence[str], where: str) -> dict[str, str]:
        values: dict[str, str] = {}
        for number, name in enumerate((self.title, *self.header), start=1):
            line = lines[number - 1] if number <= len(lines) else ""
            start = f"# {name} "
            if not line.startswith(start) or not line[len(start) :].strip():
                raise self.wrong(where, number, f"a lock has {start.strip()!r} and a value here, not {line!r}")
            value = values[name] = line[len(start) :]
            if name == self.title:
                if value != SCHEMA:
                    what = f"lock schema {value} is not known; this orch reads {SCHEMA}"
                    raise self.wrong(where, number, what)
                continue
            kind, form = self.header[name]
            if form.fullmatch(value) is None or (kind == DATE and not is_date(value)):
                raise self.wrong(where, number, f"not a {kind}: {value!r}")
        return values

    def _words(self, line: str, number: int, where: str) -> list[str]:
        words = line.split(" ")
        if len(words) != len(self.row):
            what = f"a line has {len(self.row)} fields ({', '.join(self.row)}), this one {len(words)}"
            raise self.wrong(where, number, what)
        for (field, form), word in zip(self.row.items(), words, strict=True):
            if form.fullmatch(word) is None:
                raise self.wrong(where, number, f"not a {field}: {word!r}")
        return words

    def parse(self, text: str, where: str) -> tuple[dict[str, str], Rows]:
        """The header's values by name and the words of each line with its number; RecipeError with the line if
        `text` is not such a lock."""
        if not text.endswith("\n"):
            raise self.wrong(where, text.count("\n") + 1, "the last line has no end: the file was cut off")
        if "\r" in text:
            what = "the line ends as on another system: with a carriage return"
            raise self.wrong(where, text[: text.index("\r")].count("\n") + 1, what)
        lines = text[:-1].split("\n")
        header = self._header(lines, where)
        rows: Rows = []
        for number, line in enumerate(lines[len(header) :], start=len(header) + 1):
            words = self._words(line, number, where)
            if rows and words[0] <= (last := rows[-1][1][0]):
                fault = "is listed twice" if words[0] == last else f"stands after {last}"
                raise self.wrong(where, number, f"{words[0]} {fault}: one {self.item} a line, sorted by name")
            rows.append((number, words))
        if not rows:
            raise self.wrong(where, len(lines), f"lists no {self.item}")
        return header, rows

    def text(self, values: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """The text of a lock with these header values, in the header's order, and these lines in any order."""
        named = zip((self.title, *self.header), (SCHEMA, *values), strict=True)
        lines = [f"# {name} {value}" for name, value in named]
        lines += [" ".join(words) for words in sorted(rows, key=lambda words: words[0])]
        return "\n".join(lines) + "\n"


def lock_text(path: Path, where: str) -> str:
    """The text of a lock file; `where` is how messages name it."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise RecipeError("the lock cannot be read", where=where, why=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise RecipeError("the lock is not UTF-8 text", where=where, why=str(error)) from error
