"""Copies outputs from a team's cache instead of building them. Blocks; knows no order of steps.

An entry is believed for a node if somebody trusted signed it, and if what it was built with is what is known here: an
input that came out with other bytes here makes it a miss, as it does for records of this store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.build.make import Report
from orchestrator.build.room import Room
from orchestrator.digest import Digest, key_of
from orchestrator.events import Monitor, Notice, StepFinished, StepOutput, StepPhase, StepStarted, StepWaiting
from orchestrator.fetch.substituter import Unusable
from orchestrator.fetch.substituters import Found, Substituters
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.keys import SANDBOX_SCHEMA, derivation_document, derivation_keys
from orchestrator.store import Layout, Realisation, has_object, locked, write_check, write_realisations
from orchestrator.store.entries import CacheEntry, CheckEntry
from orchestrator.store.packed import Refused, unpack_object
from orchestrator.tree import disk

_TOLD_APART = 0.5  # seconds between two words about a copy


class Offers:
    """What the places have for the nodes of one graph. The plan asks, then the run; nothing is asked twice."""

    def __init__(self, graph: Graph, places: Substituters, recorded: Callable[[Digest], Digest | None]) -> None:
        """`recorded` tells what this store's record of a key leads to."""
        self._graph = graph
        self._places = places
        self._recorded = recorded
        self._keys = derivation_keys(graph)
        self._asked = False
        self._why: dict[str, str] = {}

    def find(self, name: str, known: Mapping[str, Digest]) -> Found | None:
        """What a place has for a node of which no record here tells; `known` are the digests of those of its inputs
        that are known."""
        node = self._graph[name]
        if node.origin == "dirty":
            return None  # nobody else can have made it
        self._prefetch()
        inputs = {i: known[i] for i in node.build if i in known}
        found = self._places.find(self._keys[name], lambda entry: self._misfit(node, entry, inputs))
        if isinstance(found, str) and len(inputs) == len(node.build):
            by_build = self._places.find(self.build_key(node, inputs), lambda entry: self._misfit(node, entry, inputs))
            found = found if isinstance(by_build, str) else by_build
        return self._noted(name, found)

    def find_output(self, name: str, output: Digest) -> Found | None:
        """What a place has for a node whose output is known but not in the store."""
        node = self._graph[name]
        if node.origin == "dirty":
            return None

        def fits(entry: CacheEntry) -> str:
            if entry.output != output:
                return f"its output is {entry.output}, and here the record says {output}"
            return self._misfit(node, entry, {})

        return self._noted(name, self._places.find(self._keys[name], fits))

    def check(self, name: str, key: Digest) -> CheckEntry | None:
        """What a place says of a check of a node that has not passed here."""
        return None if self._graph[name].origin == "dirty" else self._places.check(key)

    def why_not(self, name: str) -> str:
        """Why a node that was asked for is not copied; empty if it is, or nobody was asked."""
        return self._why.get(name, "")

    def lost(self, name: str, found: Found, why: str) -> None:
        """An archive could not be had: its entry is a miss from now on."""
        found.place.forget(found.entry, why)
        self._why[name] = why

    def copier(
        self, layout: Layout, room: Room, monitor: Monitor, report: Report, stopped: Callable[[], bool]
    ) -> Copier:
        """What brings in what is found, for one run."""
        return Copier(self._graph, layout, self, room=room, monitor=monitor, report=report, stopped=stopped)

    def build_key(self, node: Node, inputs: Mapping[str, Digest]) -> Digest:
        """The key of a build with these inputs."""
        return key_of(derivation_document(node, inputs))

    def _noted(self, name: str, found: Found | str) -> Found | None:
        if isinstance(found, str):
            self._why[name] = found
            return None
        self._why.pop(name, None)
        return found

    def _misfit(self, node: Node, entry: CacheEntry, inputs: Mapping[str, Digest]) -> str:
        if entry.name != node.name:
            return f"its entry is of {entry.name}"
        if entry.sandbox != SANDBOX_SCHEMA:
            return f"it was built in a sandbox of schema {entry.sandbox}, and here it is {SANDBOX_SCHEMA}"
        if set(entry.inputs) != set(node.build):
            return "its entry names other inputs"
        if self.build_key(node, {name: Digest.parse(text) for name, text in entry.inputs.items()}) != entry.build:
            return "its build key is not that of what it was built with"
        other = [name for name, digest in inputs.items() if entry.inputs[name] != str(digest)]
        return f"it was built with another output of {', '.join(other)}" if other else ""

    def _prefetch(self) -> None:
        if not self._asked:
            self._asked = True
            keys = self._keys
            nodes = [node.name for node in self._graph.nodes if node.origin != "dirty"]
            self._places.prefetch([keys[name] for name in nodes if self._recorded(keys[name]) is None])


