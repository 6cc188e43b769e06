"""Components merged into one root: whose file each path is, and no file that hides another's in silence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from orchestrator.errors import RecipeError
from orchestrator.image.model import Component, View
from orchestrator.recipe.image import Drop, Image, Winner
from orchestrator.tree import Entry, Manifest

_SHOWN = 8  # clashes in one message


def merge(image: Image, components: Sequence[Component], manifests: Sequence[Manifest]) -> View:
    """The View of `components`, bottom first, whose trees `manifests` describe.

    Raise RecipeError where two have different content at one path and no winner is named; for a winner or a drop that
    decides nothing; for a directory where another component has a link or a file. The system tree may replace files of
    the base.
    """
    merger = _Merger(image, tuple(components))
    for index, manifest in enumerate(manifests):
        merger.add(index, manifest)
    merger.refuse_clashes()
    merger.refuse_idle()
    return View(
        components=tuple(components),
        manifests=tuple(manifests),
        owner=merger.owner,
        entries=merger.entries,
        excluded={name: frozenset(paths) for name, paths in merger.excluded.items() if paths},
    )


def same(one: Entry, other: Entry) -> bool:
    """Whether it makes no difference which of two entries at one path is there."""
    if one.kind != other.kind:
        return False
    return one.kind == "dir" or (one.digest, one.target, one.mode) == (other.digest, other.target, other.mode)


@dataclass(slots=True)
class _Merger:
    image: Image
    components: tuple[Component, ...]
    owner: dict[str, int] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    excluded: dict[str, set[str]] = field(default_factory=dict)
    clashes: list[tuple[str, str, str]] = field(default_factory=list)  # path, component, component
    alike: dict[str, list[str]] = field(default_factory=dict)  # path -> who has what its owner has there too
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)  # path -> two of more, neither of which wins
    used: set[int] = field(default_factory=set)  # ids of winners and drops that decided something

    def add(self, index: int, manifest: Manifest) -> None:
        component = self.components[index]
        drops = [drop for drop in self.image.document.drop if drop.component == component.name]
        gone = self._dropped(manifest.entries, drops)
        left_out = self.excluded.setdefault(component.name, set())
        left_out |= gone
        for entry in manifest.entries:
            if entry.path not in gone:
                self._put(index, entry)

    def _dropped(self, entries: Iterable[Entry], drops: Sequence[Drop]) -> set[str]:
        gone: set[str] = set()
        if not drops:
            return gone
        for entry in entries:
            for drop in drops:
                # What lies below a dropped directory goes with it.
                if fnmatchcase(entry.path, drop.path) or entry.path.rpartition("/")[0] in gone:
                    gone.add(entry.path)
                    self.used.add(id(drop))
        return gone

    def _put(self, index: int, entry: Entry) -> None:
        before = self.owner.get(entry.path)
        if before is None or self.components[index].kind == "system":
            self.owner[entry.path], self.entries[entry.path] = index, entry
            return
        if same(self.entries[entry.path], entry):
            if entry.kind == "dir":  # later layers say what a directory is like
                self.owner[entry.path], self.entries[entry.path] = index, entry
            else:
                self.alike.setdefault(entry.path, []).append(self.components[index].name)
            return
        first, second = self.components[before].name, self.components[index].name
        winner = self._winner(entry)
        if winner is None:
            self.clashes.append((entry.path, first, second))
        elif winner.component == second:
            for loser in (first, *self.alike.pop(entry.path, ())):
                self.excluded[loser].add(entry.path)
            self.owner[entry.path], self.entries[entry.path] = index, entry
        else:
            self.excluded[second].add(entry.path)
            if winner.component != first:  # the winner is still to come
                self.waiting.setdefault(entry.path, (first, second))
        if winner is not None and winner.component in (first, second):
            self.used.add(id(winner))
            self.waiting.pop(entry.path, None)

    def _winner(self, entry: Entry) -> Winner | None:
        if "dir" in (self.entries[entry.path].kind, entry.kind):
            return None
        return next((one for one in self.image.document.winners if one.path.lstrip("/") == entry.path), None)

    def refuse_clashes(self) -> None:
        self.clashes += [(path, *both) for path, both in self.waiting.items()]
        if not self.clashes:
            return
        shown = [f"/{path}: {first} and {second}" for path, first, second in self.clashes[:_SHOWN]]
        more = len(self.clashes) - _SHOWN
        path, first, second = self.clashes[0]
        raise RecipeError(
            f"/{path} has different content in {first} and in {second}",
            where=f"{self.image.where}: winners",
            why="\n".join(
                ["one would hide the other without a word:", *shown, *([f"and {more} more"] if more > 0 else [])]
            ),
            hint=f'say who wins, and why: [[winners]] path = "/{path}", component = "{first}", reason = "..."',
        )

    def refuse_idle(self) -> None:
        document = self.image.document
        idle: list[tuple[str, int, Winner | Drop]] = [
            *(("winners", index, winner) for index, winner in enumerate(document.winners)),
            *(("drop", index, drop) for index, drop in enumerate(document.drop)),
        ]
        for name, index, item in idle:
            if id(item) not in self.used:
                raise RecipeError(
                    f"{name}[{index}] ({item.path} of {item.component}) matches nothing",
                    where=f"{self.image.where}: {name}[{index}]",
                    why="no two components differ there" if name == "winners" else "the component has no such path",
                    hint="remove it",
                )
