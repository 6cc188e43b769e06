"""The words of `orch why`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.numbers import seconds_text
from orchestrator.cli.why_data import IN_NO_KEY, find
from orchestrator.graph.causes import NOT_ASKED, grouped

if TYPE_CHECKING:
    from orchestrator.cli.why import Answer, Saved
    from orchestrator.cli.why_past import Past
    from orchestrator.graph.causes import Moved
    from orchestrator.graph.explain import Change

_LINES = 40  # of one field
_BUILT = ("changed", "inputs", "new")  # kinds of what has another derivation key
_SHOWN = 12  # names in a line of text; --json has all


def when_text(seconds: float) -> str:
    """`2026-11-22 22:01:03 UTC`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else "at a time that is not known"


def _short(key: str) -> str:
    return key.partition(":")[2][:12]


def _options(options: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"{name}={value}" for name, value in options) or "the default options"


def some_names(names: Iterable[str]) -> str:
    """Names with commas between them, not more than one reads."""
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def answer_lines(told: Answer) -> Iterator[str]:
    """The whole answer."""
    yield from _head(told)
    found = told.found
    if found is None:
        yield from _not_copied(told)
        return
    if told.past is not None and told.past.dated:
        yield from _dated(told, told.past)
        return
    yield from (f"  {note}" for note in told.notes)
    for one in found.roots:
        if one.kind != "unknown":
            yield from _cause(one)
    yield from _unknown(told)
    for because, names in grouped(found.nodes).items():
        yield f"{some_names(names)}: because of {some_names(because)}"
    if new := [f"{one.name} {one.after}" for one in found.nodes if one.kind == "new"]:
        yield f"new: {some_names(new)}"
    if gone := [f"{one.name} {one.before}".strip() for one in found.nodes if one.kind == "gone"]:
        yield f"no longer needed: {some_names(gone)}"
    yield from _checks(told)
    yield from _steps(told)
    yield from _not_copied(told)
    if told.newer:
        files = [file for _, file in told.newer]
        when = "the last build" if told.done else "that"
        yield f"not rebuilt, though newer than {when}: {some_names(name for name, _ in told.newer)}"
        yield f"  what changed in {some_names(files)} is in no key: {IN_NO_KEY}"


def _head(told: Answer) -> Iterator[str]:
    options = f" with {_options(told.options)}" if told.options else ""
    verb = "made" if told.image else "built"
    if told.done:
        last = f"{told.name}: nothing to rebuild; last {verb} {when_text(told.finished)}, key {_short(told.key)}"
        if told.past is None:
            yield f"{last}; no success before that is recorded{options}"
            return
        yield f"{last}, because since the success of {when_text(told.past.finished)}, key {_short(told.past.key)}:"
        return
    past = told.past
    if past is None:
        command = f"orch image {told.name} --dry-run" if told.image else f"orch plan {told.name}"
        yield f"{told.name}: never {verb} in this store{options}; {command} says what that takes"
        return
    text = f"{when_text(past.finished)}, key {_short(past.key)}"
    if told.key == past.key:
        yield f"{told.name}: nothing changed since its last success, {text}, but not all of it is there:"
    elif told.same_options:
        yield f"{told.name}: {_todo(told)}; since its last success, {text}:"
    else:
        yield f"{told.name}: never {verb} with {_options(told.options)}; nearest success: with {_options(past.options)}"
        yield f"since that one, {text}:"


def _todo(told: Answer) -> str:
    """What is to come, as far as it is certain: most may be cut off."""
    if told.image:
        return "to be made again"
    if told.name in told.build:
        return "to be built again"
    if told.name in told.saved.names:
        return "perhaps to be built again"
    if told.build or told.saved.names:
        return "to be built again in part"
    return "to be checked again" if told.check or not told.saved.checks else "perhaps to be checked again"


def _dated(told: Answer, past: Past) -> Iterator[str]:
    moved = [
        f"{name} {version} -> {told.graph[name].version}"
        for name, version in past.versions.items()
        if name in told.graph and told.graph[name].version != version
    ]
    if moved:
        yield f"other versions: {some_names(moved)}"
    yield "unknown: what else moved; that record is of an older orch, which did not keep what each part was made of"
    yield f"  orch plan {told.name} compares each recipe with its own last success"
    yield from _steps(told)


def _cause(one: Moved) -> Iterator[str]:
    version = one.after if one.before in ("", one.after) else f"{one.before} -> {one.after}"
    how = "is the same, but not for what runs with it" if one.kind == "runtime" else "changed"
    also = f", and because of {some_names(one.because)}" if one.because else ""
    yield f"{one.name} {version} {how}{also}:"
    yield from _change_lines(one.changes)


