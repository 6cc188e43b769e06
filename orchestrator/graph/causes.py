"""Which nodes of a graph moved since an earlier success, and which of them only because of others. Pure.

A node with a change of its own is a cause. One whose inputs alone moved is told under the causes it goes back to. What
is not recorded is unknown, which is never the same as unchanged. Asks no store: who calls has read the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from orchestrator.frozen import field, frozen
from orchestrator.graph.closure import check_mounts, closure_document
from orchestrator.graph.derivation import Graph
from orchestrator.graph.explain import Change, changes
from orchestrator.graph.keys import derivation_document

__all__ = ["NOT_ASKED", "Causes", "Kind", "Moved", "Side", "causes", "grouped", "side_of"]

# changed: a change of its own; inputs: only through others; runtime: its key is the same, what it runs with is not;
# check: its check moved or sees what did; new, gone: in one of the two only; unknown: the record before is missing.
Kind = Literal["changed", "inputs", "runtime", "check", "new", "gone", "unknown"]
CAUSES = ("changed", "runtime", "unknown")
NOT_ASKED = "no longer among this goal's checks"  # of a node that has left what the goal runs with


@frozen
class Side:
    """What is known of one of two graphs. A name in `keys` and not in `documents` is one whose record is missing."""

    keys: Mapping[str, str]  # derivation keys by name; "" where it is not known
    documents: Mapping[str, Mapping[str, Any]]
    closures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by goal; of old records only `nodes`
    whole: bool = True  # a name that is not in `keys` was not in the graph
    runtime: Mapping[str, frozenset[str]] = field(default_factory=dict)  # runtime closures, where they are known


@frozen
class Moved:
    """A node that is not what it was. `because` names the causes that it goes back to, itself not among them."""

    name: str
    kind: Kind
    before: str = ""  # the version, where it is known
    after: str = ""
    changes: tuple[Change, ...] = ()  # its own
    inputs: tuple[str, ...] = ()  # those that moved
    because: tuple[str, ...] = ()


@frozen
class Causes:
    """All that moved. `unrecorded`: goals whose checks and runtime environment of before are not known."""

    nodes: tuple[Moved, ...]  # dependencies first
    checks: tuple[Moved, ...]
    unrecorded: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[Moved, ...]:
        """The causes, dependencies first."""
        return tuple(one for one in self.nodes if one.kind in CAUSES)


def side_of(graph: Graph, keys: Mapping[str, Any]) -> Side:
    """All of a graph; `keys` are its derivation keys."""
    return Side(
        keys={name: str(key) for name, key in keys.items()},
        documents={
            node.name: derivation_document(node, {name: keys[name] for name in node.build}) for node in graph.nodes
        },
        closures={goal: closure_document(graph, goal, keys) for goal in graph.goals},
    )


def causes(old: Side, new: Side, graph: Graph) -> Causes:
    """What leads from `old` to `new`, which is `side_of(graph, ...)`."""
    runtime, brought = _runtime(old, new), _brought(old, new, graph)
    moved: dict[str, Moved] = {}
    for node in graph.nodes:  # dependencies first
        own = (*brought.get(node.name, ()), *runtime.get(node.name, ()))
        if old.keys.get(node.name) != new.keys[node.name]:
            moved[node.name] = _moved(node.name, old, new, graph, moved, own)
        elif own:
            version = node.version
            moved[node.name] = Moved(name=node.name, kind="runtime", before=version, after=version, changes=own)
    gone = [
        Moved(name=name, kind="gone", before=_version(old.documents.get(name)))
        for name in sorted(old.keys.keys() - new.keys.keys())
    ]
    return Causes(
        nodes=(*moved.values(), *gone),
        checks=tuple(_checks(old, new, graph, moved)),
        unrecorded=tuple(goal for goal in graph.goals if "checks" not in old.closures.get(goal, {})),
    )


def grouped(moved: Iterable[Moved]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Names of what moved through others alone, by the causes that they go back to."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in moved:
        if one.kind in ("inputs", "check") and one.because:
            found[one.because] = (*found.get(one.because, ()), one.name)
    return found


def _version(document: Mapping[str, Any] | None) -> str:
    return str(document.get("version", "")) if document is not None else ""


def _inputs(document: Mapping[str, Any] | None) -> Mapping[str, Any]:
    inputs = document.get("inputs") if document is not None else None
    return inputs if isinstance(inputs, dict) else {}


def _moved(
    name: str, old: Side, new: Side, graph: Graph, moved: Mapping[str, Moved], beside: Sequence[Change]
) -> Moved:
    before, after = old.documents.get(name), new.documents[name]
    version = _version(after)
    if name not in old.keys:
        # The inputs of a node whose record is missing are not known: this may have been one of them.
        return Moved(name=name, kind="new" if old.whole else "unknown", after=version)
    if before is None:
        return Moved(name=name, kind="unknown", after=version)
    was, now = _inputs(before), _inputs(after)
    come = [one for one in now if one not in was]
    inherited = {one: _bringer(one, was, now, graph) for one in come}
    own = changes(_own(before), _own(after))
    texts = [f"input {one} added" for one in come if inherited[one] is None]
    left = {one: _leaver(one, was, now, graph, old) for one in sorted(was) if one not in now}
    texts += [f"input {one} removed" for one, by in left.items() if by is None]
    if texts:
        own.append(Change(field="inputs", texts=tuple(texts)))
    own += beside
    inputs = [one for one in now if one in was and was[one] != now[one]]
    others = [one for one in (*inherited.values(), *left.values()) if one is not None]
    because = _roots([*inputs, *others], moved)
    kind: Kind = "changed" if own else "inputs"
    if not own and not because:
        kind = "unknown"  # the record says the same, and has another key: it is no record of this
    return Moved(
        name=name,
        kind=kind,
        before=_version(before),
        after=version,
        changes=tuple(own),
        inputs=tuple(inputs),
        because=because,
    )


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in document.items() if field != "inputs"}


def _roots(names: Iterable[str], moved: Mapping[str, Moved]) -> tuple[str, ...]:
    """The causes that these go back to, dependencies first."""
    found: set[str] = set()
    for name in names:
        if name in moved:
            one = moved[name]
            found.update(one.because)
            if one.kind in CAUSES:
                found.add(name)
    return tuple(name for name in moved if name in found)


def _bringer(name: str, was: Mapping[str, Any], now: Mapping[str, Any], graph: Graph) -> str | None:
    """The input, there before and now, which `name` is mounted for: it now runs with it. Of several the lowest."""
    users = [one for one in now if one in was and one in graph and name in graph[one].runtime]
    lowest = [one for one in users if not any(other in graph[one].runtime for other in users)]
    return min(lowest, default=None)


def _leaver(name: str, was: Mapping[str, Any], now: Mapping[str, Any], graph: Graph, old: Side) -> str | None:
    """The input, there before and now, which `name` was mounted for: it ran with it. Of several the lowest."""
    users = [
        one
        for one in now
        if one in was and one in graph and name in old.runtime.get(one, ()) and name not in graph[one].runtime
    ]
    lowest = [one for one in users if not any(other in graph[one].runtime for other in users)]
    return min(lowest, default=None)


def _brought(old: Side, new: Side, graph: Graph) -> dict[str, tuple[Change, ...]]:
    """The runtime inputs that nodes were seen to have gained or lost, by what is mounted with them elsewhere."""
    pairs = [(_inputs(was), _inputs(new.documents[name])) for name, was in old.documents.items() if name in new.keys]
    pairs += [(old.closures[goal]["nodes"], now["nodes"]) for goal, now in new.closures.items() if goal in old.closures]
    found: dict[str, dict[str, None]] = {}
    for was, now in pairs:
        for one in now:
            if one not in was and (bringer := _bringer(one, was, now, graph)) is not None:
                found.setdefault(bringer, {})[f"runtime input {one} added"] = None
        for one in was:
            if one not in now and (leaver := _leaver(one, was, now, graph, old)) is not None:
                found.setdefault(leaver, {})[f"runtime input {one} removed"] = None
    for goal, now in new.closures.items():
        for one in old.closures.get(goal, now)["nodes"]:
            if one not in now["nodes"] and not any(f"runtime input {one} removed" in texts for texts in found.values()):
                found.setdefault(goal, {})[f"runtime input {one} removed"] = None
    return {name: (Change(field="runtime", texts=tuple(texts)),) for name, texts in found.items()}


def _runtime(old: Side, new: Side) -> dict[str, tuple[Change, ...]]:
    """Changes of the environment and the loader's directories that nodes declare for who runs with them."""
    found: dict[str, tuple[Change, ...]] = {}
    for goal, now in new.closures.items():
        was = old.closures.get(goal, {})
        for name in now["nodes"]:
            if name not in was.get("environment", {}):
                continue  # new to the closure, which is told as such, or not recorded
            texts = tuple(_environment(was["environment"][name], now["environment"][name]))
            own = [Change(field="environment", texts=texts)] if texts else []
            own += changes({"ldconf": was["ldconf"][name]}, {"ldconf": now["ldconf"][name]})
            if own:
                found[name] = tuple(own)
    return found


