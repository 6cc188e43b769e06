"""Carries out what goals need: every step as soon as its inputs are there, each once, several at a time.

Nothing here decides from a plan: whether a step runs is decided when its inputs' bytes are known, so a rebuilt input
that came out the same stops the work there (early cutoff). One engine is one run. Several processes may run on one
store: a step's build key is locked while it is made, and looked up again once the lock is held.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.build.action import Variation, Work, build
from orchestrator.build.check import check
from orchestrator.build.cores import Cores
from orchestrator.digest import Digest, key_of
from orchestrator.errors import OrchError
from orchestrator.events import Monitor, Notice, StepFinished, StepStarted, StepWaiting
from orchestrator.graph.closure import check_mounts, checks_of, closure_key
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys
from orchestrator.store import (
    ClosureItem,
    Goal,
    Layout,
    Realisation,
    has_object,
    locked,
    new_log,
    publish_tree,
    quarantine_object,
    read_check,
    read_realisation,
    staging,
    verify_object,
    write_check,
    write_goal,
    write_realisation,
)
from orchestrator.tree import machine_error

T = TypeVar("T")
Fetch = Callable[[Node, Source, Callable[[], bool]], Path]  # the last says whether to give up
FETCHES_AT_ONCE = 4


class Blocked(Exception):
    """A step cannot run because another failed, or because the run is ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run, never what: nothing here reaches a key."""

    jobs: int = 1
    cores: int = 1
    keep_going: bool = False
    keep_failed: bool = False


@dataclass(slots=True)
class Report:
    """What happened: digests of the goals, names per outcome, failures in the order they came."""

    outputs: dict[str, Digest] = field(default_factory=dict)
    objects: dict[str, Digest] = field(default_factory=dict)
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[str, OrchError]] = field(default_factory=list)

    def note(self, outcome: str, name: str) -> None:
        self.outcomes.setdefault(outcome, []).append(name)


class Engine:
    """One run over one graph and one store."""

    def __init__(self, graph: Graph, layout: Layout, *, options: RunOptions, fetch: Fetch, monitor: Monitor) -> None:
        self.graph = graph
        self.layout = layout
        self.options = options
        self.report = Report()
        self.keys = derivation_keys(graph)
        self.monitor = monitor
        self._fetch_one = fetch
        self._stop = threading.Event()
        self._halted = False
        self._cores = Cores(total=options.cores, jobs=options.jobs)
        self._fetching = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._pool = ThreadPoolExecutor(max_workers=options.jobs + FETCHES_AT_ONCE + 2, thread_name_prefix="step")
        self._tasks: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._intact: set[Digest] = set()
        self._made: dict[str, Digest] = {}

    # -- running ---------------------------------------------------------------------------------------------------

    async def realise(self, *, everything: bool = False) -> Report:
        """Realise every goal with its runtime closure and pass its checks; failures are in the report, not raised.

        With `everything`, the store also gets the rest of the graph, such as compilers; `report.objects` has all.
        """
        try:
            await asyncio.gather(*(self._goal(goal) for goal in self.graph.goals))
            if everything and not self.report.failures:
                names = [node.name for node in self.graph.nodes]
                digests = await asyncio.gather(*(self.object(name) for name in names), return_exceptions=True)
                found = zip(names, digests, strict=True)
                self.report.objects = {name: d for name, d in found if isinstance(d, Digest)}
        finally:
            self._stop.set()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._pool.shutdown(wait=True)
        return self.report

    def _once(self, kind: str, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> Awaitable[T]:
        """The one task for this (kind, name), begun on first use."""
        task = self._tasks.get((kind, name))
        if task is None:
            task = self._tasks[kind, name] = asyncio.create_task(work())
        return asyncio.shield(task)

    async def _thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _all(self, awaitables: list[Awaitable[T]]) -> list[T]:
        """Wait for all, then raise the first failure: siblings go on when one fails."""
        results = await asyncio.gather(*awaitables, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def _goal(self, goal: str) -> None:
        names = (*self.graph[goal].runtime, goal)
        try:
            objects = [self.object(name) for name in names]
            checks = [self.checked(name) for name in checks_of(self.graph, goal)]
            digests, _ = await asyncio.gather(self._all(objects), self._all(checks))
        except Blocked:
            return
        output = digests[-1]
        closure = tuple(
            ClosureItem(name, self.graph[name].version, self.graph[name].origin, digest)
            for name, digest in zip(names, digests, strict=True)
        )
        record = Goal(
            key=closure_key(self.graph, goal, self.keys),
            goal=goal,
            options=self.graph.options,
            output=output,
            closure=closure,
        )
        write_goal(self.layout, record)
        self.report.outputs[goal] = output

    # -- outputs ---------------------------------------------------------------------------------------------------

    def digest(self, name: str) -> Awaitable[Digest]:
        """The digest of a node's output, building it only if no record tells."""
        return self._once("digest", name, lambda: self._digest(name))

    def object(self, name: str) -> Awaitable[Digest]:
        """The digest of a node's output, which is in the store and intact when this returns."""
        return self._once("object", name, lambda: self._object(name))

    def built(self, name: str) -> Awaitable[Digest]:
        return self._once("build", name, lambda: self._build(name))

    async def _digest(self, name: str) -> Digest:
        recorded = read_realisation(self.layout, self.keys[name])
        if recorded is not None and recorded.output is not None:
            return recorded.output
        node = self.graph[name]
        digests = await self._all([self.digest(i) for i in node.build])
        document = derivation_document(node, dict(zip(node.build, digests, strict=True)))
        realisation = read_realisation(self.layout, key_of(document))
        if realisation is not None and realisation.output is not None and has_object(self.layout, realisation.output):
            self._alias(node, realisation)
            self._finish("build", node, "same", 0.0, "inputs came out the same")
            return realisation.output
        return await self.built(name)

    async def _object(self, name: str) -> Digest:
        digest = await self.digest(name)
        if name in self._made:
            return self._made[name]
        if has_object(self.layout, digest) and await self._thread(lambda: self._is_intact(name, digest)):
            return digest
        return await self.built(name)

    def _is_intact(self, name: str, digest: Digest) -> bool:
        if digest in self._intact:
            return True
        problems = verify_object(self.layout, digest)
        if problems:
            quarantine_object(self.layout, digest, "; ".join(problems[:5]))
            text = f"{name}: the stored output is damaged ({problems[0]}); put aside and made again"
            self.monitor(Notice(text=text))
            return False
        self._intact.add(digest)
        return True

    async def _build(self, name: str) -> Digest:
        node = self.graph[name]
        sources = [self.source(node, source) for source in node.sources]
        digests, files = await asyncio.gather(
            self._all([self.object(i) for i in node.build]), self._all(sources), return_exceptions=True
        )
        for result in (files, digests):
            if isinstance(result, BaseException):
                raise result
        inputs = list(zip(node.build, digests, strict=True))  # type: ignore[arg-type]
        by_name = dict(zip((s.name for s in node.sources), files, strict=True))  # type: ignore[arg-type]
        async with self._cores.take() as cores:
            self._refuse_when_halted()
            digest = await self._step(f"build {name}", node, lambda: self._make(node, inputs, by_name, cores))
        self._made[name] = digest
        return digest

    def checked(self, name: str) -> Awaitable[None]:
        """Returns when the check of a node has passed."""
        return self._once("check", name, lambda: self._check(name))

    def source(self, node: Node, source: Source) -> Awaitable[Path]:
        """The verified file of a source, fetched if need be."""
        return self._once("source", source.sha256 or source.name, lambda: self._source(node, source))

    async def _source(self, node: Node, source: Source) -> Path:
        async with self._fetching:
            self._refuse_when_halted()
            stopped = self._stop.is_set
            return await self._step(f"fetch {source.file_name}", node, lambda: self._fetch_one(node, source, stopped))

    def _refuse_when_halted(self) -> None:
        if self._halted:
            raise Blocked

    async def _step(self, step: str, node: Node, work: Callable[[], T]) -> T:
        """Run blocking work in a thread; its failure is reported once and becomes Blocked for all that wait."""
        try:
            return await self._thread(work)
        except OSError as error:
            failure: OrchError = machine_error(error, f"{step} in", self.layout.root)
        except OrchError as error:
            failure = error
        self.report.failures.append((step, failure))
        self.monitor(StepFinished(step=step, outcome="failed", detail=failure.what))
        self._halted = self._halted or not self.options.keep_going
        raise Blocked from failure

    def _finish(self, kind: str, node: Node, outcome: str, seconds: float, detail: str = "") -> None:
        self.report.note(outcome, node.name)
        self.monitor(StepFinished(step=f"{kind} {node.name}", outcome=outcome, seconds=seconds, detail=detail))

    def _document(self, node: Node) -> dict[str, Any]:
        return derivation_document(node, {i: self.keys[i] for i in node.build})

    def _alias(self, node: Node, made: Realisation) -> None:
        """Record that this derivation key leads to an output that exists under its build key."""
        write_realisation(
            self.layout,
            Realisation(
                key=self.keys[node.name],
                kind="derivation",
                name=node.name,
                version=node.version,
                document=self._document(node),
                output=made.output,
                seconds=made.seconds,
                finished=time.time(),
                log=made.log,
                sandbox=made.sandbox,
            ),
        )

    def _make(self, node: Node, inputs: list[tuple[str, Digest]], files: Mapping[str, Path], cores: int) -> Digest:
        """Build under the lock of the build key, unless another process did meanwhile. Runs in a thread."""
        step = f"build {node.name}"
        document = derivation_document(node, dict(inputs))
        key = key_of(document)
        with locked(self.layout, key, lambda: self.monitor(StepWaiting(step=step)), self._stop.is_set):
            found = read_realisation(self.layout, key)
            if found is not None and found.output is not None and has_object(self.layout, found.output):
                self._alias(node, found)
                self._finish("build", node, "same", 0.0, "made by another process")
                return found.output
            log = new_log(self.layout, node.name, key)
            self.monitor(StepStarted(step=step, log=log))
            began = time.monotonic()
            with staging(self.layout, node.name) as stage:
                work = self._work(step, stage, log, cores, keep_failed=self.options.keep_failed)
                tree, manifest = build(node, files, inputs, work)
                output = publish_tree(self.layout, tree, manifest)
            seconds = time.monotonic() - began
            self._intact.add(output)
            previous = found.output if found is not None else None
            made = Realisation(
                key=key,
                kind="build",
                name=node.name,
                version=node.version,
                document=document,
                output=output,
                seconds=seconds,
                finished=time.time(),
                log=str(log.relative_to(self.layout.root)),
                sandbox=surroundings(cores),
            )
            write_realisation(self.layout, made)
            self._alias(node, made)
        if previous is not None and previous != output:
            text = f"{node.label} came out different from before with the same inputs: {previous} then, {output} now"
            self.monitor(Notice(text=text))
        self._finish("build", node, "built", seconds)
        return output

    def _work(self, step: str, stage: Path, log: Path, cores: int, *, keep_failed: bool = False) -> Work:
        return Work(
            step=step,
            layout=self.layout,
            stage=stage,
            log=log,
            cores=cores,
            monitor=self.monitor,
            stop=self._stop,
            keep_failed=keep_failed,
            variation=Variation(),
        )

    # -- checks ----------------------------------------------------------------------------------------------------

    async def _check(self, name: str) -> None:
        node = self.graph[name]
        assert node.check is not None
        names = check_mounts(self.graph, node)
        digests = dict(zip(names, await self._all([self.digest(i) for i in names]), strict=True))
        document = check_document(self.graph, node, digests[name], digests)
        key = key_of(document)
        if read_check(self.layout, key) is not None:
            return
        await self._all([self.object(i) for i in check_mounts(self.graph, node)])
        async with self._cores.take() as cores:
            self._refuse_when_halted()
            await self._step(f"check {name}", node, lambda: self._run_check(node, key, document, digests, cores))

    def _run_check(
        self, node: Node, key: Digest, document: dict[str, Any], digests: Mapping[str, Digest], cores: int
    ) -> None:
        step = f"check {node.name}"
        with locked(self.layout, key, lambda: self.monitor(StepWaiting(step=step)), self._stop.is_set):
            if read_check(self.layout, key) is not None:
                self.monitor(StepFinished(step=step, outcome="same", detail="checked by another process"))
                return
            log = new_log(self.layout, f"{node.name}-check", key)
            self.monitor(StepStarted(step=step, log=log))
            began = time.monotonic()
            with staging(self.layout, f"{node.name}-check") as stage:
                check(self.graph, node, digests, self._work(step, stage, log, cores))
            seconds = time.monotonic() - began
            write_check(
                self.layout,
                Realisation(
                    key=key,
                    kind="check",
                    name=node.name,
                    version=node.version,
                    document=document,
                    output=None,
                    seconds=seconds,
                    finished=time.time(),
                    log=str(log.relative_to(self.layout.root)),
                    sandbox=surroundings(cores),
                ),
            )
        self._finish("check", node, "checked", seconds)


def surroundings(cores: int) -> dict[str, Any]:
    """What a sandbox cannot hide, recorded with each result: kernel release, the processors it could use, its share."""
    return {"kernel": os.uname().release, "cpus": sorted(os.sched_getaffinity(0)), "cores": cores}
