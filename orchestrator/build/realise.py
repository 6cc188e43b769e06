"""Carries out what goals need: every step as soon as its inputs are there, each once, several at a time.

Nothing here decides from a plan: whether a step runs is decided when its inputs' bytes are known, so a rebuilt input
that came out the same stops the work there (early cutoff). One engine is one run. Several processes may run on one
store: a step's build key is locked while it is made, and looked up again once the lock is held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.build.core_use import cores_use
from orchestrator.build.cores import Cores, Share, Use
from orchestrator.build.gate import Gate
from orchestrator.build.intact import Intact
from orchestrator.build.loop import Event, Future, Loop, Task, gather, shield
from orchestrator.build.make import Maker, Report, may_serve
from orchestrator.build.outputs import Outputs, Recorded, finished_goal, recorded_output
from orchestrator.build.room import BUILD, Room
from orchestrator.build.run_options import RunOptions
from orchestrator.build.sources import Fetch, hold_sources, intact_source
from orchestrator.digest import Digest, key_of
from orchestrator.errors import OrchError
from orchestrator.events import Monitor, StepFinished
from orchestrator.graph.closure import check_mounts, checks_of
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.graph.keys import check_document, derivation_keys, key_form
from orchestrator.store import (
    Goal,
    Layout,
    has_object,
    hold,
    read_check,
    read_realisation,
    settle,
    write_goals,
)
from orchestrator.store.durable import prepare_sync
from orchestrator.tree import machine_error

if TYPE_CHECKING:
    from orchestrator.build.substitute import Copier, Offers
    from orchestrator.fetch.substituters import Found

T = TypeVar("T")
FETCHES_AT_ONCE = 4
_GIVE_WAY = 0.003  # seconds in which a step gets from its inputs to its sandbox
_HOLD_AFTER = 0.01  # seconds: when the first sandboxes run, and this process waits


class Blocked(Exception):
    """A step cannot run because another failed, or because the run is ending."""


class Engine:
    """One run over one graph and one store."""

    def __init__(
        self,
        graph: Graph,
        layout: Layout,
        *,
        options: RunOptions,
        fetch: Fetch,
        monitor: Monitor,
        output: Callable[[Digest], Digest | None] | None = None,
        recorded: Recorded | None = None,
        offers: Offers | None = None,
        room: Room | None = None,
    ) -> None:
        """`output` tells what the record of a key leads to, if the caller can do so quicker than by reading it;
        `recorded` is what the plan found so (Plan.recorded); `offers` has what can be copied instead of built; `room`
        is one that the caller has prepared, and is closed with the run."""
        self.graph = graph
        self.layout = layout
        self.options = options
        self.report = Report()
        self.keys = derivation_keys(graph)
        self.monitor = monitor
        self._fetch_one = fetch
        self._outputs = Outputs(graph, output or partial(recorded_output, layout), recorded if offers is None else None)
        self._stop = threading.Event()
        self._room = room or Room(layout)
        self._maker = Maker(
            graph=graph, keys=self.keys, layout=layout, monitor=monitor, stop=self._stop,
            keep_failed=options.keep_failed, report=self.report, room=self._room,
        )  # fmt: skip
        self._copier: Copier | None = None
        if offers is not None:
            self._copier = offers.copier(layout, self._room, monitor, self.report, self._stop.is_set)
        self._offered: dict[str, Found] = {}
        self._halted = False
        self._loop = Loop(threads=5 * options.jobs + FETCHES_AT_ONCE + 2)
        self._cores = Cores(self._loop, total=options.cores, jobs=options.jobs)
        self._urgency = options.urgency
        self._fetching = Cores(self._loop, total=FETCHES_AT_ONCE, jobs=FETCHES_AT_ONCE)
        self._tasks: dict[tuple[str, str], Task[Any]] = {}
        self._intact = Intact(layout, monitor)
        self._made: dict[str, Digest] = {}
        self._records: list[Task[None]] = []  # steps that are done but for what is written of them
        self._finished: list[Goal] = []
        self._unrecorded, self._awaited = list[Node](), set[str]()  # no record tells of them; what they are built with

    # -- running ---------------------------------------------------------------------------------------------------

    def run(
        self, *, objects: Iterable[str] = (), everything: bool = False, again: Callable[[], object] = lambda: None
    ) -> Report:
        """Realise every goal with its runtime closure and pass its checks; failures are in the report, not raised.

        The store also gets the outputs of the nodes named in `objects`, while the goals are worked on, and then with
        `everything` all others, such as compilers. `report.objects` has their digests. `again`: as in Loop.run.
        """
        return self._loop.run(self._realise(tuple(dict.fromkeys(objects)), everything), again=again)

    async def _realise(self, names: tuple[str, ...], everything: bool) -> Report:
        self._loop.send(self._room.prepare)
        settled = False
        try:
            while await self._moved(names):
                pass
            write_goals(self.layout, self._finished, self._room.place, after=self._maker.take_reused())
            settle(self.layout.root)
            settled = not everything
            self.report.outputs.update((goal.goal, goal.output) for goal in self._finished)
            if everything and not self.report.failures:
                await self._objects(self.graph.names)
        finally:
            self._stop.set()
            for task in self._tasks.values():
                task.cancel()
            await gather(self._loop, self._tasks.values(), whole=True)
            self._loop.end_threads()
            self._room.close()
            if not settled:
                settle(self.layout.root)
        return self.report

    async def _moved(self, objects: tuple[str, ...]) -> bool:
        """Work through the goals and `objects` once; whether an output was made again with other bytes than its record
        had told.

        Somebody may have used the record by then, so the goals are looked at once more: what was built or checked with
        the old bytes is no longer recorded for the new ones.
        """
        self._tasks.clear()
        self._made.clear()
        self._finished.clear()
        if not self._outputs.are_planned:
            await self._thread(lambda: self._outputs.look_up(self._offered_output))
        self._unrecorded = self._outputs.unknown()
        self._awaited = {name for node in self._unrecorded for name in node.build}
        self._loop.call_later(_HOLD_AFTER, self._held)
        await gather(self._loop, [*(self._goal(goal) for goal in self.graph.goals), self._objects(objects)])
        self._loop.in_thread(self._room.end_sandboxes)  # while the last is written down
        await self._held()
        await gather(self._loop, self._records, whole=True)
        moved = any((self._outputs.get(name) or digest) != digest for name, digest in self._made.items())
        if moved:
            self._finished.clear()
            self._outputs.forget()
        return moved and not self.report.failures

    def _held(self) -> Future[None]:
        """What the run may need is written down, once."""
        return self._once("hold", "all", lambda: self._thread(self._hold))

    def _hold(self) -> None:
        """Write down what the run may need, so that gc leaves it: what is asked for besides is written down then."""
        prepare_sync()
        hold(self.layout, "object", *(digest.hex for digest in self._outputs.needed(self._unrecorded)))
        hold_sources(self.layout, self._unrecorded)

    def _once(self, kind: str, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """The one task for this (kind, name), begun on first use."""
        task = self._tasks.get((kind, name))
        if task is None:
            task = self._tasks[kind, name] = self._loop.task(work())
        return shield(task)

    async def _thread(self, work: Callable[[], T]) -> T:
        return await self._loop.in_thread(work)

    async def _all(self, awaitables: Sequence[Awaitable[T]]) -> list[T]:
        """Wait for all, then raise the first failure: siblings go on when one fails."""
        results = await gather(self._loop, awaitables, whole=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def _objects(self, names: Iterable[str]) -> None:
        async def one(name: str) -> None:
            with suppress(Blocked):
                self.report.objects[name] = await self.object(name)

        await gather(self._loop, map(one, names))

    async def _goal(self, goal: str) -> None:
        names = (*self.graph[goal].runtime, goal)
        try:
            objects = self._all([self.object(name) for name in names])
            checks: Awaitable[Any] = self._all([self.checked(name) for name in checks_of(self.graph, goal)])
            digests, _ = await self._all([objects, checks])
        except Blocked:
            return
        self._finished.append(finished_goal(self.graph, goal, dict(zip(names, digests, strict=True))))

    # -- outputs ---------------------------------------------------------------------------------------------------

    def digest(self, name: str) -> Future[Digest]:
        """The digest of a node's output, building it only if no record tells."""
        return self._once("digest", name, lambda: self._digest(name))

    def object(self, name: str) -> Future[Digest]:
        """The digest of a node's output, which is in the store and intact when this returns."""
        return self._once("object", name, lambda: self._object(name))

    def built(self, name: str) -> Awaitable[Digest]:
        return self._once("build", name, lambda: self._build(name))

    async def _digest(self, name: str) -> Digest:
        recorded = self._outputs.get(name)
        if recorded is not None:
            return recorded
        node = self.graph[name]
        digests = await self._all([self.digest(i) for i in node.build])
        texts = {name: str(one) for name, one in zip(node.build, digests, strict=True)}
        found = read_realisation(self.layout, key_form(self.graph, name).key(texts))
        output = found.output if found is not None and may_serve(found, node) else None
        if found is not None and output is not None and has_object(self.layout, output):
            self._maker.reuse(node, found, "inputs came out the same")
            return output
        if self._copier is not None:
            offer = await self._thread(lambda: self._offer(name, dict(zip(node.build, digests, strict=True))))
            if offer is not None:
                return offer.entry.output
        return await self.built(name)

    def _offer(self, name: str, inputs: Mapping[str, Digest]) -> Found | None:
        """What can be copied for a node that no record tells of."""
        found = self._copier.offers.find(name, inputs) if self._copier is not None else None
        if found is not None:
            self._offered[name] = found
        return found

    def _offered_output(self, name: str, inputs: Mapping[str, Digest]) -> Digest | None:
        offer = self._offer(name, inputs)
        return None if offer is None else offer.entry.output

    async def _object(self, name: str) -> Digest:
        digest = await self.digest(name)
        if name in self._made:
            return self._made[name]
        if has_object(self.layout, digest) and await self.intact(name, digest) and name not in self._offered:
            return digest
        return digest if await self._copied(name, digest) else await self.built(name)

    async def _there(self, name: str) -> Digest:
        """The digest of a node's output, which is in the store; it may still be looked at whether it is intact."""
        digest = await self.digest(name)
        there = name not in self._made and name not in self._offered and has_object(self.layout, digest)
        return digest if there else await self.object(name)

    def intact(self, name: str, digest: Digest) -> Future[bool]:
        """Whether an object that is in the store is intact."""
        return self._once("intact", str(digest), lambda: self._thread(lambda: self._intact.look(name, digest)))

    async def _copied(self, name: str, digest: Digest) -> bool:
        """Whether an output of this digest was copied, and is in the store, intact and recorded."""
        copier = self._copier
        if copier is None:
            return False
        offer = self._offered.pop(name, None)
        found = offer or await self._thread(lambda: copier.offers.find_output(name, digest))
        if found is None:
            return False
        async with self._fetching.take(self._urgency.get(f"substitute {name}", 0.0), "one"):
            self._refuse_when_halted()
            if await self._step(f"substitute {name}", self.graph[name], lambda: copier.copy(name, found)):
                self._intact.add(digest)
        return digest in self._intact

    async def _build(self, name: str) -> Digest:
        node = self.graph[name]
        sources = [self.source(node, source) for source in node.sources]
        while True:
            made: list[Awaitable[Any]] = [self._all([self._there(i) for i in node.build]), self._all(sources)]
            digests, files = await self._all(made)
            inputs = list(zip(node.build, digests, strict=True))
            by_name = dict(zip((s.name for s in node.sources), files, strict=True))
            digest = await self._made_of(node, inputs, by_name)
            if digest is not None:
                self._made[name] = digest
                self._intact.add(digest)
                return digest
            await self._all([self.object(i) for i in node.build])  # what was damaged is made again

    async def _made_of(self, node: Node, inputs: list[tuple[str, Digest]], files: Mapping[str, Path]) -> Digest | None:
        """The digest of what was built with these inputs; None if one of them was found damaged meanwhile."""
        step = f"build {node.name}"
        looks = [partial(self.intact, *one) for one in inputs if one[1] not in self._intact]
        whole = Gate(self._loop, looks, after=_GIVE_WAY)  # what they are looked at for comes first
        async with self._turn(step, cores_use(node)) as share:
            self._refuse_when_halted()
            built, published = Event(self._loop), Future[Digest | None](self._loop)

            def make() -> None:
                def tell(digest: Digest | None) -> None:
                    self._loop.call_from_thread(published.set_unless_done, digest)
                    if node.name in self._awaited:  # what this thread has left to do would hold up what waits for it
                        time.sleep(_GIVE_WAY)

                call = partial(self._loop.call_from_thread, built.set)
                self._maker.make(node, inputs, files, share, intact=whole.wait, built=call, published=tell)

            def end(ended: Future[None]) -> None:
                built.set()
                if not published.done():
                    published.fail_as(ended)

            task = self._loop.task(self._step(step, node, make))
            task.then(end)
            self._records.append(task)
            if self._made and node.name in self._awaited and self._cores.one_runs:  # there is time for what comes next
                self._loop.call_later(_GIVE_WAY, lambda: self._loop.in_thread(partial(self._room.make_ahead, BUILD)))
            await built.wait()  # the next may start while this one's output is brought to the disk,
            if self._cores.next_is_less_urgent(self.options.after.get(step, 0.0)):
                await gather(self._loop, [published], whole=True)  # unless the longest path leads on from here
        return await published

    def checked(self, name: str) -> Awaitable[None]:
        """Returns when the check of a node has passed."""
        return self._once("check", name, lambda: self._check(name))

    def source(self, node: Node, source: Source) -> Awaitable[Path]:
        """The verified file of a source, fetched if need be."""
        return self._once("source", source.sha256 or source.name, lambda: self._source(node, source))

    async def _source(self, node: Node, source: Source) -> Path:
        await self._held()
        async with self._fetching.take(self._urgency.get(source.name, 0.0), "one"):
            self._refuse_when_halted()
            return await self._step(f"fetch {source.file_name}", node, lambda: self._intact_source(node, source))

    def _intact_source(self, node: Node, source: Source) -> Path:
        stopped, monitor = self._stop.is_set, self.monitor
        return intact_source(self.layout, node, source, fetch=self._fetch_one, stopped=stopped, monitor=monitor)

    def _turn(self, step: str, use: Use) -> AbstractAsyncContextManager[Share]:
        """A step's turn, before all that is less urgent, and its share of the cores."""
        return self._cores.take(self._urgency.get(step, 0.0), use)

    def _refuse_when_halted(self) -> None:
        if self._halted:
            raise Blocked

    async def _step(self, step: str, node: Node, work: Callable[[], T]) -> T:
        """Run blocking work in a thread; its failure is reported once and becomes Blocked for all that wait."""
        began = time.monotonic()
        try:
            return await self._thread(work)
        except OSError as error:
            failure: OrchError = machine_error(error, f"{step} in", self.layout.root)
        except OrchError as error:
            failure = error
        self.report.failures.append((step, failure))
        seconds = time.monotonic() - self._maker.began.get(step, began)
        why = f": {failure.why}" if failure.why and "\n" not in failure.why else ""
        self.monitor(StepFinished(step=step, outcome="failed", seconds=seconds, detail=f"{failure.what}{why}"))
        self._halted = self._halted or not self.options.keep_going
        raise Blocked from failure

    # -- checks ----------------------------------------------------------------------------------------------------

    async def _check(self, name: str) -> None:
        node = self.graph[name]
        names = check_mounts(self.graph, node)
        digests = dict(zip(names, await self._all([self.digest(i) for i in names]), strict=True))
        document = check_document(self.graph, node, digests[name], digests)
        if read_check(self.layout, key_of(document)) is not None or await self._passed_elsewhere(node, names, document):
            return
        # Made again, an output may have other bytes than its record says: what is in the store is what is checked.
        digests = dict(zip(names, await self._all([self.object(i) for i in names]), strict=True))
        async with self._turn(f"check {name}", cores_use(node, node.check)) as share:
            self._refuse_when_halted()
            await self._step(f"check {name}", node, lambda: self._maker.check(node, digests, share))

    async def _passed_elsewhere(self, node: Node, names: Iterable[str], document: dict[str, Any]) -> bool:
        copier, seen = self._copier, [self._offered[name] for name in names if name in self._offered]
        return copier is not None and await self._thread(lambda: copier.check(node, key_of(document), document, seen))