def _change_lines(changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        yield from _first(f"  {text}" for text in change.texts)
        yield from _first(f"    {line}" for line in change.lines)


def _first(lines: Iterable[str]) -> Iterator[str]:
    """As many as one looks at."""
    found = list(lines)
    yield from found[:_LINES]
    if len(found) > _LINES:
        yield f"    and {len(found) - _LINES} lines more, which --json has"


def _unknown(told: Answer) -> Iterator[str]:
    found, past = told.found, told.past
    assert found is not None
    names = []
    for one in found.nodes:
        if one.kind == "unknown":
            was = past.versions.get(one.name, "") if past is not None else ""
            names.append(f"{one.name} {was} -> {one.after}" if was not in ("", one.after) else one.name)
    if names:
        yield f"unknown: {some_names(names)}: what they were made of is not recorded, or the record is damaged"
    if found.unrecorded:
        goals = "" if found.unrecorded == (told.name,) else f" of {some_names(found.unrecorded)}"
        yield f"unknown: whether checks or the runtime environment{goals} changed: no record says what they were"


def _spared(told: Answer, check: Moved) -> bool:
    """Whether a check did not run because of what moved: it was cut off, or ran only for a change of its own."""
    return told.done and (check.name in told.saved.checks or set(check.because) <= set(told.same_bytes))


def _checks(told: Answer) -> Iterator[str]:
    found = told.found
    assert found is not None
    left = [one.name for one in found.checks if any(NOT_ASKED in change.texts for change in one.changes)]
    for one in found.checks:
        if one.changes and one.name not in left:
            yield f"check of {one.name} changed:"
            yield from _change_lines(one.changes)
    if left:
        yield f"check of {some_names(left)}: {NOT_ASKED}"
    for because, names in grouped(one for one in found.checks if not _spared(told, one)).items():
        yield f"check of {some_names(names)}: because of {some_names(because)}"


def _steps(told: Answer) -> Iterator[str]:
    saved = told.saved
    if told.done:
        if not told.recorded:
            yield "what was built then and what was cut off is unknown: there is no record of that run"
            return
        if told.build:
            same = f"; the same bytes as before: {some_names(told.same_bytes)}" if told.same_bytes else ""
            yield f"built then: {some_names(told.build)}{same}"
        if saved.names:
            yield f"cut off then: {some_names(saved.names)}: their inputs came out the same; that saved {_time(saved)}"
        if saved.checks:
            yield f"checks cut off then: {some_names(saved.checks)}: they had passed with the same bytes before"
        return
    for reason in dict.fromkeys(reason for _, reason in told.lost):
        yield f"{some_names(name for name, why in told.lost if why == reason)}: {reason}"
    if told.found is not None and not told.image:
        todo = {*told.build, *told.saved.names}
        there = [one.name for one in told.found.nodes if one.kind in _BUILT and one.name not in todo]
        if there:
            yield f"there already, built for another goal or before: {some_names(there)}"
    if told.build:
        yield f"to build: {some_names(told.build)}"
    if told.check:
        yield f"to check: {some_names(told.check)}"
    if saved.names:
        yield f"perhaps cut off: {some_names(saved.names)}: built only if an input comes out with other bytes"
        yield f"  that would save {_time(saved)}"
    if saved.checks:
        yield f"perhaps to check: {some_names(saved.checks)}"


def _not_copied(told: Answer) -> Iterator[str]:
    for why in dict.fromkeys(why for _, why in told.not_copied):
        yield f"not substituted: {some_names(name for name, reason in told.not_copied if reason == why)}: {why}"


def _time(saved: Saved) -> str:
    if saved.unknown == len(saved.names):
        return "a time that is not known"
    more = f" and {saved.unknown} builds of unknown length" if saved.unknown else ""
    return f"{seconds_text(saved.seconds)}{more}"


def node_lines(told: Answer, name: str) -> Iterator[str]:
    """The answer for one node."""
    node, check = find(told, name)
    yield from _head(told)
    label = told.graph[name].label if name in told.graph else name
    if told.found is None:
        return
    if told.past is not None and told.past.dated:
        yield f"{label}: unknown: that record is of an older orch, which did not keep what each part was made of"
        return
    yield from _node_reason(told, name, label, node)
    if node is not None and name in dict(told.newer):
        yield f"{dict(told.newer)[name]} is newer than that build; what changed in it is in no key: {IN_NO_KEY}"
    yield from (f"it was not substituted: {why}" for one, why in told.not_copied if one == name)
    if check is not None:
        yield from (f"its check: {line.strip()}" for line in _change_lines(check.changes))
        if told.done and name in told.saved.checks:
            yield "its check was cut off: it had passed with the same bytes before"
        elif check.because and not _spared(told, check):
            yield f"its check: because of {some_names(check.because)}"
    if name in told.saved.names:
        yield (
            "it was cut off: its inputs came out the same"
            if told.done
            else "it may be cut off: it is built only if an input comes out with other bytes"
        )


def _node_reason(told: Answer, name: str, label: str, node: Moved | None) -> Iterator[str]:
    assert told.found is not None
    if node is None:
        key = _short(told.side.keys[name])
        yield f"{label}: not rebuilt, because its key is the same, {key}: sources, patches, files, script, flags, the"
        yield "  options that it reads and all that is mounted for its build are what they were"
        newer = dict(told.newer)
        if name in newer:
            yield f"  {newer[name]} is newer than that; what changed in it is in no key: {IN_NO_KEY}"
        if name in dict(told.lost):
            yield f"  but it is built again: {dict(told.lost)[name]}"
        return
    if node.kind == "inputs":
        yield f"{label}: only inputs moved: {some_names(node.inputs)}; because of {some_names(node.because)}"
        for one in told.found.roots:
            if one.name in node.because and one.kind != "unknown":
                yield from _cause(one)
    elif node.kind == "new":
        yield f"{label}: new: it was not needed then"
    elif node.kind == "gone":
        yield f"{label}: no longer needed"
    elif node.kind == "unknown":
        yield f"{label}: unknown: what it was made of then is not recorded, or the record is damaged"
    else:
        yield from _cause(node)
