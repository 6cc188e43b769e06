"""Begin a recipe: look at a source, guess how it is built, and write recipes/NAME/recipe.toml to go on from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import OrchError, RecipeError, UsageError

if TYPE_CHECKING:
    from orchestrator.recipe import Recipe
    from orchestrator.recipe.guess import Guess
    from orchestrator.recipe.template import Pinned, Surroundings

EPILOG = """\
WHAT is an archive on this machine, which is copied beside the recipe, or a source's name, which
is fetched: pypi:PROJECT/FILE, debian:POOL-PATH, https://HOST/PATH. autotools, CMake, meson, plain
make and wheels are known; nothing of the source is run. What was guessed is in the file, with
comments: read it before you build it. Without --from the file is a frame without a source.

examples:
  orch new lz4 --from debian:pool/main/l/lz4/lz4_1.9.4.orig.tar.gz
  orch new --from ~/Downloads/zstd-1.5.6.tar.gz
  orch new mine
"""
_UNVOUCHED = "The hash is of what came when this was written: compare it with what upstream publishes."
_TOOLS = {"autoconf", "automake", "cmake", "g++", "gcc", "make", "meson", "ninja-build", "pkg-config"}
_SCHEMA = Path("docs/schema/recipe.json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", nargs="?", metavar="RECIPE", help="its name (default: as the source is called)")
    parser.add_argument("--from", dest="source", metavar="WHAT", help="an archive, or the name of a source")
    parser.add_argument("--version", metavar="V", help="the version, where the source's name does not say it")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the recipe, and say what to do next."""
    from orchestrator.recipe.guess import Guess

    if arguments.name is None and arguments.source is None:
        raise UsageError("nothing to begin with", hint="orch new NAME, or orch new --from ARCHIVE")
    opened = open_project(arguments)
    if arguments.name is not None:
        _refuse_name(opened, arguments.name)
    around = surroundings(opened)
    if arguments.source is None:
        guess, source, archive = Guess(system="unknown"), None, None
    else:
        guess, source, archive = _look(opened, arguments)
    name = arguments.name or guess.name
    if not name:
        raise UsageError(f"no name is found in {arguments.source}", hint=f"orch new NAME --from {arguments.source}")
    _refuse_name(opened, name)
    version = arguments.version or guess.version or ("1" if source is None else "")
    if not version:
        hint = f"orch new {name} --from {arguments.source} --version V"
        raise UsageError(f"no version is found in {arguments.source}", hint=hint)
    recipe = _write(opened, name, version, guess, source, archive, around)
    _tell(arguments, recipe, version, guess, around)
    return 0


def _refuse_name(opened: Opened, name: str) -> None:
    from orchestrator.recipe.check import NAME
    from orchestrator.recipe.load import DIRECTORY, FILE, IMAGES

    if NAME.fullmatch(name) is None or name == IMAGES:
        hint = "lower case letters, digits, and + . _ - after the first; `images` is the directory of images"
        raise UsageError(f"a recipe cannot be called {name!r}", hint=hint)
    directory = opened.project.root / DIRECTORY / name
    if directory.is_symlink() or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
        raise UsageError(
            f"there is something at {directory.relative_to(opened.project.root)} already",
            where=str(directory / FILE),
            why="what a person wrote is not overwritten",
            hint=f"choose another name; to see what is there: orch show {name}",
        )


def _look(opened: Opened, arguments: argparse.Namespace) -> tuple[Guess, Pinned, Path | None]:
    """What the source seems to be, how the recipe names it, and the file to be copied beside the recipe, if any."""
    from orchestrator.archive import unpack
    from orchestrator.digest import sha256_file
    from orchestrator.recipe.guess import guess
    from orchestrator.recipe.source_name import file_name
    from orchestrator.recipe.template import Pinned
    from orchestrator.store import staging

    text = arguments.source
    layout = opened.store()
    local = Path(text.removeprefix("file:")).expanduser()
    if local.is_file():
        name, file, archive = local.name, local, local
        found = Pinned(from_=f"file:{name}", sha256=sha256_file(local).hex, size=local.stat().st_size)
    elif text.startswith(("pypi:", "debian:", "https:", "http:")):
        name, archive = file_name(text), None
        file, found = _fetched(opened, text)
    else:
        hint = "it is a file here, or pypi:PROJECT/FILE, debian:POOL-PATH, https://HOST/PATH"
        raise UsageError(f"no archive {text}", hint=hint)
    with staging(layout, "new") as room:
        try:
            unpack(file, room / "tree", file_name=name, strip=not name.endswith((".whl", ".zip")))
        except OrchError as error:
            error.where = text
            raise
        return guess(room / "tree", name, text), found, archive


