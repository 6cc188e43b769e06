"""Where a file of an image comes from: layer, component, recipe, source; and back: what came of a component. Reads
the manifests of the image's objects in the store, no blob."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.store import Layout, read_manifest
from orchestrator.store.images import ComponentFields, ImageRecord, LayerFields
from orchestrator.tree import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One path of an image and where it comes from. `layer` None: one of several, of a base from a registry."""

    entry: Entry
    component: ComponentFields
    layer: LayerFields | None


def find_paths(layout: Layout, record: ImageRecord, pattern: str) -> Iterator[Place]:
    """Every path of the image that `pattern` names: a path, or a glob in which `*` crosses '/'. Raise MachineError if
    an object of the image is no longer in the store."""
    wanted = pattern.strip("/")
    exact = not any(character in wanted for character in "*?[")
    found: dict[str, Place] = {}
    for component in record.components:  # bottom first: a later one's entry is the one that is seen
        manifest = read_manifest(layout, component.object)
        left_out = set(component.excluded)
        entries = [manifest.by_path[wanted]] if exact and wanted in manifest.by_path else []
        if not exact:
            entries = [entry for entry in manifest.entries if fnmatchcase(entry.path, wanted)]
        for entry in entries:
            if entry.path not in left_out:
                found[entry.path] = Place(entry=entry, component=component, layer=layer_of(record, component.name))
    yield from (found[path] for path in sorted(found))


def layer_of(record: ImageRecord, component: str) -> LayerFields | None:
    """The layer that holds a component; None for a base from a registry that has several."""
    found = [layer for layer in record.layers if component in layer.components]
    return found[0] if len(found) == 1 else None


def find_components(record: ImageRecord, name: str) -> tuple[ComponentFields, ...]:
    """The components that `name` names: their own name, the name of a wheel, a recipe's file, a source (in part), the
    digest of their object or of their layer."""
    by_layer = {part for layer in record.layers if name in (str(layer.digest), layer.name) for part in layer.components}
    return tuple(
        one
        for one in record.components
        if name
        in (one.name, one.name.removeprefix("wheel:"), one.recipe.partition(":")[0], str(one.object), str(one.key))
        or one.name in by_layer
        or (len(name) > 3 and any(name in source for source in one.sources))
    )


def files_of(layout: Layout, component: ComponentFields) -> tuple[Entry, ...]:
    """The entries of a component that are in the image, directories not."""
    left_out = set(component.excluded)
    entries = read_manifest(layout, component.object).entries
    return tuple(entry for entry in entries if entry.kind != "dir" and entry.path not in left_out)