class Copier:
    """Brings what is offered into one store."""

    def __init__(
        self, graph: Graph, layout: Layout, offers: Offers, *, room: Room, monitor: Monitor, report: Report,
        stopped: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.offers = offers
        self._graph = graph
        self._layout = layout
        self._keys = derivation_keys(graph)
        self._room = room
        self._monitor = monitor
        self._report = report
        self._stopped = stopped
        self._silent: set[str] = set()  # places that were said to be given up on

    def copy(self, name: str, found: Found) -> bool:
        """Whether the offered output is in the store, intact and recorded. What is wrong with the place is said and is
        no failure; raise MachineError for the disk, KeyboardInterrupt once the run is stopped."""
        node, entry, step = self._graph[name], found.entry, f"substitute {name}"
        began = time.monotonic()
        with locked(self._layout, entry.output, lambda: self._monitor(StepWaiting(step=step)), self._stopped):
            there = has_object(self._layout, entry.output)
            if not there:
                self._monitor(StepStarted(step=step, reason=f"from {found.place.shown}"))
                why = self._fetch(step, found)
                if why:
                    self.offers.lost(name, found, why)
                    self._say_off(found)
                    self._end(step, node, "missed", time.monotonic() - began, why)
                    return False
            with self._room.directory(name) as stage:
                write_realisations(self._layout, self._records(node, entry), stage)
        if there:
            self._end(step, node, "same", 0.0, "its output is here already")
        else:
            self._end(step, node, "copied", time.monotonic() - began)
        return True

    def check(self, node: Node, key: Digest, document: dict[str, Any], seen: Sequence[Found]) -> bool:
        """Whether somebody trusted says that the check of this key has passed; then it is recorded here too, with what
        it has `seen`: the next command finds its key without asking again. Raise MachineError."""
        found = self.offers.check(node.name, key)
        if found is None:
            return False
        record = Realisation(
            key=key, kind="check", name=node.name, version=node.version, document=document, output=None,
            seconds=found.seconds, finished=found.finished, sandbox={"substituted": found.signer}, origin=node.origin,
        )  # fmt: skip
        known = [one for offer in seen for one in self._records(self._graph[offer.entry.name], offer.entry)]
        if known:
            with self._room.directory(node.name) as stage:
                write_realisations(self._layout, known, stage)
        write_check(self._layout, record)
        return True

    def _fetch(self, step: str, found: Found) -> str:
        """Bring the object into the store; why that was not possible, if so."""
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if self._stopped():
                raise KeyboardInterrupt
            if total and time.monotonic() - told > _TOLD_APART:
                told = time.monotonic()
                self._monitor(StepOutput(step=step, line=f"{100 * done // total} %"))

        archive: Path | None = None
        try:
            archive = found.place.archive(found.entry, self._layout, progress)
            self._monitor(StepPhase(step=step, phase="unpack"))
            with self._room.directory(found.entry.name) as stage, disk("read", archive), archive.open("rb") as file:
                unpack_object(self._layout, file, found.entry.output, stage, progress=lambda *_: progress(0, 0))
        except Unusable as unusable:
            if unusable.off:
                found.place.give_up(unusable.why)
            return unusable.why
        except Refused as refused:
            return f"its archive is refused at {refused} ({found.place.shown})"
        finally:
            if archive is not None:
                archive.unlink(missing_ok=True)
        return ""

    def _say_off(self, found: Found) -> None:
        place = found.place
        if place.off and place.shown not in self._silent:
            self._silent.add(place.shown)
            self._monitor(Notice(text=f"{place.off}; it is not asked again in this run"))

    def _records(self, node: Node, entry: CacheEntry) -> tuple[Realisation, ...]:
        """The records of its derivation key here and of the build that it came from."""
        built = derivation_document(node, {name: Digest.parse(text) for name, text in entry.inputs.items()})
        declared = derivation_document(node, {name: self._keys[name] for name in node.build})
        runtime = {name: str(self._keys[name]) for name in node.runtime}

        def record(kind: str, key: Digest, document: dict[str, object]) -> Realisation:
            return Realisation(
                key=key,
                kind="build" if kind == "build" else "derivation",
                name=node.name,
                version=node.version,
                document=document,
                output=entry.output,
                seconds=entry.seconds,
                finished=entry.finished,
                sandbox={"substituted": entry.signer},
                origin=node.origin,
                runtime=runtime,
            )

        return record("build", entry.build, built), record("derivation", self._keys[node.name], declared)

    def _end(self, step: str, node: Node, outcome: str, seconds: float, detail: str = "") -> None:
        if outcome != "missed":
            self._report.outcomes.setdefault(outcome, []).append(node.name)
        self._monitor(StepFinished(step=step, outcome=outcome, seconds=seconds, detail=detail))