def _environment(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> Iterator[str]:
    before, after = {one[0]: one[1] for one in old}, {one[0]: one[1] for one in new}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"environment {name}: {before.get(name, 'unset')} -> {after.get(name, 'unset')}"


def _checks(old: Side, new: Side, graph: Graph, moved: Mapping[str, Moved]) -> Iterator[Moved]:
    """The checks that are not what they were, or that see what moved."""
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    there: set[str] = set()
    for goal, closure in new.closures.items():
        now |= closure["checks"]
        there |= set(closure["nodes"])
        before = old.closures.get(goal, {})
        if "checks" in before:
            was |= {name: before["checks"].get(name) for name in before["nodes"]}
    for name in (name for name in graph.names if name in {*was, *now}):
        own: tuple[Change, ...] = ()
        if was.get(name) is not None and name not in there:
            own = (Change(field="check", texts=(NOT_ASKED,)),)
        elif name in was:
            own = tuple(_check_changes(was[name], now.get(name)))
        seen = _roots(check_mounts(graph, graph[name]), moved) if name in now else ()
        # What is unknown may be as it was: no reason to say that a check moved.
        because = tuple(one for one in seen if moved[one].kind != "unknown")
        if own or because:
            version = graph[name].version
            yield Moved(name=name, kind="check", before=version, after=version, changes=own, because=because)


def _check_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Change]:
    if before is None or after is None:
        if before is not after:
            yield Change(field="check", texts=("it has no check any more" if before else "it has a check now",))
        return
    yield from changes(_own(before), _own(after))
    texts = [f"input {one} added" for one in _inputs(after) if one not in _inputs(before)]
    texts += [f"input {one} removed" for one in _inputs(before) if one not in _inputs(after)]
    if texts:
        yield Change(field="inputs", texts=tuple(texts))
