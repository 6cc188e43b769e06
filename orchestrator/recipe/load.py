"""Reads recipes: the file, and the patches, files and locks beside it. The only place that opens them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from orchestrator.digest import sha256_file
from orchestrator.errors import RecipeError
from orchestrator.frozen import replace
from orchestrator.recipe.index import Prints, RecipeIndex, prints
from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.lock import Lock, read_lock
from orchestrator.recipe.model import Document, LocalFile, Recipe, Version
from orchestrator.recipe.parse import Problem, failure, parse, suggestion
from orchestrator.recipe.project import Project, find_project

FILE = "recipe.toml"
DIRECTORY = "recipes"
IMAGES = "images"  # among the recipes, and none itself


def _named_files(document: Document) -> Iterator[tuple[FieldPath, str]]:
    """Every file beside the recipe that it names, with the field that does; locks are not among them."""
    for name, version in document.versions.items():
        for index, patch in enumerate(version.patches):
            yield ("versions", name, "patches", index), patch
    tables = ((), document), (("vendor",), document.vendor), (("source",), document.source)
    for prefix, table in tables:
        for step, script in (("build", table.build), ("check", table.check)):
            for index, name in enumerate(script.files if script else ()):
                yield (*prefix, step, "files", index), name


def beside(directory: Path, name: str, within: Path | None = None) -> Path | str:
    """The file `name` of a recipe's directory, or what is wrong with it. It may be a link to one `within` a directory,
    by default the recipe's own."""
    from orchestrator.recipe.check import leaves

    path = directory / name
    try:
        if leaves(name) or not path.resolve().is_relative_to((within or directory).resolve()):
            return f"{name} leaves the recipe's directory"
        return path if path.is_file() else f"{name} does not exist beside the recipe"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"


def local_files(
    named: Iterable[tuple[FieldPath, str]], directory: Path, own: str = FILE, within: Path | None = None
) -> tuple[dict[str, LocalFile], list[Problem]]:
    """The files of `directory` that fields of its file `own` name, hashed, and what is wrong with the others."""
    files: dict[str, LocalFile] = {}
    wrong: list[Problem] = []
    for field, name in named:
        found = beside(directory, name, within)
        if isinstance(found, str):
            there = [p.relative_to(directory).as_posix() for p in sorted(directory.rglob("*")) if p.is_file()]
            wrong.append(Problem(field, found, suggestion(name, [p for p in there if p != own], label="files there")))
        elif name not in files:
            files[name] = LocalFile(
                name=name,
                sha256=sha256_file(found).hex,
                path=found,
                executable=bool(found.stat().st_mode & 0o100),
            )
    return files, wrong


def _edited(document: Document, directory: Path) -> list[Problem]:
    """The `file:` sources beside the recipe whose content is no longer what is pinned: nothing else would notice, since
    the store has what was pinned."""
    wrong: list[Problem] = []
    for name, version in document.versions.items():
        for index, source in enumerate(version.sources):
            scheme, _, rest = source.from_.partition(":")
            if scheme != "file" or source.sha256 is None or rest.startswith("/"):
                continue
            file = directory / rest
            found = sha256_file(file).hex if file.is_file() else source.sha256
            if found != source.sha256:
                field: FieldPath = ("versions", name, "sources", index, "sha256")
                what = f"{source.from_} is not what is pinned: expected sha256:{source.sha256}, got sha256:{found}"
                wrong.append(Problem(field, what, f'if the new content is right, write sha256 = "{found}"'))
    return wrong


def _locks(
    document: Document, directory: Path, where: str, *, broken: bool = False
) -> tuple[dict[str, Lock], list[Problem]]:
    """The locks of a base by file name, and what is wrong with them; `broken`: one that is no lock is passed over."""
    locks: dict[str, Lock] = {}
    wrong: list[Problem] = []
    for name, version in document.versions.items():
        if version.lock is None or version.lock in locks or document.base is None:
            continue
        found = beside(directory, version.lock)
        if isinstance(found, str):
            if version.locked:
                wrong.append(Problem(("versions", name, "lock"), found, f"make it: orch lock {document.name}"))
            continue
        try:
            lock = read_lock(found, where.removesuffix(FILE) + version.lock)
        except RecipeError:
            if broken:
                continue
            raise
        suite = lock.suite.partition("-")[0]  # bookworm-security is of bookworm
        if suite != document.base.suite or sorted(lock.packages) != sorted(document.base.packages):
            what = f"{version.lock} was made for another suite or other packages than [base] names"
            wrong.append(Problem(("versions", name, "lock"), what, f"make it again: orch lock {document.name}"))
        locks[version.lock] = lock
    return locks, wrong


def _as_locked(version: Version, locks: Mapping[str, Lock]) -> Version:
    """A version of a base that says `locked = false` is locked all the same once its lock file is there: what
    `orch lock BASE --security` writes can be chosen without an edit."""
    return replace(version, locked=True) if version.lock in locks else version