def _fetched(opened: Opened, text: str) -> tuple[Path, Pinned]:
    from orchestrator.fetch import Mirrors
    from orchestrator.fetch.first import first_look
    from orchestrator.recipe.template import Pinned

    print(f"looking at {text} ...", file=sys.stderr)
    mirrors = Mirrors(**opened.project.mirrors)
    seen = first_look(opened.store(), text, mirrors=mirrors, base=opened.project.root, monitor=lambda event: None)
    print(f"it came from {seen.origin}", file=sys.stderr)
    trust = "The hash is the one that its index gives." if seen.vouched else _UNVOUCHED
    return seen.file, Pinned(from_=text, sha256=seen.sha256, size=seen.size, trust=trust)


def surroundings(opened: Opened) -> Surroundings:
    """The bases that a new recipe stands on: those that the project's recipes use most, else ones that fit."""
    from orchestrator.graph.options import readable
    from orchestrator.recipe.template import Surroundings

    recipes = list(readable(opened.recipes))
    bases = {recipe.name: recipe for recipe in recipes if recipe.base is not None}
    if not bases:
        hint = "a base is a recipe with [base], made from a lock of .debs: docs/recipes.md; copy debian-build's"
        raise RecipeError("this project has no base for a recipe to stand on", hint=hint)
    packages = {
        name: frozenset(deb.name for lock in list(base.locks.values())[:1] for deb in lock.debs)
        for name, base in bases.items()
    }
    used = {
        field: [
            name for recipe in recipes for parts in recipe.parts.values() for name in getattr(parts.inputs, field)
        ]
        for field in ("build", "runtime")
    }  # fmt: skip
    build = max(bases, key=lambda name: (used["build"].count(name), len(packages[name] & _TOOLS), name))
    runtime = max(bases, key=lambda name: (used["runtime"].count(name), -len(packages[name] & _TOOLS), name))
    schema = f"../../{_SCHEMA}" if (opened.project.root / _SCHEMA).is_file() else ""
    names = frozenset(opened.recipes.names)
    return Surroundings(
        build_base=build, runtime_base=runtime, packages=packages[build], recipes=names, schema=schema
    )  # fmt: skip


def _write(
    opened: Opened,
    name: str,
    version: str,
    guess: Guess,
    source: Pinned | None,
    archive: Path | None,
    around: Surroundings,
) -> Recipe:
    """Write the recipe's directory, whole or not at all, and read it as any recipe is read."""
    import shutil
    import tempfile

    from orchestrator.recipe import load_recipe
    from orchestrator.recipe.load import DIRECTORY, FILE
    from orchestrator.recipe.template import recipe_text
    from orchestrator.tree import disk

    recipes = opened.project.root / DIRECTORY
    with disk("write the recipe in", recipes), tempfile.TemporaryDirectory(prefix=".new-", dir=recipes) as room:
        directory = Path(room) / name
        directory.mkdir()
        (directory / FILE).write_text(recipe_text(name, version, guess, source, around), encoding="utf-8")
        if archive is not None:
            shutil.copyfile(archive, directory / archive.name)
        load_recipe(directory / FILE, opened.project)
        directory.rename(recipes / name)
    return load_recipe(recipes / name / FILE, opened.project)


def _tell(arguments: argparse.Namespace, recipe: Recipe, version: str, guess: Guess, around: Surroundings) -> None:
    _, missing = around.tools(guess.system)
    if arguments.json:
        from orchestrator.cli.document import print_document

        content = {
            "name": recipe.name,
            "version": version,
            "system": guess.system,
            "licence": guess.licence,
            "homepage": guess.homepage,
            "missing": list(missing),
            "where": recipe.where,
            "path": str(recipe.directory / "recipe.toml"),
        }
        print_document("new", content)
        return
    print(recipe.directory / "recipe.toml")
    kind = {"unknown": "no build system was recognised", "make": "plain make"}.get(guess.system, guess.system)
    lines = [f"{recipe.name} {version}: {kind}; licence {guess.licence or 'not recognised'}"]
    lines += [f"{around.build_base} has no {tool}: the file says how to add it" for tool in missing]
    first = "write its script" if guess.system == "unknown" else "read it"
    lines.append(f"{first}, then: orch build {recipe.name}")
    print("\n".join(lines), file=sys.stderr)
