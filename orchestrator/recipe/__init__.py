"""What a person writes, read and checked: projects, recipes, images, locks. Knows no chosen options, no keys, no store.

What is of images is imported when it is first asked for: building recipes needs none of it.
"""

from typing import TYPE_CHECKING

from orchestrator.lazily import lazily
from orchestrator.recipe.load import Recipes, load_recipe, load_recipes
from orchestrator.recipe.lock import Deb, Lock, read_lock, write_lock
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.project import GlobalOption, Project, find_project

if TYPE_CHECKING:
    from orchestrator.recipe.image import Image
    from orchestrator.recipe.image_load import Images, load_image, load_images
    from orchestrator.recipe.python_lock import (
        PythonLock,
        Wheel,
        lock_input,
        parse_python_lock,
        read_python_lock,
        write_python_lock,
    )

_IMAGES = {
    "image": ("Image",),
    "image_load": ("Images", "load_image", "load_images"),
    "python_lock": (
        "PythonLock",
        "Wheel",
        "lock_input",
        "parse_python_lock",
        "read_python_lock",
        "write_python_lock",
    ),
}
_HOMES = {name: module for module, names in _IMAGES.items() for name in names}

__all__ = [
    "Deb",
    "GlobalOption",
    "Image",
    "Images",
    "Lock",
    "Project",
    "PythonLock",
    "Recipe",
    "Recipes",
    "Wheel",
    "find_project",
    "load_image",
    "load_images",
    "load_recipe",
    "load_recipes",
    "lock_input",
    "parse_python_lock",
    "read_lock",
    "read_python_lock",
    "write_lock",
    "write_python_lock",
]

if not TYPE_CHECKING:  # which would take any name for one of this room
    __getattr__ = lazily(__name__, _HOMES)
