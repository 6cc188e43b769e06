"""What the engine tells while it works: frozen values and the Monitor that receives them. It prints nothing itself.

Times are seconds, sizes bytes. A Monitor is called from several threads, one call at a time is not promised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from orchestrator.frozen import frozen


@frozen
class StepStarted:
    """A step (`build libfabric`, `check nixl`, `fetch ...`) began; `reason` says why it is needed."""

    step: str
    reason: str = ""
    log: Path | None = None


@frozen
class StepPhase:
    """A step entered a phase of its script."""

    step: str
    phase: str


@frozen
class StepOutput:
    """One line that a step printed, without its newline."""

    step: str
    line: str


@frozen
class StepWaiting:
    """A step waits for another process that is making the same thing."""

    step: str


@frozen
class StepFinished:
    """A step ended. `outcome`: built, same (nothing had to be made), copied, missed (could not
    be copied), checked, failed, identical, differs."""

    step: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""


@frozen
class StepsAdded:
    """Steps that will run, known only now; `wanted_by` is the node that waits for them, if not the steps' own."""

    steps: tuple[str, ...]
    wanted_by: str = ""


@frozen
class FetchProgress:
    """Bytes of a source so far; `total` is None when nobody knows."""

    source: str
    done: int
    total: int | None


@frozen
class Fetched:
    """A source is in the store, and is what its recipe says."""

    source: str


@frozen
class Notice:
    """Something a person should know that is no failure, such as a corrupt object put aside."""

    text: str


Event = (
    StepStarted | StepPhase | StepOutput | StepWaiting | StepFinished | StepsAdded | FetchProgress | Fetched | Notice
)


class Monitor(Protocol):
    """Receives events, from any thread."""

    def __call__(self, event: Event) -> None: ...


def silent(event: Event) -> None:
    """The Monitor that shows nothing."""
