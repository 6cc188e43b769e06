"""List past runs, newest first: what they did and how good their forecast was; or show one of them step by step."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from orchestrator.cli.ending import counts_text, forecast_text
from orchestrator.cli.numbers import seconds_text
from orchestrator.cli.opening import add_place_arguments, open_project, positive
from orchestrator.errors import UsageError
from orchestrator.frozen import names

if TYPE_CHECKING:
    from orchestrator.cli.opening import Opened
    from orchestrator.store import BuildRecord, Layout, StepRecord

_SHOWN = 20
_GOALS = 3  # goals of a run that its line names
_SHORT = 6  # characters of an id that the list shows
_ID = re.compile(r"(?:[0-9]{8}T[0-9]{6}Z-)?[0-9a-f]{6}")

EPILOG = """\
Every `orch build` and `orch image` that had something to do leaves a record, however it ended.

examples:
  orch history                 the last 20 runs
  orch history nixl -n 5       the last 5 that were asked for nixl
  orch history 1f3c9a          one run: its steps with times, forecasts and logs
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("what", nargs="?", metavar="GOAL|RUN", help="a recipe or image: its runs; a run's id: that run")
    parser.add_argument(
        "-n", type=positive, default=_SHOWN, metavar="N", dest="count", help=f"how many runs (default {_SHOWN})"
    )
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print past runs, or one."""
    from orchestrator.store import recent_builds

    opened = open_project(arguments)
    layout = opened.store(create=False)
    if arguments.what is not None and arguments.what not in opened.recipes and _ID.fullmatch(arguments.what):
        return _show_one(layout, arguments)
    builds = list(islice(recent_builds(layout, arguments.what), arguments.count))
    if not builds and arguments.what is not None:
        _refuse_unknown(opened, arguments.what)
    from orchestrator.build.accuracy import accuracy

    judged = accuracy(recent_builds(layout))
    if arguments.json:
        from orchestrator.cli.document import print_document

        ratios = {"runs": judged.runs, "median": judged.median_ratio, "worst": judged.worst_ratio} if judged else None
        print_document("history", {"runs": [_document(build, steps=False) for build in builds], "accuracy": ratios})
        return 0
    if not builds:
        print(f"no run of {arguments.what} is recorded" if arguments.what else "no run is recorded")
    else:
        _print_table([("run", "when", "what", "ended", "took (forecast)", "did"), *map(_cells, builds)])
    if judged is not None:
        print(judged.text)
    return 0


def _refuse_unknown(opened: Opened, name: str) -> None:
    """Raise UsageError unless there is a recipe or an image of this name."""
    opened.refuse_unknown(name, or_image=True)


def _cells(build: BuildRecord) -> tuple[str, ...]:
    forecast = forecast_text(build)
    took = seconds_text(build.seconds) + (f" ({forecast})" if forecast else "")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(build.began))
    return build.id[-_SHORT:], when, _asked(build, _GOALS), build.ending, took, counts_text(build)


def _asked(build: BuildRecord, most: int | None = None) -> str:
    """What was asked for, with at most so many goals."""
    goals = build.goals[:most]
    more = len(build.goals) - len(goals)
    told = [*goals, f"and {more} more"] if more else goals
    return " ".join([build.verb, *told, *(f"{name}={value}" for name, value in build.options)])


def _print_table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        print(f"{indent}{cells}".rstrip())


def _show_one(layout: Layout, arguments: argparse.Namespace) -> int:
    build = _find(layout, arguments.what)
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("history", {"run": _document(build, steps=True)})
        return 0
    forecast = forecast_text(build)
    print(f"{_asked(build)}: {build.ending} in {seconds_text(build.seconds)}"
          f"{f'; the forecast was {forecast}' if forecast else ''}")  # fmt: skip
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(build.began))
    cores = f"{build.jobs} at once, {build.cores} core{'' if build.cores == 1 else 's'}"
    print(f"  run      {build.id}, {when}, {cores}")
    print(f"  command  {_command(build.words)}")
    print(f"  did      {counts_text(build)}")
    print(f"  logs     below {layout.root}")
    steps = sorted(build.steps, key=lambda step: step.began)
    _print_table([("began", "took", "forecast", "ended", "step", "log"), *map(_step_cells, steps)], "  ")
    for step in steps:
        if step.outcome == "failed" and step.detail:
            print(f"  {step.step}: {step.detail}")
    return 0


def _command(words: Iterable[str]) -> str:
    import shlex

    return shlex.join(["orch", *words])


def _step_cells(step: StepRecord) -> tuple[str, ...]:
    took = seconds_text(step.seconds) if step.seconds else ""
    forecast = seconds_text(step.expected) if step.expected is not None else ""
    name = f"{step.step} {step.version}".rstrip()
    return seconds_text(step.began), took, forecast, step.outcome, name, step.log


def _find(layout: Layout, text: str) -> BuildRecord:
    """The run of an id, or of the end of one; raise UsageError if there is none, or several."""
    from orchestrator.store import build_ids, read_build

    found = [build_id for build_id in build_ids(layout) if build_id.endswith(text)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs end in {text}", hint=f"give one in full: {', '.join(found)}")
    build = read_build(layout, found[0]) if found else None
    if build is None:
        raise UsageError(f"no run {text} is recorded", where=str(layout.builds), hint="orch history lists them")
    return build


def _document(build: BuildRecord, *, steps: bool) -> dict[str, Any]:
    """A run as `--json` tells it; seconds and bytes are numbers."""
    content: dict[str, Any] = {
        "id": build.id,
        "verb": build.verb,
        "goals": list(build.goals),
        "options": dict(build.options),
        "words": list(build.words),
        "began": build.began,
        "seconds": build.seconds,
        "ending": build.ending,
        "expected": build.expected,
        "jobs": build.jobs,
        "cores": build.cores,
        "fetched_bytes": build.fetched,
        "outcomes": _outcomes(build),
        "outputs": dict(build.outputs),
    }
    if steps:
        content["steps"] = [{name: getattr(step, name) for name in names(step)} for step in build.steps]
    return content


def _outcomes(build: BuildRecord) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(step.outcome for step in build.steps))
