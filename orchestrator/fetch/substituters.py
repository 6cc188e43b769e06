"""Several caches, asked in turn for the same thing. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orchestrator.digest import Digest
from orchestrator.fetch.substituter import Substituter, Unusable
from orchestrator.frozen import NamedTuple
from orchestrator.store.entries import CacheEntry, CheckEntry


class Found(NamedTuple):
    """An entry, and the place that has it."""

    entry: CacheEntry
    place: Substituter


class Substituters:
    """Several places, asked in turn."""

    def __init__(self, places: Sequence[Substituter]) -> None:
        self.places = tuple(places)

    def prefetch(self, keys: Iterable[Digest]) -> None:
        """Ask all places for the entries of many keys."""
        for place in self.places:
            place.prefetch(keys)

    def check(self, key: Digest) -> CheckEntry | None:
        """The first entry of a check that passed."""
        return next((found for place in self.places if (found := place.check(key)) is not None), None)

    def find(self, key: Digest, fits: Callable[[CacheEntry], str]) -> Found | str:
        """The first entry of a key for which `fits` finds nothing wrong, or why there is none."""
        reasons: list[str] = []
        for place in self.places:
            try:
                entry = place.entry(key)
            except Unusable as unusable:
                reasons.append(unusable.why)
                continue
            wrong = fits(entry)
            if not wrong:
                return Found(entry, place)
            reasons.append(f"{wrong} ({place.shown})")
        return "; ".join(dict.fromkeys(reasons))
