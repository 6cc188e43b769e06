"""The environment and the loader's directories of an image: its recipes' and its own together. Pure."""

from __future__ import annotations

from orchestrator.errors import RecipeError
from orchestrator.graph.closure import runtime_closure
from orchestrator.graph.derivation import Graph
from orchestrator.graph.surroundings import join_environments
from orchestrator.recipe.image import Image

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where the base's loader looks after all else (ldconfig's own list, multiarch first).
DEFAULT_DIRECTORIES = (
    "/usr/local/lib",
    "/usr/local/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
)


def image_environment(graph: Graph, image: Image) -> dict[str, str]:
    """The environment of an image: what its recipes say, and over it what the image says. A variable whose name ends
    in PATH is a list, the image's part first. PATH itself begins with the Python environment's programs and ends with
    the base's default.

    Raise RecipeError where two recipes disagree about a variable that the image does not set.
    """
    own = image.document.config.env
    names = runtime_closure(graph, image.document.components)
    pairs = {
        name: tuple((key, value) for key, value in graph[name].environment if key.endswith("PATH") or key not in own)
        for name in names
    }
    try:
        joined = join_environments([("the image", tuple(own.items())), *reversed(pairs.items())])
    except ValueError as error:
        raise RecipeError(
            "the recipes of the image disagree about its environment",
            where=f"{image.where}: config.env",
            why=str(error),
            hint="set the variable under [config] env",
        ) from error
    python = image.document.python
    programs = [f"{python.prefix}/bin"] if python is not None else []
    places = [*programs, *joined.get("PATH", "").split(":"), *DEFAULT_PATH.split(":")]
    joined["PATH"] = ":".join(dict.fromkeys(place for place in places if place))
    return dict(sorted(joined.items()))


def image_ldconf(graph: Graph, image: Image) -> tuple[str, ...]:
    """The loader's directories beside the base's own: the image's first, then its recipes', top first."""
    names = runtime_closure(graph, image.document.components)
    recipes = [line for name in reversed(names) for line in graph[name].ldconf]
    return tuple(dict.fromkeys((*image.document.config.ldconf, *recipes)))
