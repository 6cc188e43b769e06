"""Say where a file of an image comes from: layer, component, recipe, source; and what came of a component."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.diff import made_image
from orchestrator.cli.numbers import bytes_text, count_text
from orchestrator.cli.opening import add_place_arguments, open_project
from orchestrator.errors import AnswerIsNo

if TYPE_CHECKING:
    from orchestrator.image.search import Place
    from orchestrator.store import ComponentFields, ImageRecord, LayerFields, Layout

EPILOG = """\
What begins with / is a path, or a glob in which * crosses /. Anything else names a component, a
wheel, a recipe's file, a source, an object or a layer, and is answered with what came of it.
Exit status 5 if the image has no such thing.

examples:
  orch find sglang-cu12 /usr/local/ucx/lib/libucp.so.0
  orch find sglang-cu12 '*/libucp*'
  orch find sglang-cu12 torch                what the wheel brought
  orch find sglang-cu12 nixl --files         every file of it
"""
_SHOWN = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="an image's name, or sha256:... of its manifest")
    parser.add_argument("what", metavar="PATH", help="a path or glob in the image, or a component, source or layer")
    parser.add_argument("--files", action="store_true", help="of a component: all its files")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what is found."""
    from orchestrator.image.search import find_components, find_paths

    opened = open_project(arguments)
    layout = opened.store(create=False)
    record = made_image(opened, layout, arguments.image)
    what = arguments.what
    components: tuple[ComponentFields, ...] = ()
    places: list[Place] = []
    if not what.startswith(("/", "*")):
        components = find_components(record, what)
    if not components:
        places = list(find_paths(layout, record, what))
    if not components and not places:
        raise AnswerIsNo(
            f"{arguments.image} has no {what}",
            where=str(record.manifest),
            why="no path, component, source or layer of it has that name",
            hint=f"orch find {arguments.image} '*{what.strip('/').rpartition('/')[2]}*'",
        )
    if arguments.json:
        from orchestrator.cli.document import print_document

        content: dict[str, Any] = {
            "image": record.name,
            "paths": [_place_content(place) for place in places],
            "components": [_component_content(layout, record, one, arguments.files) for one in components],
        }
        print_document("find", content)
        return 0
    for place in places[:_SHOWN] if not arguments.files else places:
        _show_place(place)
    if len(places) > _SHOWN and not arguments.files:
        print(f"and {len(places) - _SHOWN} more: --files shows all")
    for one in components:
        _show_component(layout, record, one, arguments.files)
    return 0


def _place_content(place: Place) -> dict[str, Any]:
    entry, component, layer = place.entry, place.component, place.layer
    return {
        "path": f"/{entry.path}",
        "kind": entry.kind,
        "bytes": entry.size,
        "blake3": entry.digest or None,
        "target": entry.target or None,
        "layer": {"name": layer.name, "digest": str(layer.digest)} if layer else None,
        "component": component.name,
        "version": component.version,
        "origin": component.origin,
        "object": str(component.object),
        "key": str(component.key) if component.key else None,
        "recipe": component.recipe,
        "sources": list(component.sources),
    }


def _component_content(layout: Layout, record: ImageRecord, one: ComponentFields, files: bool) -> dict[str, Any]:
    from orchestrator.image.search import files_of, layer_of

    layer = layer_of(record, one.name)
    entries = files_of(layout, record, one)
    content = {
        "name": one.name,
        "version": one.version,
        "origin": one.origin,
        "object": str(one.object),
        "key": str(one.key) if one.key else None,
        "recipe": one.recipe,
        "sources": list(one.sources),
        "layer": {"name": layer.name, "digest": str(layer.digest)} if layer else None,
        "bytes": one.unpacked,
        "files": len(entries),
    }
    return content | ({"paths": [f"/{entry.path}" for entry in entries]} if files else {})


def _show_place(place: Place) -> None:
    entry = place.entry
    note = (
        f" -> {entry.target}" if entry.kind == "link" else f"  {bytes_text(entry.size)}" if entry.kind == "file" else ""
    )
    print(f"/{entry.path}{note}")
    _show_layer(place.layer)
    _show_origin(place.component)


def _show_layer(layer: LayerFields | None) -> None:
    print(f"  layer      {f'{layer.name}  {layer.digest}' if layer is not None else 'a layer of the base image'}")


def _show_origin(one: ComponentFields) -> None:
    print(f"  component  {one.name} {one.version}  {one.origin}  {one.object}")
    if one.recipe:
        print(f"  recipe     {one.recipe}")
    for source in one.sources[:_SHOWN]:
        print(f"  source     {source}")
    if len(one.sources) > _SHOWN:
        print(f"  source     and {len(one.sources) - _SHOWN} more")


def _show_component(layout: Layout, record: ImageRecord, one: ComponentFields, files: bool) -> None:
    from orchestrator.image.search import files_of, layer_of

    entries = files_of(layout, record, one)
    print(f"{one.name} {one.version}: {count_text(len(entries), 'file')}, {bytes_text(one.unpacked)}")
    _show_layer(layer_of(record, one.name))
    _show_origin(one)
    for entry in entries if files else ():
        print(f"  /{entry.path}")
