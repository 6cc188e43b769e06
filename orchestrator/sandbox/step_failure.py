"""What a failed step's log says: the first error line, the last lines, and whether the machine was at fault."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice, takewhile
from pathlib import Path

from orchestrator.errors import BuildFailed, MachineError, OrchError
from orchestrator.sandbox.spec import Outcome
from orchestrator.sandbox.step import FAILED_MARK, PHASE_MARK

TAIL_LINES = 40
_LOW_SPACE = 32 << 20  # bytes; a disk this full makes any write fail soon

_ERROR = (  # compiled when something has failed
    r"(\berror\b[: ]|\bfatal\b|^E: |undefined reference|cannot find -l|No such file or directory|not found$"
    r"|\*\*\* .*(Error|Stop)|Assertion|Segmentation fault|Permission denied"
    r"|Read-only file system)"
)
_NOT_ERROR = r"(checking (for|whether|if)|-Werror|no error|0 errors|error\.(c|h|o|lo)\b|strerror|perror)"
_TRACEBACK = "Traceback (most recent call last):"
_BELOW = 3  # lines below an error line that belong to it, such as a compiler's picture of the place
_NO_SPACE = "No space left on device"


class StepFailed(BuildFailed):
    """A build or check that failed, with what its log says."""

    def __init__(
        self,
        what: str,
        *,
        log: Path,
        why: str,
        hint: str,
        first_error: str,
        tail: tuple[str, ...],
        below_first: tuple[str, ...] = (),
        command: str = "",
    ) -> None:
        super().__init__(what, where=str(log), why=why, hint=hint)
        self.log = log
        self.first_error = first_error
        self.below_first = below_first  # the lines of the log that explain the first error
        self.tail = tail
        self.command = command  # what shows the whole log


def _matches(pattern: str, line: str) -> bool:
    return re.search(pattern, line, re.IGNORECASE) is not None


def first_error(lines: Iterable[str]) -> str:
    """The first line that looks like an error, or an empty string."""
    return first_error_lines(lines)[0]


def first_error_lines(lines: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The first line that is an error, and lines below it that belong to it. Of a Python traceback the error is its
    last line."""
    rest = iter(lines)
    for line in rest:
        if _TRACEBACK in line:
            return _raised(rest, line.index(_TRACEBACK)) or line.strip(), ()
        if _matches(_ERROR, line) and not _matches(_NOT_ERROR, line) and not line.startswith(FAILED_MARK):
            below = list(islice(rest, _BELOW))
            indented = takewhile(lambda text: text[:1].isspace() and text.strip(), below)
            return line.strip(), tuple(text.rstrip() for text in indented)
    return "", ()


def _raised(rest: Iterable[str], column: int) -> str:
    """What ends a traceback whose first line begins at `column`: the next line that is not indented more."""
    for line in rest:
        text = line[column:]
        if text.strip() and not text[:1].isspace():
            return text.strip()
    return ""


def read_lines(log: Path) -> list[str]:
    """The log's lines without phase marks; bytes that are no UTF-8 are replaced."""
    text = log.read_bytes().decode("utf-8", "replace")
    return [line for line in text.splitlines() if not line.startswith(PHASE_MARK)]


def _free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def failure(
    step: str, outcome: Outcome, log: Path, *, show: str, work: Path, kept: Path | None = None, may_keep: bool = False
) -> OrchError:
    """The error for a step that ended with `outcome`: StepFailed, or MachineError when the machine was at fault.

    `step` is such as `building ucx 1.13.1`; `show` is what `orch log` is given to show it; `work` lies on the disk that
    was written to; `kept` is the failed build's directory if it was kept, `may_keep` says if it could have been.
    """
    lines = read_lines(log)
    tail = tuple(lines[-TAIL_LINES:])
    if outcome.out_of_memory:
        return MachineError(
            f"{step} ran out of memory",
            where=str(log),
            why="the kernel ended it at the sandbox's memory limit; nothing was remembered",
            hint="use fewer cores at once: --cores 1",
        )
    if any(_NO_SPACE in line for line in tail) or _free_bytes(work) < _LOW_SPACE:
        return MachineError(
            f"{step} ran out of disk space",
            where=str(work),
            why=f"{_free_bytes(work) >> 20} MiB are free; nothing was remembered",
            hint="free some space and run the same command again: what was finished is kept",
        )
    status = f"exit status {outcome.status}"
    if outcome.timed_out:
        status = f"stopped after {outcome.seconds:.0f} s, its time limit"
    elif outcome.status > 128:
        status = f"ended by signal {outcome.status - 128}"
    ended = next((line.removeprefix(FAILED_MARK) for line in reversed(tail) if line.startswith(FAILED_MARK)), "")
    why = f"{status}; {ended}" if ended else status
    hint = f"the whole log: orch log {show}"
    if kept is not None:
        hint += f"; its directory was kept: {kept}"
    elif may_keep:
        hint += "; to look inside, run again with --keep-failed"
    first, below = first_error_lines(lines)
    return StepFailed(
        f"{step} failed",
        log=log,
        why=why,
        hint=hint,
        first_error=first,
        below_first=below,
        tail=tail,
        command=f"orch log {show}",
    )
