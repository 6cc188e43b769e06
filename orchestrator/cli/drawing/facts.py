"""What a report's page tells of a run and of an image, as values. Pure; times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.cli.drawing.picture import Picture
from orchestrator.cli.drawing.timeline import Bar, critical_path
from orchestrator.frozen import field, frozen

OUTCOMES: Mapping[str, tuple[str, str]] = {  # how it reads, and its colour
    "built": ("built", "work"),
    "copied": ("copied", "good"),
    "missed": ("not copied", "still"),
    "packed": ("packed", "pack"),
    "checked": ("check passed", "look"),
    "same": ("not run", "good"),
    "identical": ("identical again", "good"),
    "differs": ("differs", "bad"),
    "failed": ("failed", "bad"),
    "interrupted": ("interrupted", "still"),
}


@frozen
class StepFacts:
    """One step of a run."""

    step: str
    version: str
    outcome: str
    began: float
    seconds: float
    expected: float | None
    reason: str
    detail: str
    log: str  # where it is, below the store
    tail: tuple[str, ...]  # its last lines
    cut: bool  # there are more
    saved: float = 0.0  # seconds that not running it saved, as far as known

    @property
    def bar(self) -> Bar:
        note = "\n".join(part for part in (self.outcome, self.reason, self.detail) if part)
        colour = OUTCOMES.get(self.outcome, ("", "work"))[1]
        return Bar(step=self.step, began=self.began, seconds=self.seconds, colour=colour, note=note)


@frozen
class RunFacts:
    """A run. `needs` maps a step to those that it had to wait for."""

    id: str
    verb: str
    goals: tuple[str, ...]
    command: str
    began: float
    seconds: float
    ending: str
    expected: float | None
    jobs: int
    cores: int
    fetched: int
    fetching: float
    steps: tuple[StepFacts, ...]
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def critical(self) -> tuple[str, ...]:
        return critical_path([step.bar for step in self.steps], self.needs)

    @property
    def saved(self) -> float:
        return sum(step.saved for step in self.steps)


@frozen
class LayerFacts:
    """A layer of an image, and what is in it."""

    name: str
    bytes: int
    unpacked: int
    components: tuple[str, ...]


@frozen
class ImageFacts:
    """An image that was made."""

    name: str
    version: str
    manifest: str
    layers: tuple[LayerFacts, ...]
    sizes: tuple[tuple[str, int], ...]  # components with the bytes that they have in the image
    unpacked: int
    waived: tuple[str, ...]
    off: tuple[str, ...]


@frozen
class Facts:
    """What a report is of: a run, an image, or the run that made an image."""

    run: RunFacts | None
    image: ImageFacts | None
    picture: Picture | None
    no_picture: str  # why there is none
    store: str
