"""What is shown on stderr while something runs: a live view on a terminal, lines anywhere else, JSON lines if asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from orchestrator.build.estimate import Estimate
    from orchestrator.build.plan import Plan
    from orchestrator.cli.fetches import Fetches
    from orchestrator.cli.view.foreseen import Foreseen
    from orchestrator.events import Monitor
    from orchestrator.graph.derivation import Graph

LogFormat = Literal["auto", "live", "plain", "json"]


def add_log_format_argument(parser: argparse.ArgumentParser) -> None:
    """`--log-format`."""
    parser.add_argument(
        "--log-format",
        choices=("live", "plain", "json"),
        default="auto",
        help="how progress looks on stderr (default: live on a terminal, else plain; json: one object a line)",
    )


def _is_live(log_format: LogFormat) -> bool:
    """Whether to draw. What cannot move its cursor gets lines, even if asked."""
    term = os.environ.get("TERM", "").lower()
    if log_format == "live":
        return term not in ("dumb", "unknown")
    return log_format == "auto" and sys.stderr.isatty() and term not in ("", "dumb", "unknown")


@contextmanager
def view(
    headline: str, fetches: Fetches, expected: Foreseen | None = None, log_format: LogFormat = "auto"
) -> Iterator[Monitor]:
    """The Monitor that suits stderr, shown while the block runs."""
    from orchestrator.cli.complaint import harmless
    from orchestrator.cli.view.foreseen import Foreseen
    from orchestrator.cli.view.plain import PlainView

    expected = expected or Foreseen()
    if log_format == "json":
        from orchestrator.cli.view.json_lines import JsonView

        with _lines() as say:
            yield JsonView(headline, expected, say)
        return
    if not headline:  # there is nothing to look at
        yield PlainView(fetches)
        return
    if not _is_live(log_format):
        print(harmless(headline), file=sys.stderr, flush=True)
        with _lines() as say:
            yield PlainView(fetches, say)
        return
    from orchestrator.cli.view.live import LiveView
    from orchestrator.cli.view.screen import Screen
    from orchestrator.cli.view.state import State

    screen = Screen(sys.stderr)
    screen.draw([(harmless(headline), "bold")], [])
    shown = LiveView(screen, State(expected, fetches))
    shown.start()
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def _lines() -> Iterator[Callable[[str], None]]:
    """What says a line; all of them are said when the block ends."""
    from orchestrator.cli.view.lines import Lines

    lines = Lines()
    try:
        yield lines.add
    finally:
        lines.close()


@contextmanager
def progress(
    plan: Plan, graph: Graph, estimate: Estimate, *, image: str = "", log_format: LogFormat = "auto"
) -> Iterator[Monitor]:
    """The view of a plan that is carried out, for an image if one is named."""
    from orchestrator.cli.fetches import Fetches
    from orchestrator.cli.plan import headline
    from orchestrator.cli.view.foreseen import foreseen

    missing = {source.name for source in plan.fetch}
    builds = [step.node for step in plan.steps if step.action == "build" and not step.maybe]
    wanted = [(node.name, source) for node in builds for source in node.sources if source.name in missing]
    expected = foreseen(plan, graph, estimate, image=image)
    with view(headline(plan, estimate.text()), Fetches(wanted), expected, log_format) as monitor:
        yield monitor
