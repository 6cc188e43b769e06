"""What a verb that is given an image begins with: its recipe, its graph, its key, the image itself if it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.opening import Opened, this_platform
from orchestrator.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.digest import Digest
    from orchestrator.graph.derivation import Graph
    from orchestrator.image.model import Compression
    from orchestrator.recipe import Image
    from orchestrator.store import ImageRecord, Layout


def open_image(opened: Opened, name: str) -> Image:
    """The image recipe of that name; raise UsageError if there is none, RecipeError if it is wrong."""
    from orchestrator.recipe import load_images
    from orchestrator.recipe.parse import suggestion

    images = load_images(opened.project)
    if name not in images:
        hint = suggestion(name, images, label="images")
        if name in opened.recipes:
            hint = f"{name} is a recipe: orch build {name}"
        raise UsageError(f"there is no image {name!r}", hint=hint)
    return images[name]


def refuse(image: Image) -> None:
    """Raise RecipeError if the image cannot be made here: another platform, or nobody wrote its lock."""
    platform, document = this_platform(), image.document
    if platform in document.refuses or platform not in document.platforms:
        raise RecipeError(
            f"{image.name} cannot be made for {platform}",
            where=f"{image.where}: {'refuses' if platform in document.refuses else 'platforms'}",
            why=document.refuses.get(platform, f"it is made for {', '.join(document.platforms)}"),
        )
    if image.lock_missing:
        python = document.python
        assert python is not None
        index = f"; it reads {', '.join(python.indexes)}, so run it where that answers" if python.indexes else ""
        raise RecipeError(
            f"{image.name} is not locked",
            where=f"{image.where}: python.lock",
            why=f"{python.lock} is not there: nobody has said which wheels, by hash, it is made of",
            hint=f"write it: orch lock {image.name}{index}",
        )


def image_graph(opened: Opened, image: Image, settings: Sequence[str]) -> Graph:
    """The graph of all that the image is made of, under its own options and, over them, those of the command line."""
    from orchestrator.graph.environment import with_environment

    given = {text.partition("=")[0] for text in settings}
    own = [f"{name}={value}" for name, value in image.document.options.items() if name not in given]
    base = image.document.base
    # Beside a base from a registry, the recipe's Python makes the bytecode.
    below = (base.recipe,) if base.from_ is None or image.document.python is not None else ()
    goals = tuple(dict.fromkeys((*image.document.components, *below)))
    try:
        graph = opened.graph(goals, [*own, *settings])
    except UsageError as error:
        if not any(text.partition("=")[0] in error.what for text in own):
            raise
        raise RecipeError(error.what, where=f"{image.where}: options", why=error.why, hint=error.hint) from error
    if below and not graph[base.recipe].is_base:
        hint = "name a recipe with [base], such as debian-runtime, and this one under components"
        raise RecipeError(f"{base.recipe} is no base", where=f"{image.where}: base.recipe", hint=hint)
    python = image.document.python
    debs = [source.file_name for source in graph[base.recipe].sources] if base.recipe in graph else []
    if python is not None and debs and not any(deb.startswith(f"python{python.version}-minimal_") for deb in debs):
        raise RecipeError(
            f"{base.recipe} has no Python {python.version}",
            where=f"{image.where}: python.version",
            why="the environment runs by the Python of the base, which also makes its bytecode",
            hint="the bases here have 3.11",
        )
    return with_environment(graph, image, base=base.recipe)


def image_key_of(image: Image, graph: Graph, compression: Compression) -> tuple[Digest, dict[str, Digest]]:
    """The image's key, and the derivation keys of all that it is made of."""
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.image.key import image_key
    from orchestrator.image.layer import encoder

    keys = derivation_keys(graph)
    return image_key(image, graph, keys, compression=compression, encoder=encoder(compression)), keys


def finished(layout: Layout, key: Digest) -> ImageRecord | None:
    """The image of that key if it was made and all its blobs are there."""
    from orchestrator.store import has_blob, read_image

    record = read_image(layout, key)
    if record is None:
        return None
    blobs = [(record.manifest, record.manifest_size), (record.config, record.config_size)]
    blobs += [(layer.digest, layer.size) for layer in record.layers]
    return record if all(has_blob(layout, digest, size) for digest, size in blobs) else None
