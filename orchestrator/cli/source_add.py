"""`orch source add`: files that came by other ways than a fetch become sources. What a file is, its content says."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.opening import Opened
from orchestrator.errors import OrchError, SourceError, UsageError
from orchestrator.frozen import field, frozen

if TYPE_CHECKING:
    from orchestrator.store import Layout


@frozen(kw_only=False)
class _Wanted:
    """The names of all sources that are pinned, by sha256 and by tree."""

    files: dict[str, list[str]] = field(default_factory=dict)
    trees: dict[str, list[str]] = field(default_factory=dict)


def add(opened: Opened, layout: Layout, arguments: argparse.Namespace) -> int:
    """Store every file that some recipe or image has as a source; raise UsageError for the others."""
    from orchestrator.cli.complaint import error_document

    wanted = _wanted(opened)
    added = []
    strangers: dict[str, str] = {}
    for file in arguments.files:
        if not file.is_file():
            raise UsageError(f"no file {file}", hint="orch source ls GOAL names what is missing")
        sha256, names, seen = _add(layout, file, wanted)
        if names:
            added.append({"file": str(file), "sha256": sha256, "names": names})
        else:
            strangers[str(file)] = seen
    error = UsageError(
        f"no recipe has a source with the content of {', '.join(strangers)}",
        why="\n".join(f"{file} is {seen}" for file, seen in strangers.items()),
        hint="orch source ls GOAL names what is wanted; the same name with another digest is another file",
    )
    if arguments.json:
        from orchestrator.cli.document import print_document

        first = {"error": error_document(error)} if strangers else {}
        print_document("source add", {**first, "added": added})
        return error.exit_status if strangers else 0
    for row in added:
        print(f"{row['file']}: {', '.join(row['names'])}")
    if strangers:
        raise error
    return 0


def _add(layout: Layout, file: Path, wanted: _Wanted) -> tuple[str, list[str], str]:
    """The file's sha256, the names of the sources that it is now stored for, and what it is, in words."""
    from orchestrator.digest import sha256_file
    from orchestrator.store import add_source, note_tree

    digest = sha256_file(file)
    names = list(dict.fromkeys(wanted.files.get(digest.hex, ())))
    trees = _trees(layout, file) if wanted.trees and not names else {}
    found = [tree for tree in trees if tree in wanted.trees]
    names += [name for tree in found for name in wanted.trees[tree] if name not in names]
    if names:
        add_source(layout, file, sha256=digest.hex, names=tuple(names), by_hand=True)
        for tree in found:
            note_tree(layout, tree, digest.hex)
    seen = [str(digest), *(f"unpacks to the tree blake3:{tree}" for tree in trees)]
    return digest.hex, names, " and ".join(seen)


def _trees(layout: Layout, file: Path) -> dict[str, None]:
    """The trees that an archive unpacks to: without its one top directory, and, as a zip, with it."""
    from orchestrator.fetch.developer import unpacked_tree
    from orchestrator.store import staging

    trees: dict[str, None] = {}
    with staging(layout, "source-add") as room:
        for index, name in enumerate(("x.tar", "x.zip") if _is_zip(file) else ("x.tar",)):
            with suppress(SourceError):  # no archive, or none that a build would unpack
                trees[unpacked_tree(file, room / str(index), name)] = None
    return trees


def _is_zip(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(2) == b"PK"


def _wanted(opened: Opened) -> _Wanted:
    """Those of every version of every recipe, and of every image's lock."""
    from orchestrator.graph.options import readable
    from orchestrator.recipe import load_images

    wanted = _Wanted()
    for recipe in readable(opened.recipes):  # one that is broken is no reason to refuse another's
        for version in recipe.versions.values():
            for source in version.sources:
                if source.sha256 is not None:
                    wanted.files.setdefault(source.sha256, []).append(source.from_)
                elif source.tree is not None:
                    wanted.trees.setdefault(source.tree, []).append(source.from_)
        for lock in recipe.locks.values():
            for deb in lock.debs:
                wanted.files.setdefault(deb.sha256, []).append(f"debian:{deb.path}")
    images = load_images(opened.project)
    for name in images.names:
        with suppress(OrchError):  # nor is an image that is
            wheels = images[name].lock
            for wheel in wheels.wheels if wheels else ():
                wanted.files.setdefault(wheel.sha256, []).append(f"pypi:{wheel.name}/{wheel.file_name}")
    return wanted
