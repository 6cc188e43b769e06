"""Makes one output or runs one check under the lock of its key, and records it. Runs in worker threads and blocks.

Looked up again once the lock is held: another process may have made it meanwhile. Only success is recorded.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from orchestrator.build.action import Work, build
from orchestrator.build.check import check
from orchestrator.build.cores import Share
from orchestrator.build.room import BUILD, Room
from orchestrator.digest import Digest, key_of
from orchestrator.errors import OrchError
from orchestrator.events import Monitor, Notice, StepFinished, StepStarted, StepWaiting
from orchestrator.frozen import field, frozen
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.keys import check_document, derivation_document, key_form
from orchestrator.sandbox.runtime import Stopped
from orchestrator.store import (
    Layout,
    Realisation,
    has_object,
    locked,
    new_log,
    publish_tree,
    read_check,
    read_realisation,
    recent_realisations,
    write_check,
    write_realisations,
)


@frozen
class Report:
    """What happened, filled while it does: digests of the goals, names per outcome, failures in the order they came."""

    outputs: dict[str, Digest] = field(default_factory=dict)
    objects: dict[str, Digest] = field(default_factory=dict)
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[str, OrchError]] = field(default_factory=list)
    recorded: dict[str, tuple[str, Digest]] = field(default_factory=dict)  # as Plan.recorded, of what was made


def surroundings(cores: int) -> dict[str, Any]:
    """What a sandbox cannot hide, recorded with each result: kernel release, the processors it could use, its share."""
    return {"kernel": os.uname().release, "cpus": sorted(os.sched_getaffinity(0)), "cores": cores}


def may_serve(made: Realisation, node: Node) -> bool:
    """Whether what a build left may be taken for `node`: nothing clean comes of a build with something dirty."""
    return made.origin != "dirty" or node.origin == "dirty"


@frozen
class Maker:
    """What every step of one run shares."""

    graph: Graph
    keys: Mapping[str, Digest]
    layout: Layout
    monitor: Monitor
    stop: threading.Event
    keep_failed: bool
    report: Report
    room: Room
    began: dict[str, float] = field(default_factory=dict)  # by step, once it has its lock
    _reused: list[Realisation] = field(default_factory=list)  # not written yet

    def make(
        self,
        node: Node,
        inputs: list[tuple[str, Digest]],
        files: Mapping[str, Path],
        share: Share,
        *,
        intact: Callable[[], bool],
        built: Callable[[], object],
        published: Callable[[Digest | None], object],
    ) -> None:
        """Build `node` with `inputs` (top first), publish its output and record it.

        `built` is called when only the disk is waited for, `published` with the output's digest when others may use it.
        `intact` waits until the inputs have been looked at; if they are damaged, what was built with them is nothing,
        whatever came of it, and `published` is called with None. Raises StepFailed, RecipeError or MachineError;
        nothing is recorded then.
        """
        step = f"build {node.name}"
        key = key_form(self.graph, node.name).key({name: str(digest) for name, digest in inputs})
        with locked(self.layout, key, lambda: self.monitor(StepWaiting(step=step)), self.stop.is_set):
            found = read_realisation(self.layout, key)
            there = found.output if found is not None and may_serve(found, node) else None
            if found is not None and there is not None and has_object(self.layout, there):
                self.reuse(node, found, "made by another process")
                published(there)
                return
            log = new_log(self.layout, node.name, key)
            self.monitor(StepStarted(step=step, log=log))
            began = self.began[step] = time.monotonic()
            with self.room.directory(node.name, BUILD) as stage:
                try:
                    tree, manifest = build(node, files, inputs, self._work(step, stage, log, share, intact))
                except OrchError:
                    if self.stop.is_set() or intact():
                        raise
                    published(None)
                    return
                if not intact():
                    if self.stop.is_set():
                        raise Stopped("stopped before its inputs were looked at", hint="run the same command again")
                    published(None)
                    return
                seconds = time.monotonic() - began
                built()
                again = has_object(self.layout, manifest.digest) and self._was(node, manifest.digest)
                output = publish_tree(self.layout, tree, manifest)
                if found is not None and found.output != output:
                    changed = f"from before with the same inputs: {found.output}, now {output}"
                    self.monitor(Notice(text=f"{node.label} came out different {changed}"))
                self._finish(step, node, "built", seconds, "the same bytes as before" if again else "")
                published(output)
                document = derivation_document(node, dict(inputs))
                made = self._record(node, "build", key, document, output, seconds, log, share)
                write_realisations(self.layout, (made, self._alias(node, made)), stage)
                self.report.recorded[node.name] = key.hex, output

    def reuse(self, node: Node, made: Realisation, why: str) -> None:
        """The derivation key of `node` leads to an output that is there already; `take_reused` has the record."""
        self._reused.append(self._alias(node, made))
        if made.output is not None:
            self.report.recorded[node.name] = made.key.hex, made.output
        self._finish(f"build {node.name}", node, "same", 0.0, why)

    def take_reused(self) -> list[Realisation]:
        """The records of all that was reused so far, for the caller to write. One that is lost is found again as it was
        found now, so that all of them may wait for the end of a run."""
        taken = self._reused.copy()
        self._reused.clear()
        return taken

    def _was(self, node: Node, output: Digest) -> bool:
        """Whether one of the last builds of the recipe had this output."""
        return any(made.output == output for made in recent_realisations(self.layout, node.name))

    def check(self, node: Node, digests: Mapping[str, Digest], share: Share) -> None:
        """Run the check of `node` with the outputs in `digests`, unless it has passed with them; raise if it fails."""
        step = f"check {node.name}"
        document = check_document(self.graph, node, digests[node.name], digests)
        key = key_of(document)
        with locked(self.layout, key, lambda: self.monitor(StepWaiting(step=step)), self.stop.is_set):
            if read_check(self.layout, key) is not None:
                self.monitor(StepFinished(step=step, outcome="same", detail="checked by another process"))
                return
            log = new_log(self.layout, f"{node.name}-check", key)
            self.monitor(StepStarted(step=step, log=log))
            began = self.began[step] = time.monotonic()
            with self.room.directory(f"{node.name}-check") as stage:
                check(self.graph, node, digests, self._work(step, stage, log, share))
            seconds = time.monotonic() - began
            write_check(self.layout, self._record(node, "check", key, document, None, seconds, log, share))
        self._finish(step, node, "checked", seconds)

    def _work(self, step: str, stage: Path, log: Path, share: Share, intact: Callable[[], bool] = lambda: True) -> Work:
        return Work(
            step=step,
            layout=self.layout,
            stage=stage,
            log=log,
            cores=share.cores,
            tokens=share.tokens,
            monitor=self.monitor,
            stop=self.stop,
            place=self.room.workplace,
            keep_failed=self.keep_failed,
            intact=intact,
        )

    def _record(
        self,
        node: Node,
        kind: Literal["build", "check"],
        key: Digest,
        document: dict[str, Any],
        output: Digest | None,
        seconds: float,
        log: Path,
        share: Share,
    ) -> Realisation:
        return Realisation(
            key=key,
            kind=kind,
            name=node.name,
            version=node.version,
            document=document,
            output=output,
            seconds=seconds,
            finished=time.time(),
            log=str(log.relative_to(self.layout.root)),
            sandbox=surroundings(share.cores),
            origin=node.origin,
            runtime=self._runtime(node),
        )

    def _runtime(self, node: Node) -> dict[str, str]:
        return {name: str(self.keys[name]) for name in node.runtime}

    def _alias(self, node: Node, made: Realisation) -> Realisation:
        """The record of the derivation key of `node` that says what its build key led to."""
        return Realisation(
            key=self.keys[node.name],
            kind="derivation",
            name=node.name,
            version=node.version,
            document=derivation_document(node, {name: self.keys[name] for name in node.build}),
            output=made.output,
            seconds=made.seconds,
            finished=time.time(),
            log=made.log,
            sandbox=made.sandbox,
            origin=node.origin,
            runtime=self._runtime(node),
        )

    def _finish(self, step: str, node: Node, outcome: str, seconds: float, detail: str = "") -> None:
        self.report.outcomes.setdefault(outcome, []).append(node.name)
        self.monitor(StepFinished(step=step, outcome=outcome, seconds=seconds, detail=detail))
