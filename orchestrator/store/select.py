"""Finds the one thing that a person names: a recipe, a key, a digest, a path in the store. What is unknown or means
several things is an error that says what was meant perhaps."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.frozen import frozen
from orchestrator.store.images import list_images
from orchestrator.store.index import Facts, Index, Size
from orchestrator.store.layout import Layout

_PREFIX = re.compile(r"(?:blake3:)?([0-9a-f]{4,64})")


@frozen
class Chosen:
    """An object of the store, and the newest derivation that led to it, if a record tells."""

    hex: str
    size: Size
    facts: Facts | None

    @property
    def label(self) -> str:
        """`ucx 1.22.0`, or the first digits of the object."""
        return f"{self.facts.name} {self.facts.version}" if self.facts else self.hex[:12]


def choose(layout: Layout, index: Index, text: str) -> Chosen:
    """The object that `text` means: NAME (its newest), NAME@VERSION, NAME@OPTION=VALUE, the first digits of a key or
    digest, a path into the store. Raise UsageError, or MachineError if a link may not be read."""
    if "/" in text or text in (".", ".."):
        return _of_object(index, _in_path(layout, text), text)
    if not index.has_name(text) and (found := _PREFIX.fullmatch(text)):
        return _by_prefix(index, found[1], text)
    name, _, wanted = (text, "", "") if index.has_name(text) else text.partition("@")
    if not index.has_name(name):
        if not index.has_name(f"wheel:{name}"):
            raise _unknown(layout, name, index.names())
        name = f"wheel:{name}"
    return _newest(index, name, [part for part in wanted.split(",") if part], text)


def _unknown(layout: Layout, name: str, names: Sequence[str]) -> UsageError:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "orch cache ls lists what there is"
    if any(image.name == name for image in list_images(layout)):
        hint = f"{name} is an image: orch cache du {name} says what it takes, orch graph {name} what it is made of"
    return UsageError(f"nothing in this store was made of {name!r}", where=str(layout.root), hint=hint)


def _in_path(layout: Layout, text: str) -> str:
    path = Path(text)
    resolved = Path(os.path.realpath(path))
    if resolved.is_relative_to(layout.objects) and resolved != layout.objects:
        return resolved.relative_to(layout.objects).parts[0]
    raise UsageError(
        f"{text} is no object of this store",
        where=str(layout.root),
        why="it does not exist" if not path.exists() else f"it is {resolved}",
        hint="a path of an object begins with " + str(layout.objects),
    )


def _of_object(index: Index, name: str, text: str) -> Chosen:
    size = index.size(name)
    if size is None:
        raise UsageError(f"{text} is no object of this store", hint="orch cache ls lists what there is")
    made = [one for one in index.facts(output=name) if one.kind != "check"]
    facts = max(made, key=lambda one: (one.kind == "derivation", one.finished), default=None)
    return Chosen(hex=name, size=size, facts=facts)


def _by_prefix(index: Index, prefix: str, text: str) -> Chosen:
    objects, records = index.beginning(prefix)
    found = dict.fromkeys(objects, "object")
    meant = {one.output for one in records if one.output is not None} | set(objects)
    if len(meant) > 1:
        found |= {one.key: f"{one.kind} {one.name} {one.version}" for one in records}
        digits = _digits(list(found))
        listed = "\n".join(f"{name[:digits]}  {label}" for name, label in sorted(found.items())[:9])
        raise UsageError(f"{text} begins several keys or digests", why=listed, hint="give more digits")
    if not meant:
        raise UsageError(
            f"no object or key in this store begins with {text}", hint="orch cache ls --json has them in full"
        )
    exact = max(records, key=lambda one: one.finished, default=None)
    size = index.size(next(iter(meant)))
    if size is None and exact is not None:
        raise _gone(exact)
    chosen = _of_object(index, next(iter(meant)), text)
    return Chosen(hex=chosen.hex, size=chosen.size, facts=exact) if exact is not None else chosen


def _digits(names: Sequence[str]) -> int:
    """How many digits tell these apart, at least 12."""
    return next((count for count in range(12, 64) if len({name[:count] for name in names}) == len(names)), 64)


def _newest(index: Index, name: str, wanted: Sequence[str], text: str) -> Chosen:
    made = sorted(index.facts("derivation", name=name), key=lambda one: one.finished, reverse=True)
    asked = [one for one in made if all(_is(one, part) for part in wanted)]
    if not asked:
        there = dict.fromkeys(described(one) for one in made)
        raise UsageError(f"there is no {text} in this store", why="there is " + ", ".join(there), hint="orch cache ls")
    for one in asked:
        size = index.size(one.output or "")
        if size is not None and one.output is not None:
            return Chosen(hex=one.output, size=size, facts=one)
    raise _gone(asked[0])


def _is(one: Facts, part: str) -> bool:
    option, equals, value = part.partition("=")
    return (option, value) in one.options if equals else one.version == part


def described(one: Facts) -> str:
    """`ucx@1.22.0,cuda=12`: what names a derivation among others of its recipe."""
    return f"{one.name}@{','.join([one.version, *(f'{name}={value}' for name, value in one.options)])}"


def _gone(one: Facts) -> UsageError:
    options = "".join(f" --set {name}={value}" for name, value in one.options)
    return UsageError(
        f"{one.name} {one.version} was made, but is no longer in the store",
        where=f"key {one.key[:12]}, object {(one.output or '')[:12]}",
        hint=f"orch build {one.name} --set {one.name}.version={one.version}{options} makes it again",
    )
