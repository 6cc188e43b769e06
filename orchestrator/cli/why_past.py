"""Reads from the store what an earlier success of a goal or an image was made of. Says nothing, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.digest import Digest
from orchestrator.frozen import frozen
from orchestrator.graph.causes import Side
from orchestrator.store import (
    latest_realisation,
    read_goal_document,
    read_realisation,
    recent_builds,
    recent_goals,
)

if TYPE_CHECKING:
    from orchestrator.store import BuildRecord, Goal, ImageRecord, Layout

_SLACK = 5.0  # seconds between the end of a run and the record of it


@frozen
class Past:
    """An earlier success. `versions` are those of what it runs with."""

    key: str
    finished: float  # seconds since 1970, UTC; 0: not known
    options: tuple[tuple[str, str], ...]
    side: Side
    versions: Mapping[str, str]
    dated: bool = False  # a record of an older orch, which did not keep what its parts were made of


def past_goal(layout: Layout, goal: Goal, new: Side) -> Past:
    """What a goal was made of then. `new` is what it is made of now: what is the same is not read again."""
    return Past(
        key=str(goal.key),
        finished=goal.finished,
        options=goal.options,
        side=_side(layout, [goal], {}, new),
        versions={item.name: item.version for item in goal.closure},
        dated=all(item.derivation is None for item in goal.closure),
    )


def past_image(layout: Layout, record: ImageRecord, new: Side) -> Past:
    """What an image was made of then."""
    keys = {one.name: str(one.key) for one in record.components if one.key is not None}
    goals = []
    for name in new.closures:
        found = recent_goals(layout, name, record.options)
        goals += [goal for goal in found if _fits(goal, keys)][:1]
    run = run_of_image(layout, record)
    return Past(
        key=str(record.key),
        finished=run.began + run.seconds if run is not None else 0.0,
        options=record.options,
        side=_side(layout, goals, keys, new),
        versions={one.name: one.version for one in record.components},
    )


def _fits(goal: Goal, keys: Mapping[str, str]) -> bool:
    return all(str(item.derivation) == keys.get(item.name, str(item.derivation)) for item in goal.closure)


def _side(layout: Layout, goals: Iterable[Goal], start: Mapping[str, str], new: Side) -> Side:
    keys, closures = dict(start), {}
    whole = True
    for goal in goals:
        own = {item.name: str(item.derivation or "") for item in goal.closure}
        document = read_goal_document(layout, goal.key)
        closures[goal.goal] = document if document is not None else {"nodes": own}
        whole = whole and document is not None
        keys |= own
        for check in (document or {}).get("checks", {}).values():
            keys |= check["inputs"]
    documents: dict[str, Mapping[str, Any]] = {}
    todo = list(keys)
    while todo:
        name = todo.pop()
        found = _document(layout, name, keys[name], new)
        if found is None:
            whole = False
            continue
        documents[name] = found
        for one, key in found.get("inputs", {}).items():
            if one not in keys:
                keys[one] = key
                todo.append(one)
    runtime = dict(_runtimes(layout, keys, documents, closures, new))
    return Side(keys=keys, documents=documents, closures=closures, whole=whole, runtime=runtime)


def _runtimes(
    layout: Layout,
    keys: Mapping[str, str],
    documents: Mapping[str, Mapping[str, Any]],
    closures: Mapping[str, Mapping[str, Any]],
    new: Side,
) -> Iterator[tuple[str, frozenset[str]]]:
    """What those ran with whose users lost an input: only for them it matters."""
    both = [name for name in documents if name in new.documents]
    pairs = [(documents[name].get("inputs", {}), new.documents[name]["inputs"]) for name in both]
    pairs += [(one["nodes"], new.closures[goal]["nodes"]) for goal, one in closures.items() if goal in new.closures]
    for name in {one for was, now in pairs if was.keys() - now.keys() for one in was.keys() & now.keys()}:
        found = read_realisation(layout, Digest.parse(keys[name])) if keys[name] else None
        if found is not None:
            yield name, frozenset(found.runtime)


def _document(layout: Layout, name: str, key: str, new: Side) -> Mapping[str, Any] | None:
    if not key:
        return None
    if new.keys.get(name) == key:
        return new.documents[name]
    found = read_realisation(layout, Digest.parse(key))
    return found.document if found is not None else None


def run_of_goal(layout: Layout, goal: Goal) -> BuildRecord | None:
    """The record of the run that finished a goal, if there is one: a run that built and checked nothing leaves none."""
    runs = (run for run in _until(layout, goal.finished) if run.began <= goal.finished)
    output = str(goal.output)
    return next((run for run in runs if run.verb == "image" or run.outputs.get(goal.goal) == output), None)


def _until(layout: Layout, finished: float) -> Iterator[BuildRecord]:
    for run in recent_builds(layout):
        if run.began + run.seconds + _SLACK < finished:
            return
        yield run


def run_of_image(layout: Layout, record: ImageRecord) -> BuildRecord | None:
    """The record of the run that made an image, if there is one."""
    runs = recent_builds(layout, record.name)
    return next((run for run in runs if run.outputs.get(record.name) == str(record.manifest)), None)


def took(layout: Layout, name: str, key: Digest | None = None) -> float | None:
    """How long a recipe's build took: with this key, else the last time; None if nobody knows."""
    found = read_realisation(layout, key) if key is not None else None
    found = found or latest_realisation(layout, name)
    return found.seconds if found is not None else None
