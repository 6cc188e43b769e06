"""`orch source lock`: what the sources of a version are is found out where their hosts answer, told, and written into
its recipe. What nobody vouches for is taken as it comes, once, and said to be: from then on it is pinned."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import Opened
from orchestrator.errors import MachineError, OrchError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.recipe.complete import Pin
    from orchestrator.recipe.model import Recipe, SourceEntry, Version
    from orchestrator.store import Layout

# Archives that their host packs anew, with other bytes some day: what is in them is pinned, not they.
_PACKED_ANEW = re.compile(r"https://(?:github\.com/[^/]+/[^/]+|gitlab\.[^/]+/.+/-)/archive/")

_ELSEWHERE = "run this where its host answers, or write a hash from a place that you trust into the recipe"


def lock(opened: Opened, layout: Layout, arguments: argparse.Namespace) -> int:
    """Complete the version that `arguments.version` names."""
    recipe, name = _version(opened, arguments.version)
    version = recipe.versions[name]
    wanted = [
        index for index, entry in enumerate(version.sources) if entry.sha256 is None and entry.tree is None
    ]  # fmt: skip
    pins: dict[int, Pin] = {}
    rows: list[dict[str, Any]] = []
    errors: list[OrchError] = []
    for index in wanted:
        entry = version.sources[index]
        try:
            pins[index], said_by = _look(opened, layout, recipe, entry)
        except OrchError as error:
            error.hint = _ELSEWHERE if isinstance(error, MachineError) else error.hint
            error.where = error.where or f"{recipe.where}: versions.{name}.sources[{index}]"
            errors.append(error)
            continue
        pin = pins[index]
        row = {"source": entry.from_, "sha256": pin.sha256, "tree": pin.tree, "bytes": pin.size, "said_by": said_by}
        rows.append(row)
        if not arguments.json:
            hash_text = f"sha256:{pin.sha256}" if pin.sha256 is not None else f"tree blake3:{pin.tree}"
            print(f"{entry.from_}\n  {hash_text}, {bytes_text(pin.size)}: {said_by}")
    if pins or not (version.locked or errors):
        _write(opened, recipe, name, pins)
    return _tell(recipe, name, version, rows, errors, arguments)


def _version(opened: Opened, text: str) -> tuple[Recipe, str]:
    """The recipe and version that `NAME@VERSION` names."""
    from orchestrator.recipe.parse import suggestion

    name, at, version = text.partition("@")
    if not at or not name or not version:
        raise UsageError(f"not a version of a recipe: {text!r}", hint="write NAME@VERSION, such as ucx@1.21.0")
    opened.refuse_unknown(name)
    recipe = opened.recipes[name]
    if version not in recipe.versions:
        raise UsageError(
            f"{name} has no version {version}", hint=suggestion(version, recipe.versions, label="versions")
        )
    if recipe.base is not None:
        raise UsageError(f"{name} is a base: its sources are in its lock file", hint=f"orch lock {name} writes it")
    return recipe, version


def _look(opened: Opened, layout: Layout, recipe: Recipe, entry: SourceEntry) -> tuple[Pin, str]:
    """What a source is that nobody has pinned, and who says so."""
    from orchestrator.fetch import Mirrors
    from orchestrator.fetch.developer import keep_tree, unpacked_tree
    from orchestrator.fetch.first import first_look
    from orchestrator.recipe.complete import Pin
    from orchestrator.recipe.source_name import file_name
    from orchestrator.store import staging

    mirrors = Mirrors(**opened.project.mirrors)
    seen = first_look(layout, entry.from_, mirrors=mirrors, base=recipe.directory, monitor=lambda event: None)
    is_git = entry.from_.startswith("git:")
    trust = "as the commit's id says" if is_git else "as its index says" if seen.vouched else "nobody else says so"
    if is_git or (_PACKED_ANEW.match(entry.from_) and entry.unpack != ""):
        with staging(layout, "lock") as room:
            tree = unpacked_tree(seen.file, room / "tree", file_name(entry.from_))
        keep_tree(layout, seen.file, tree, (entry.from_,))
        return Pin(tree=tree, size=seen.size), f"from {seen.origin}, {trust}"
    return Pin(sha256=seen.sha256, size=seen.size), f"from {seen.origin}, {trust}"


def _write(opened: Opened, recipe: Recipe, version: str, pins: dict[int, Pin]) -> None:
    """Complete the recipe's file, unless it changed since it was read."""
    from orchestrator.recipe.complete import complete
    from orchestrator.recipe.load import FILE, recipe_text

    path = recipe.directory / FILE
    where, text = recipe_text(path, opened.project)
    new = complete(text, version, pins, where)
    _replace(path, new)


def _replace(path: Path, text: str) -> None:
    """Put `text` at `path` at once; the mode stays."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        new.chmod(path.stat().st_mode & 0o777)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        what = f"the recipe cannot be written: {error.strerror}"
        raise MachineError(what, where=str(path), hint="make it writable, then run the command again") from error


def _tell(
    recipe: Recipe,
    version: str,
    before: Version,
    rows: list[dict[str, Any]],
    errors: list[OrchError],
    arguments: argparse.Namespace,
) -> int:
    if arguments.json:
        from orchestrator.cli.complaint import error_document
        from orchestrator.cli.document import print_document

        failures = [error_document(error) for error in errors]
        first = {"error": failures[0]} if failures else {}
        content = {"recipe": recipe.name, "version": version, "locked": not errors, "found": rows, "failures": failures}
        print_document("source lock", {**first, **content})
        return max((error.exit_status for error in errors), default=0)
    if errors:
        from orchestrator.cli.complaint import render

        for error in errors[1:]:
            print(render(error), file=sys.stderr)
        raise errors[0]
    if rows or not before.locked:
        print(f"{recipe.name} {version} is locked: {recipe.where}", file=sys.stderr)
    else:
        print(f"{recipe.name} {version} was locked already", file=sys.stderr)
    return 0
