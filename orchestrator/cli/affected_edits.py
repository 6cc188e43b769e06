"""What the arguments of `orch affected` stand for: recipes, files beside them, images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import OrchError, UsageError
from orchestrator.frozen import frozen

if TYPE_CHECKING:
    from orchestrator.cli.opening import Opened

_DIRECTORY, _IMAGES = "recipes", "images"


@frozen
class Edits:
    """What is edited: whole recipes, files of recipes (as the recipes name them), images."""

    recipes: frozenset[str]
    files: Mapping[str, frozenset[str]]  # recipe -> files beside it
    images: frozenset[str]
    all_images: tuple[str, ...]

    @property
    def named(self) -> frozenset[str]:
        """All recipes that something is edited of."""
        return self.recipes | self.files.keys()


def edits_of(opened: Opened, names: Sequence[str]) -> Edits:
    """What `names` stand for. Raise UsageError for one that is no recipe, no image and no file of theirs."""
    from orchestrator.recipe import load_images

    images = load_images(opened.project).names
    recipes: set[str] = set()
    files: dict[str, frozenset[str]] = {}
    edited: set[str] = set()
    for name in names:
        if name in opened.recipes:
            recipes.add(name)
        elif name in images:
            edited.add(name)
        else:
            _file(opened, name, images, recipes, files, edited)
    return Edits(recipes=frozenset(recipes), files=files, images=frozenset(edited), all_images=images)


def _file(
    opened: Opened,
    name: str,
    images: Iterable[str],
    recipes: set[str],
    files: dict[str, frozenset[str]],
    edited: set[str],
) -> None:
    root = opened.project.root
    path = Path(name)
    below = next((p for p in (Path.cwd() / path, root / path) if p.exists()), root / path).absolute()
    parts = below.relative_to(root).parts if below.is_relative_to(root) else ()
    match parts:
        case (_, image, *_) if parts[0] == _DIRECTORY and image == _IMAGES and len(parts) > 2 and parts[2] in images:
            edited.add(parts[2])
        case (_, second, _) if parts[0] == _DIRECTORY and second == _IMAGES:
            edited.update(one for one in images if _shares(opened, one, below))
        case (_, recipe) if parts[0] == _DIRECTORY and recipe in opened.recipes:
            recipes.add(recipe)
        case (_, recipe, *rest) if parts[0] == _DIRECTORY and recipe in opened.recipes:
            if rest == ["recipe.toml"]:
                recipes.add(recipe)
            else:
                files[recipe] = files.get(recipe, frozenset()) | {"/".join(rest)}
        case _:
            from orchestrator.recipe.parse import suggestion

            hint = suggestion(name, [*opened.recipes, *images], label="recipes and images")
            raise UsageError(f"{name!r} is no recipe, no image and no file of theirs", hint=hint)


def _shares(opened: Opened, image: str, path: Path) -> bool:
    """Whether a file that images share, beside their directories, is one of this image's."""
    from orchestrator.recipe import load_images

    try:
        found = load_images(opened.project)[image]
    except OrchError:
        return False
    return any(file.path.resolve() == path.resolve() for file in found.files.values())
