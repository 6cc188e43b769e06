"""The key of an image: the hash of all that is declared and can change its bytes or decide whether it gets its name.

It is known before anything is built: an image that is recorded under it, and whose blobs are there, is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from orchestrator.digest import Digest, key_of
from orchestrator.graph.closure import closure_key
from orchestrator.graph.derivation import Graph
from orchestrator.image.components import component_names
from orchestrator.image.model import Compression
from orchestrator.recipe.image import Image

SCHEMA = 1  # raised when the same declarations lead to other bytes, or are checked in another way


def image_document(
    image: Image, graph: Graph, keys: Mapping[str, Digest], *, compression: Compression, encoder: str
) -> dict[str, Any]:
    """What is hashed. `keys` are derivation keys by node name, `encoder` says which compressor in which version."""
    return {
        "schema": SCHEMA,
        "kind": "image",
        # All of the recipe: its checks, waivers and reasons too, since they decide and are told with the image.
        "recipe": dataclasses.asdict(image.document),
        # What [run] is given.
        "files": {name: file.sha256 for name, file in image.files.items()},
        # What it is made of, bottom first.
        "components": [[name, str(keys[name])] for name in component_names(graph, image)],
        # Finished goals: their checks, environment and loader directories are in their closure keys.
        "goals": {goal: str(closure_key(graph, goal, keys)) for goal in image.document.components},
        # All of the lock: checks also read the rows of what recipes provide. Sizes and the day it was made are news.
        "lock": [[wheel.name, wheel.version, wheel.file_name, wheel.sha256] for wheel in image.lock.wheels]
        if image.lock is not None
        else None,
        "options": [list(pair) for pair in graph.options],
        "compression": compression,
        "encoder": encoder,
    }


def image_key(
    image: Image, graph: Graph, keys: Mapping[str, Digest], *, compression: Compression, encoder: str
) -> Digest:
    """The key of an image."""
    return key_of(image_document(image, graph, keys, compression=compression, encoder=encoder))