def recipe_text(path: Path, project: Project) -> tuple[str, str]:
    """How messages name the file `path` of a recipe, and its text."""
    where = path.relative_to(project.root).as_posix() if path.is_relative_to(project.root) else str(path)
    try:
        return where, path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise RecipeError("the recipe cannot be read", where=where, why=error.strerror or "") from error
    except UnicodeDecodeError as error:
        raise RecipeError("not UTF-8 text", where=where, why=str(error)) from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()  # one of a ring of links is none


def directories(directory: Path) -> list[str]:
    """The names of the directories in one, sorted; those that begin with `.` or `_` are not recipes'."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] not in "._" and _is_directory(entry))
    except OSError as error:
        raise RecipeError("the recipes cannot be listed", where=str(directory), why=str(error.strerror)) from error


def load_recipe(path: Path, project: Project | None = None, *, to_lock: bool = False) -> Recipe:
    """The recipe in the file `path`; one RecipeError for all that is wrong in it.

    `to_lock`: for whoever makes its locks anew. What is wrong with them is let pass, and one that cannot be read is
    taken as missing.
    """
    from orchestrator.recipe.check import parts_of, problems  # not for a recipe that was read before

    project = project or find_project(path.parent)
    where, text = recipe_text(path, project)
    document = parse(text, Document, where)
    wrong = problems(document, path.parent.name, {option.name: option.values for option in project.options})
    files, missing = local_files(_named_files(document), path.parent)
    locks, unfit = _locks(document, path.parent, where, broken=to_lock)
    if wrong or missing or (unfit and not to_lock):
        raise failure([*wrong, *missing, *unfit], text, where)
    if edited := _edited(document, path.parent):
        raise failure(edited, text, where)
    return Recipe(
        name=document.name,
        where=where,
        place=str(path.parent),
        summary=document.summary,
        licence=document.licence,
        homepage=document.homepage,
        options=document.options,
        versions={name: _as_locked(version, locks) for name, version in document.versions.items()},
        parts={"source": parts_of(document, "source"), "vendor": parts_of(document, "vendor")},
        base=document.base,
        files=files,
        locks=locks,
    )


class Recipes(Mapping[str, Recipe]):
    """A project's recipes by name. The names come from one listing; a recipe is read when it is asked for, once."""

    def __init__(self, project: Project, index: RecipeIndex | None = None) -> None:
        self.project = project
        self._index = index
        self._read: dict[str, Recipe] = {}
        self._prints: dict[str, Prints] = {}
        self._seen: set[str] = set()  # to be as they were when they were read

    @cached_property
    def _names(self) -> dict[str, None]:
        return dict.fromkeys(name for name in directories(self.project.root / DIRECTORY) if name != IMAGES)

    @property
    def names(self) -> tuple[str, ...]:
        """Every recipe's name, sorted; whether they can be read is not known yet."""
        return tuple(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Recipe:
        if name not in self._read:
            if name not in self._names:
                raise KeyError(name)
            self._read[name] = self._known(name)
        return self._read[name]

    def _known(self, name: str) -> Recipe:
        recipe = self._index.get(name) if self._index is not None else None
        if recipe is None:
            recipe = load_recipe(self.project.root / DIRECTORY / name / FILE, self.project)
            if self._index is not None:
                self._prints[name] = self._index.add(recipe)
        return recipe

    def prints(self, name: str) -> Prints:
        """The prints of the recipe `name`; one that looks as it did is not read. Raise KeyError, RecipeError."""
        if name not in self._read and self._index is not None and name in self._names:
            found = self._index.prints(name)
            if found is not None:
                self._seen.add(name)
                return found
        if name not in self._prints:
            self._prints[name] = prints(self[name])
        return self._prints[name]

    def unlike(self, names: Sequence[str], were: Sequence[Prints]) -> list[int]:
        """The places in `names` of recipes whose prints are not those that `were`. Raise KeyError for one that is gone,
        RecipeError."""
        if gone := next((name for name in names if name not in self._names), None):
            raise KeyError(gone)
        may = self._index.unlike(names, were) if self._index is not None else list(range(len(names)))
        self._seen.update(set(names) - {names[place] for place in may})
        return [place for place in may if self.prints(names[place]) != were[place]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def to_lock(self, name: str) -> Recipe:
        """The recipe `name` for whoever makes its locks anew: a missing or an old one is no error."""
        if name not in self._names:
            raise KeyError(name)
        return load_recipe(self.project.root / DIRECTORY / name / FILE, self.project, to_lock=True)

    def looked_at(self) -> Iterator[str]:
        """All that was looked at so far: the listing, and what each recipe that was read or seen is made of; some of
        these files are not there."""
        top = f"{self.project.root}/{DIRECTORY}"
        yield top
        for name in dict.fromkeys((*self._read, *sorted(self._seen))):
            paths = self._index.made_of(name) if self._index is not None and name not in self._read else None
            if paths is None:
                home = self[name].directory
                paths = tuple(f"{home.name}/{one}" for one in (FILE, *self[name].beside()))
            yield from (f"{top}/{path}" for path in paths)

    def save_index(self) -> None:
        """Let the recipes that were read be found in the index from now on."""
        if self._index is not None:
            self._index.save()


def load_recipes(project: Project, index: RecipeIndex | None = None) -> Recipes:
    """The recipes of a project, none read yet; those that `index` has, and that are as they were, need no reading."""
    return Recipes(project, index)
