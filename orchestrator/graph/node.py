"""A choice and what is mounted for it become a node. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.frozen import NamedTuple
from orchestrator.graph.choose import Choice
from orchestrator.graph.derivation import Check, LocalFile, Node, Source
from orchestrator.recipe.model import SourceEntry
from orchestrator.recipe.source_name import file_name


class Mounts(NamedTuple):
    """Names top first, a base last: as in Node.build, Node.runtime and Check.inputs."""

    build: tuple[str, ...]
    runtime: tuple[str, ...]
    check: tuple[str, ...]


def _source(choice: Choice, entry: SourceEntry, index: int) -> Source:
    unpack = choice.name if entry.unpack is None else entry.unpack
    return Source(
        name=entry.from_,
        file_name=file_name(entry.from_),
        sha256=entry.sha256,
        tree=entry.tree,
        size=entry.size,
        unpack=unpack or None,
        where=f"{choice.recipe.where}: versions.{choice.version}.sources[{index}]",
    )


def _sources(choice: Choice) -> Iterator[Source]:
    """The sources that the options leave; of a base, its .debs."""
    options = dict(choice.options)
    for index, entry in enumerate(choice.entry.sources):
        if all(options[name] == value for name, value in entry.when.items()):
            yield _source(choice, entry, index)
    lock = choice.recipe.locks.get(choice.entry.lock or "")
    for deb in lock.debs if lock else ():
        yield Source(
            name=f"debian:{deb.path}",
            file_name=file_name(f"debian:{deb.path}"),
            sha256=deb.sha256,
            size=deb.size,
            where=f"{choice.recipe.where.rpartition('/')[0]}/{choice.entry.lock}: {deb.name}",
        )


def _flags(choice: Choice) -> Iterator[str]:
    """The version's own, then those of the options that it reads, in the order of `when` and `reads`."""
    yield from choice.entry.flags
    for name, value in choice.options:
        if name in choice.recipe.options:
            yield from choice.recipe.options[name].values[value].flags


def _local(choice: Choice, names: Sequence[str]) -> tuple[LocalFile, ...]:
    return tuple(choice.recipe.files[name] for name in names)


def make_node(choice: Choice, mounts: Mounts, platform: str, *, checked: bool) -> Node:
    """The node of `choice`; it has its check only if that is run in this graph."""
    recipe, entry, parts = choice.recipe, choice.entry, choice.parts
    check = None
    if checked and parts.check is not None:
        check = Check(script=parts.check.script, files=_local(choice, parts.check.files), inputs=mounts.check)
    return Node(
        name=recipe.name,
        version=choice.version,
        origin=entry.origin,
        platform=platform,
        summary=recipe.summary,
        builder="debian-base" if choice.is_base else "script",
        is_base=choice.is_base,
        options=tuple(sorted(choice.options)),
        flags=tuple(_flags(choice)),
        sources=tuple(_sources(choice)),
        patches=_local(choice, entry.patches),
        files=_local(choice, parts.build.files if parts.build else ()),
        script=parts.build.script if parts.build else "",
        setuid=recipe.base.setuid if recipe.base else (),
        build=mounts.build,
        runtime=mounts.runtime,
        check=check,
        environment=tuple(sorted(parts.runtime.env.items())),
        ldconf=parts.runtime.ldconf,
        locked=entry.locked,
        where=recipe.where,
    )
