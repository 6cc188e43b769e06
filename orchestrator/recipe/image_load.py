"""Reads image recipes: the file, the lock and the files beside it. The only place that opens them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from orchestrator.errors import RecipeError
from orchestrator.recipe.image import Image, ImageDocument, Python
from orchestrator.recipe.image_check import image_problems
from orchestrator.recipe.image_python import stale
from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.load import DIRECTORY, IMAGES, beside, directories, load_recipes, local_files, recipe_text
from orchestrator.recipe.parse import Problem, failure, parse
from orchestrator.recipe.project import Project
from orchestrator.recipe.python_lock import PythonLock, read_python_lock

FILE = "image.toml"


def _run_files(document: ImageDocument) -> Iterator[tuple[FieldPath, str]]:
    for index, name in enumerate(document.run.files if document.run else ()):
        yield ("run", "files", index), name


def _lock(
    document: ImageDocument, python: Python, directory: Path, where: str
) -> tuple[PythonLock | None, list[Problem], RecipeError | None]:
    """The lock, what is wrong with it as a lock of this recipe, and what is wrong in its own text."""
    if not (directory / python.lock).exists():
        return None, [], None
    found = beside(directory, python.lock)
    if isinstance(found, str):
        return None, [Problem(("python", "lock"), found)], None
    try:
        lock = read_python_lock(found, where.removesuffix(FILE) + python.lock, image=document.name)
    except RecipeError as error:
        return None, [], error
    if difference := stale(python, lock):
        what = f"the lock is stale, {python.lock}: {difference}"
        return lock, [Problem(("python", "lock"), what, f"make it again: orch lock {document.name}")], None
    return lock, [], None


def load_image(path: Path, project: Project, *, to_lock: bool = False) -> Image:
    """The image recipe in the file `path`; one RecipeError for all that is wrong in it, a stale lock among it.

    `to_lock`: for whoever makes the lock anew. What is wrong with the lock is let pass, one that cannot be read is
    taken as missing.
    """
    where, text = recipe_text(path, project)
    document = parse(text, ImageDocument, where)
    directory = path.parent
    globals_ = {option.name: option.values for option in project.options}
    wrong = image_problems(document, directory.name, globals_, load_recipes(project).names)
    files, missing = local_files(_run_files(document), directory, FILE, within=directory.parent)
    lock: PythonLock | None = None
    unfit: list[Problem] = []
    broken: RecipeError | None = None
    # Of a wrong [python] no lock could be made: it is set right first.
    if document.python is not None and not any(problem.path[0] == "python" for problem in wrong):
        lock, unfit, broken = _lock(document, document.python, directory, where)
    problems = [*wrong, *missing, *(() if to_lock else unfit)]
    if problems:
        raise failure(problems, text, where)
    if broken is not None and not to_lock:
        raise broken
    return Image(
        document=document,
        where=where,
        directory=directory,
        lock=lock,
        lock_missing=document.python is not None and lock is None,
        files=files,
    )


def looked_at(image: Image) -> Iterator[Path]:
    """What `image` was read from, and where it was found; some of these are not there."""
    yield image.directory.parent
    yield image.directory / FILE
    if image.document.python is not None:
        yield image.directory / image.document.python.lock
    yield from (file.path for file in image.files.values())


class Images(Mapping[str, Image]):
    """A project's images by name. The names come from one listing; an image is read when it is asked for, once."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._read: dict[str, Image] = {}

    @property
    def _directory(self) -> Path:
        return self.project.root / DIRECTORY / IMAGES

    @cached_property
    def _names(self) -> dict[str, None]:
        found = directories(self._directory) if self._directory.is_dir() else []
        return dict.fromkeys(name for name in found if (self._directory / name / FILE).is_file())

    @property
    def names(self) -> tuple[str, ...]:
        """Every image's name, sorted; whether they can be read is not known yet."""
        return tuple(self._names)

    def to_lock(self, name: str) -> Image:
        """The image `name` for whoever makes its lock anew: a stale lock is no error."""
        if name not in self._names:
            raise KeyError(name)
        return load_image(self._directory / name / FILE, self.project, to_lock=True)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Image:
        if name not in self._read:
            if name not in self._names:
                raise KeyError(name)
            self._read[name] = load_image(self._directory / name / FILE, self.project)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_images(project: Project) -> Images:
    """The images of a project, none read yet."""
    return Images(project)
