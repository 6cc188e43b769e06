"""What every step that runs in a sandbox shares: bounds, and lines of output that become events."""

from __future__ import annotations

import os

from orchestrator.events import Monitor, StepOutput, StepPhase
from orchestrator.sandbox.spec import Limits

PHASE_MARK = "==> phase: "
FAILED_MARK = "==> failed: "  # then `script line 7: false`

_SECONDS = 6 * 3600.0  # no step of this stack takes a tenth of it; a hung one must end
_PROCESSES = 8192
_MEMORY_SHARE = 0.9  # of the machine's memory: the step dies of its own appetite before the machine does


def limits() -> Limits:
    """The bounds of any one step on this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(memory_bytes=int(memory * _MEMORY_SHARE), processes=_PROCESSES, seconds=_SECONDS)


class LineListener:
    """Turns lines of output into events; a phase mark becomes StepPhase."""

    def __init__(self, step: str, monitor: Monitor) -> None:
        self._step = step
        self._monitor = monitor

    def __call__(self, line: str) -> None:
        if line.startswith(PHASE_MARK):
            self._monitor(StepPhase(step=self._step, phase=line.removeprefix(PHASE_MARK)))
        else:
            self._monitor(StepOutput(step=self._step, line=line))
