"""Which of several wheels of one version an installer takes: the closest tag, then the highest build number. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.recipe.wheel_tags import ordered_tags

if TYPE_CHECKING:
    from packaging.tags import Tag


@cache
def _ranks(python: str, platform: str) -> dict[Tag, int]:
    """Tag -> how close it is, 0 the closest."""
    return {tag: rank for rank, tag in enumerate(ordered_tags(python, platform))}


def best_wheel(file_names: Iterable[str], python: str, platform: str) -> str | None:
    """The wheel among `file_names` that CPython `python` on `platform` takes; None if none fits."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    ranks = _ranks(python, platform)
    fitting = []
    for file_name in file_names:
        try:
            _, _, build, tags = parse_wheel_filename(file_name)
        except InvalidWheelFilename:
            continue
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None:
            fitting.append((-rank, build, file_name))
    return max(fitting)[2] if fitting else None
