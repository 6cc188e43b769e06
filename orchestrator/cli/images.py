"""List the images that can be made, and what this store has of each."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import add_place_arguments, open_project
from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from orchestrator.recipe import Image, Images
    from orchestrator.store import ImageRecord, Layout

EPILOG = """\
An image is `made` if its newest build is in this store. `orch image NAME` says whether that is
still what its recipe asks for.

examples:
  orch images
  orch images --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for every image recipe, then what the layers of all of them take together. One that cannot be read
    is told of in its line."""
    from orchestrator.recipe import load_images
    from orchestrator.store import latest_image

    opened = open_project(arguments)
    layout = opened.store(create=False)
    images = load_images(opened.project)
    read = {name: _read(images, name) for name in images.names}
    made = {name: latest_image(layout, name) for name in images.names}
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("images", {"images": [_content(layout, name, read[name], made[name]) for name in read]})
        return 0
    width = max((len(name) for name in read), default=0)
    for name, image in read.items():
        print(f"{name:<{width}}  {_state(name, image, made[name])}")
        if not isinstance(image, OrchError):
            print(f"{'':<{width}}  {image.document.summary}")
    records = [record for record in made.values() if record is not None]
    if len(records) > 1:
        total = sum(layer.size for record in records for layer in record.layers)
        stored = sum({layer.digest: layer.size for record in records for layer in record.layers}.values())
        print(f"\n{len(records)} images: {bytes_text(stored)} of layers stored for {bytes_text(total)}")
    return 0


def _read(images: Images, name: str) -> Image | OrchError:
    try:
        return images[name]
    except OrchError as error:
        return error


def _state(name: str, image: Image | OrchError, record: ImageRecord | None) -> str:
    if isinstance(image, OrchError):
        return f"{image.what} ({image.where}){f': {image.hint}' if image.hint else ''}"
    if record is not None:
        size = sum(layer.size for layer in record.layers)
        from orchestrator.cli.image import dirty_components

        dirty = f", dirty: {', '.join(dirty_components(record))}" if dirty_components(record) else ""
        return f"made: {len(record.layers)} layers, {bytes_text(size)} ({bytes_text(record.unpacked)} unpacked){dirty}"
    return f"not locked: orch lock {name}" if image.lock_missing else "not made"


def _content(layout: Layout, name: str, image: Image | OrchError, record: ImageRecord | None) -> dict[str, Any]:
    from orchestrator.cli.complaint import error_document
    from orchestrator.cli.image import image_content

    content: dict[str, Any] = {"name": name, "made": image_content(layout, record) if record is not None else None}
    if isinstance(image, OrchError):
        return content | {"error": error_document(image)}
    document = image.document
    return content | {"summary": document.summary, "version": document.version, "locked": not image.lock_missing}
