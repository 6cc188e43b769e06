"""The command line's grammar: argparse whose errors are ours."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from orchestrator.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageError, so that `--json` covers them too, and which takes no shortened options."""

    def __init__(self, **how: Any) -> None:
        how.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**how, allow_abbrev=False)

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
