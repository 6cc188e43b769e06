"""How an error looks: for people on stderr, for scripts as one JSON document on stdout."""

from __future__ import annotations

import re
import sys
from typing import Any

from orchestrator.errors import OrchError

_SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)"
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


class Interrupted(OrchError):
    """Ctrl-C, or a signal like it: no fault, but scripts get a document of it too."""

    code = "interrupted"
    exit_status = 130


def complain(error: OrchError, *, as_json: bool, verb: str, lines: bool = False) -> None:
    """Print one error; with `lines` as an object among those of --log-format json."""
    if lines:
        from orchestrator.cli.view.json_lines import print_line

        print_line("error", error_document(error))
    if as_json:
        from orchestrator.cli.document import print_document

        print_document(verb, {"error": error_document(error)})
    if not (as_json or lines):
        print(render(error), file=sys.stderr)


def error_document(error: OrchError) -> dict[str, Any]:
    """code, what, where, why, hint; and for a failed step its first error line and its last lines."""
    document: dict[str, Any] = dict(error.document())
    for name in ("first_error", "tail"):
        if hasattr(error, name):
            value = getattr(error, name)
            document[name] = list(value) if isinstance(value, tuple) else value
    return document


def harmless(text: str) -> str:
    """`text` without what would move a terminal's cursor or change its colours."""
    return text if text.isprintable() else re.sub(_SEQUENCE, "", text).translate(_CONTROLS)


def render(error: OrchError, *, tail: int | None = None) -> str:
    """The error as lines of text: the fact, then where, why and the next thing to do. `tail` is how many lines of a log
    are shown at most."""
    if isinstance(error, Interrupted):  # its hint is the command that was given
        return harmless(f"{error.what}; to go on: {error.hint}" if error.hint else error.what)
    lines = [f"error: {error.what}"]
    last: tuple[str, ...] = getattr(error, "tail", ())
    last = last[-tail:] if tail is not None else last
    first: str = getattr(error, "first_error", "")
    if last:
        lines.append(f"  last {len(last)} line{'s' if len(last) > 1 else ''}:")
        lines += [f"  | {line}" for line in last]
    if first:
        lines.append(f"  first error: {first}")
        lines += [f"  | {line}" for line in getattr(error, "below_first", ())]
    for label, text in (("where", error.where), ("why", error.why), ("hint", error.hint)):
        if text:
            indented = text.replace("\n", "\n" + " " * 9)
            lines.append(f"  {label + ':':<6} {indented}")
    return harmless("\n".join(lines))
