"""What a person writes, read and checked: projects, recipes, locks. Knows no chosen options, no keys, no store."""

from orchestrator.recipe.load import Recipes, load_recipe, load_recipes
from orchestrator.recipe.lock import Deb, Lock, read_lock, write_lock
from orchestrator.recipe.model import Recipe
from orchestrator.recipe.project import GlobalOption, Project, find_project

__all__ = [
    "Deb",
    "GlobalOption",
    "Lock",
    "Project",
    "Recipe",
    "Recipes",
    "find_project",
    "load_recipe",
    "load_recipes",
    "read_lock",
    "write_lock",
]
