"""How a run is carried out, never what it makes: nothing here reaches a key."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.frozen import field, frozen


@frozen
class RunOptions:
    """What the caller says, and what the forecast makes of it."""

    jobs: int = 1
    cores: int = 1
    keep_going: bool = False
    keep_failed: bool = False
    urgency: Mapping[str, float] = field(default_factory=dict)  # by step or source; what has most is started first
    after: Mapping[str, float] = field(default_factory=dict)  # by step: the most urgency of what waits for it
