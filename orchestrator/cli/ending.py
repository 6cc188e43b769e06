"""How a run ends, in words: what was done in one line; what failed, each with its first error, and how to go on."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.complaint import error_document, harmless, render
from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.errors import OrchError

if TYPE_CHECKING:
    import argparse

    from orchestrator.cli.recorded import Run
    from orchestrator.store import BuildRecord

_SHORT_TAIL = 12  # lines of each log where several steps failed
_WORDS = {
    ("build", "built"): "built {}",
    ("build", "same"): "cut off {}",
    ("substitute", "copied"): "copied {}",
    ("check", "checked"): "checked {}",
    ("rebuild", "identical"): "{} the same again",
    ("rebuild", "differs"): "{} different",
    ("unpack", "built"): "unpacked {}",
    ("layer", "packed"): "packed {} layers",
    ("run", "checked"): "ran it",
}
_FORECAST_FROM = 5.0  # seconds; a shorter forecast is not worth a word
_FOUND = "made by another process"


def counts(record: BuildRecord) -> dict[str, int]:
    """How many steps ended how: `built {}` and such, in the order in which people read them."""
    found: Counter[str] = Counter()
    for step in record.steps:
        kind = step.step.partition(" ")[0]
        if step.outcome in ("failed", "interrupted"):
            found[f"{step.outcome} {{}}"] += 1
        elif step.detail == _FOUND:
            found["found {} made by another process"] += 1
        elif (kind, step.outcome) in _WORDS:
            found[_WORDS[kind, step.outcome]] += 1
    order = [*_WORDS.values(), "found {} made by another process", "failed {}", "interrupted {}"]
    return {words: found[words] for words in order if found[words]}


def counts_text(record: BuildRecord) -> str:
    """`built 3, cut off 2, checked 2, fetched 41 MB`."""
    parts = [words.format(count) for words, count in counts(record).items()]
    parts = [part[: -len("s")] if part == "packed 1 layers" else part for part in parts]
    if record.fetched:
        parts.append(f"fetched {bytes_text(record.fetched)}")
    return ", ".join(parts)


def forecast_text(record: BuildRecord) -> str:
    """`3 min 50 s`, `at least 3 min 50 s` if for some step nothing was known; empty if there was no forecast."""
    if record.expected is None or record.expected < _FORECAST_FROM:
        return ""
    unknown = any(step.step.startswith("build ") and step.expected is None and step.outcome == "built"
                  for step in record.steps)  # fmt: skip
    return f"{'at least ' if unknown else ''}{seconds_text(record.expected)}"


def ending_text(record: BuildRecord, unreached: int = 0) -> str:
    """`built 3, cut off 2, checked 2, fetched 41 MB, in 4 min 02 s; the forecast was 3 min 50 s`."""
    parts = [part for part in (counts_text(record), f"{unreached} not reached" if unreached else "") if part]
    text = f"{', '.join(parts)}, in {seconds_text(record.seconds)}"
    forecast = forecast_text(record)
    return f"{text}; the forecast was {forecast}" if forecast and record.ending == "done" else text


def say_ending(run: Run, arguments: argparse.Namespace) -> None:
    """Print what a run did, if it did anything."""
    if run.record is None:
        return
    if arguments.log_format == "json":
        from orchestrator.cli.view.json_lines import print_line

        record = run.record
        content = {
            "id": record.id,
            "ending": record.ending,
            "seconds": record.seconds,
            "expected": record.expected,
            "fetched": record.fetched,
            "outcomes": dict(Counter(step.outcome for step in record.steps)),
            "unreached": list(run.unreached),
        }
        print_line("run-ended", content)
        return
    print(ending_text(run.record, len(run.unreached)), file=sys.stderr)


def tell_failures(run: Run, arguments: argparse.Namespace, *, verb: str) -> int:
    """Print what failed, what was done nevertheless, and how to go on; return the exit status."""
    assert run.report is not None
    failures = run.report.failures
    if arguments.log_format == "json":
        from orchestrator.cli.view.json_lines import print_line

        for step, error in failures:
            print_line("failure", {"step": step, **error_document(error)})
        say_ending(run, arguments)
    elif not arguments.json:
        _tell(failures)
        say_ending(run, arguments)
        words = shlex.join(["orch", *arguments.words])
        print(f"what was finished is kept; to go on: {words}", file=sys.stderr)
    if arguments.json:
        from orchestrator.cli.document import print_document

        documents = [{"step": step, **error_document(error)} for step, error in failures]
        print_document(verb, {"error": documents[0], "failures": documents})
    return max((error for _, error in failures), key=_gravity).exit_status


def _tell(failures: Sequence[tuple[str, OrchError]]) -> None:
    """Each failure in full; where there are several, all of them once more below in a line each."""
    several = len(failures) > 1
    for _, error in failures:
        print(render(error, tail=_SHORT_TAIL if several else None), file=sys.stderr)
    if not several:
        return
    print(f"{len(failures)} failed:", file=sys.stderr)
    for _, error in failures:
        first = getattr(error, "first_error", "")
        said = f": {first}" if first else f": {error.why}" if error.why and "\n" not in error.why else ""
        command = getattr(error, "command", "")
        print(harmless(f"  {error.what}{said}{f'  ({command})' if command else ''}"), file=sys.stderr)


def _gravity(error: OrchError) -> int:
    return {1: 1, 3: 2, 4: 3}.get(error.exit_status, 0)
