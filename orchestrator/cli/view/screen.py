"""A few lines at the bottom of a terminal that are drawn again and again; what is said scrolls up above them.

Knows terminals, not builds. Every draw is one write. rich knows how wide a text is, what a style looks like and what
the terminal, its encoding and NO_COLOR allow. Three things are not rich's:

- `rich.live` takes back as many rows as it wrote. A terminal made narrower has broken them into more, and some stay:
  so `_back` counts the rows that they take now, and no line is as wide as the terminal when it is written.
- `Console.size` is what COLUMNS says, if it is set, and does not follow the terminal.
- `Console` ends the program when nobody reads its stream any more: it draws in memory, and `_write` writes that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO, TextIOWrapper
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

Line = Sequence[tuple[str, str]]  # parts of a line: text and its style, as rich calls it

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # shown at once by terminals that know it, ignored by others; not in rich
_ASCII = str.maketrans("├└│─›…·", "|`|->~-")  # for terminals of another encoding


def cut(text: str, width: int) -> str:
    """`text`, with `…` for what does not fit into `width` columns."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""


def fit(line: Line, width: int) -> Text:
    """The line, with `…` for what does not fit into `width` columns."""
    text = Text.assemble(*line)
    text.truncate(max(width, 1), overflow="ellipsis")
    return text


class Screen:
    """The lines at the bottom of the terminal behind `stream`. Not for several threads at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        memory = TextIOWrapper(BytesIO(), encoding=stream.encoding or "utf-8")
        self._console = Console(file=memory, force_terminal=True, highlight=False)
        self._shown: list[Text] = []
        self._write(Control.show_cursor(False))

    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns = rows = 0
        usual = self._console.size
        return columns or usual.width, rows or usual.height

    def draw(self, said: Sequence[tuple[str, str]], frame: Sequence[Line]) -> None:
        """Let `said` scroll up and show `frame` below it."""
        columns, _ = self.size()
        lines = [fit(line, columns - 1) for line in frame]
        if said or lines != self._shown:
            scrolled = [Text.assemble(part) for part in said]
            self._write(self._back(columns), [*scrolled, *(lines or [Text()])])
            self._shown = lines

    def close(self, said: Sequence[tuple[str, str]]) -> None:
        """Take the lines away for good."""
        self.draw(said, [])
        self._write(Control.show_cursor(True))

    def _back(self, columns: int) -> Control:
        """To the beginning of the first row shown, all of them empty."""
        rows = sum(max(1, -(-line.cell_len // columns)) for line in self._shown)
        up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * (rows - 1)
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up)

    def _write(self, control: Control, lines: Sequence[Text] = ()) -> None:
        console = self._console
        with console.capture() as drawing:
            console.control(control)
            if lines:
                console.print(*lines, sep="\n", end="", soft_wrap=True)
        text = drawing.get()
        if console.options.ascii_only:
            text = text.translate(_ASCII)
        text = text.encode(console.encoding, "replace").decode(console.encoding)
        try:
            self._stream.write(f"{_BEGIN}{text}{_END}")
            self._stream.flush()
        except OSError:  # the terminal is gone; the work goes on
            return
