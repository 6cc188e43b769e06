"""What is said of an event in a line of its own, in a log and above the live view alike."""

from __future__ import annotations

from orchestrator.cli.numbers import seconds_text
from orchestrator.events import Event, Notice, StepFinished, StepOutput, StepPhase, StepStarted, StepWaiting

BAD = ("failed", "differs")
_OUTCOMES = {
    "built": "built",
    "copied": "copied",
    "missed": "not copied",
    "packed": "packed",
    "same": "same bytes",
    "checked": "check passed",
    "identical": "identical again",
    "differs": "DIFFERS",
}
_OF_IMAGES = {("image", "built"): "image made", ("run", "checked"): "ran"}


def finished_text(event: StepFinished) -> str:
    """`built           libfabric  2 min 05 s  (why)`. Why something failed is told at the end, in full."""
    kind, _, name = event.step.partition(" ")
    outcome = _OF_IMAGES.get((kind, event.outcome)) or _OUTCOMES.get(event.outcome, f"{kind} FAILED")
    text = f"{outcome:<15} {name}"
    if event.seconds >= 0.05:
        text += f"  {seconds_text(event.seconds)}"
    return f"{text}  ({event.detail})" if event.detail and event.outcome != "failed" else text


def plain_line(event: Event) -> str:
    """The line of a log for an event that has one: what a step printed is marked with whose it is."""
    match event:
        case StepOutput():
            return f"{event.step.removeprefix('build ')}> {event.line}"
        case StepStarted():
            return f"{event.step} ..."
        case StepPhase():
            return f"{event.step}: {event.phase}"
        case StepWaiting():
            return f"{event.step}: waiting for another process that makes it"
        case StepFinished():
            return finished_text(event)
        case Notice():
            return f"note: {event.text}"
    return ""
