"""The command line's grammar: argparse whose errors are ours."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from orchestrator.errors import UsageError

_WIDEST = 100  # columns: longer lines are hard to read
_COLUMN = 26  # at which what is said of an argument begins, where there is room


class _Help(argparse.HelpFormatter):
    """Help as wide as the terminal: prose is filled, lines that begin with spaces, such as examples, stay lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_COLUMN, width=_WIDEST)  # one is made for each argument: no look yet

    def format_help(self) -> str:
        import shutil

        self._width = min(shutil.get_terminal_size().columns - 2, _WIDEST)
        self._max_help_position = min(_COLUMN, max(self._width - 20, 4))
        return super().format_help()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return fill(text, width)


def fill(text: str, width: int) -> str:
    """`text` with no line longer than `width` columns, where its words allow that."""
    import textwrap

    filled: list[str] = []
    for literal, lines in _blocks(text.strip("\n")):
        filled += _examples(lines, width) if literal else [textwrap.fill(" ".join(lines), width)]
    return "\n".join(filled)


def _blocks(text: str) -> list[tuple[bool, list[str]]]:
    """Paragraphs of prose, and runs of lines that are left as they are."""
    found: list[tuple[bool, list[str]]] = []
    for line in text.split("\n"):
        literal = not line.strip() or line.startswith(" ") or line.endswith(":")
        if found and found[-1][0] == literal:
            found[-1][1].append(line)
        else:
            found.append((literal, [line]))
    return found


def _examples(lines: list[str], width: int) -> list[str]:
    """Commands and what is said of them: moved to the left, and broken, if a line is too long."""
    if max(map(len, lines)) <= width:
        return lines
    import textwrap

    parted = [re.match(r"( +\S.*?)(?:  +(\S.*))?$", line) for line in lines]
    commands = [len(found[1]) for found in parted if found and found[2]]
    column = min(max(commands, default=0) + 2, width * 3 // 5)
    filled = []
    for line, found in zip(lines, parted, strict=True):
        if found is None or not found[2]:
            filled.append(line)
            continue
        said = textwrap.wrap(found[2], width - column)
        if len(found[1]) + 2 <= column:
            filled.append(f"{found[1]:<{column}}{said.pop(0)}")
        else:
            filled.append(found[1])
        filled += [" " * column + more for more in said]
    return filled


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageError, so that `--json` covers them too, and which takes no shortened options."""

    def __init__(self, **how: Any) -> None:
        how.setdefault("formatter_class", _Help)
        super().__init__(**how, allow_abbrev=False)
        self._positionals.title = "arguments"

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help"
        if unknown := re.match(r"unrecognized arguments: (-[^\s=]+)", message):
            options = [name for name in self._option_string_actions if name.startswith("--")]
            hint = close(unknown[1], options) or hint
        elif "GOAL" in message:
            hint = f"orch list names the recipes; {hint}"
        elif choice := re.match(r"argument [^-]*: invalid choice: ('.*') \(choose from (.*)\)", message, re.DOTALL):
            words = choice[2].replace("'", "").split(", ")
            message = f"no verb called {f'{self.prog} {choice[1][1:-1]}'!r}"
            hint = close(choice[1][1:-1], words, f"{self.prog} ") or f"{self.prog} {'|'.join(words)}"
        raise UsageError(message, hint=hint)


def close(word: str, words: list[str], prefix: str = "") -> str:
    import difflib

    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {prefix + close[0]!r}?" if close else ""
