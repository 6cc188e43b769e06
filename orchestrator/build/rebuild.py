"""Builds again what exists, in surroundings made different on purpose, and compares the bytes.

Other processors, another kernel release, later. The object in the store is never replaced; a tree that differs is kept.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.build.action import Variation, Work, build
from orchestrator.build.run_options import RunOptions
from orchestrator.build.sources import Fetch, intact_source
from orchestrator.digest import Digest
from orchestrator.errors import OrchError
from orchestrator.events import Monitor, Notice, StepFinished, StepsAdded, StepStarted
from orchestrator.frozen import frozen
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.keys import derivation_keys
from orchestrator.store import Layout, new_log, object_tree, read_manifest, read_realisation, staging
from orchestrator.tree import differences, remove_tree


@frozen
class Verdict:
    """What building one node again showed. `differences` is empty when every byte was the same."""

    name: str
    seconds: float
    differences: tuple[str, ...] = ()
    kept: Path | None = None
    error: OrchError | None = None

    @property
    def same(self) -> bool:
        return not self.differences and self.error is None


def processor_sets(available: frozenset[int], jobs: int) -> tuple[tuple[int, ...], ...]:
    """One set of processors per job, none of them all that there are (unless there is only one)."""
    ordered = sorted(available)
    if len(ordered) == 1:
        return (tuple(ordered),) * jobs
    jobs = min(jobs, len(ordered))
    if jobs == 1:
        return (tuple(ordered[1:]),)
    return tuple(tuple(ordered[i::jobs]) for i in range(jobs))


def other_cores(mine: int, *, first: object) -> int:
    """The number that a second build is told it has: not the first's, or a dependence on it would not be seen."""
    return mine + 1 if mine == first else mine


def rebuild(
    graph: Graph, outputs: Mapping[str, Digest], layout: Layout, *, options: RunOptions, fetch: Fetch, monitor: Monitor
) -> tuple[Verdict, ...]:
    """Build every node in `outputs` again and compare; at most `options.jobs` at once.

    Raises nothing for a build that fails or differs: the Verdict says so.
    """
    available = frozenset(os.sched_getaffinity(0))
    if len(available) == 1:
        monitor(Notice(text="this machine lends one processor: a dependence on the core count cannot be caught here"))
    sets = list(processor_sets(available, options.jobs))
    lock = threading.Lock()
    stop = threading.Event()

    def one(node: Node) -> Verdict:
        with lock:
            cpus = sets.pop()
        try:
            made = read_realisation(layout, keys[node.name])
            first = made.sandbox.get("cores") if made is not None else None
            return _again(node, outputs, layout, cpus=cpus, made_with=first, fetch=fetch, monitor=monitor, stop=stop)
        finally:
            with lock:
                sets.append(cpus)

    nodes = [node for node in graph.nodes if node.name in outputs]
    keys = derivation_keys(graph)
    monitor(StepsAdded(steps=tuple(f"rebuild {node.name}" for node in nodes)))
    with ThreadPoolExecutor(max_workers=len(sets)) as pool:
        try:
            return tuple(pool.map(one, nodes))
        except BaseException:
            stop.set()
            raise


def _again(
    node: Node,
    outputs: Mapping[str, Digest],
    layout: Layout,
    *,
    cpus: tuple[int, ...],
    made_with: object,
    fetch: Fetch,
    monitor: Monitor,
    stop: threading.Event,
) -> Verdict:
    step = f"rebuild {node.name}"
    existing = outputs[node.name]
    log = new_log(layout, f"{node.name}-rebuild", existing)
    monitor(StepStarted(step=step, log=log))
    began = time.monotonic()
    kept = None
    try:
        files = {
            source.name: intact_source(layout, node, source, fetch=fetch, stopped=stop.is_set, monitor=monitor)
            for source in node.sources
        }
        with staging(layout, node.name) as stage:
            variation = Variation(cpus=cpus, old_kernel_release=True)
            cores = other_cores(len(cpus), first=made_with)
            work = Work(
                step=step, layout=layout, stage=stage, log=log, cores=cores, monitor=monitor, stop=stop,
                variation=variation,
            )  # fmt: skip
            tree, manifest = build(node, files, [(name, outputs[name]) for name in node.build], work)
            found = tuple(differences(read_manifest(layout, existing), manifest))
            if found:
                kept = layout.failed / f"{node.name}-rebuilt-{manifest.digest.hex[:12]}"
                kept.parent.mkdir(exist_ok=True)
                remove_tree(kept)
                tree.rename(kept)
    except OrchError as error:
        monitor(StepFinished(step=step, outcome="failed", seconds=time.monotonic() - began, detail=error.what))
        return Verdict(name=node.name, seconds=time.monotonic() - began, error=error)
    seconds = time.monotonic() - began
    outcome = "differs" if found else "identical"
    detail = f"against {object_tree(layout, existing)}" if found else ""
    monitor(StepFinished(step=step, outcome=outcome, seconds=seconds, detail=detail))
    return Verdict(name=node.name, seconds=seconds, differences=found, kept=kept)
