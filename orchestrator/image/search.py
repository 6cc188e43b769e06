"""Where a file of an image comes from: layer, component, recipe, source; and back: what came of a component. Reads
the manifests of the image's objects in the store, no blob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from posixpath import normpath

from orchestrator.errors import MachineError
from orchestrator.frozen import frozen
from orchestrator.store import Layout, has_object, read_manifest
from orchestrator.store.images import ComponentFields, ImageRecord, LayerFields
from orchestrator.tree import Entry, Manifest


@frozen
class Place:
    """One path of an image and where it comes from. `layer` None: one of several, of a base from a registry."""

    entry: Entry
    component: ComponentFields
    layer: LayerFields | None


def find_paths(layout: Layout, record: ImageRecord, pattern: str) -> Iterator[Place]:
    """Every path of the image that `pattern` names: a path, on whose way links to directories are followed, or a glob
    in which `*` crosses '/'. Raise MachineError if an object of the image is no longer in the store."""
    wanted = pattern.strip("/")
    owners: dict[str, ComponentFields] = {}
    entries: dict[str, Entry] = {}
    for component in record.components:  # bottom first: a later one's entry is the one that is seen
        left_out = set(component.excluded)
        for entry in _manifest(layout, record, component).entries:
            if entry.path not in left_out:
                owners[entry.path], entries[entry.path] = component, entry
    if any(character in wanted for character in "*?["):
        found = sorted(path for path in entries if fnmatchcase(path, wanted))
    else:
        real = _real(entries, wanted)
        found = [real] if real in entries else []
    for path in found:
        yield Place(entry=entries[path], component=owners[path], layer=layer_of(record, owners[path].name))


def _manifest(layout: Layout, record: ImageRecord, component: ComponentFields) -> Manifest:
    if not has_object(layout, component.object):
        raise MachineError(
            f"the tree of {component.name} is no longer in the store",
            where=str(layout.object(component.object)),
            why=f"{record.name} has its layer still, but which files are from where only the trees tell",
            hint=f"rm {layout.images / f'{record.key.hex}.json'}; orch image {record.name} then makes them again",
        )
    return read_manifest(layout, component.object)


_MOST_LINKS = 40


def _real(entries: Mapping[str, Entry], path: str) -> str:
    """`path` with the links to directories on its way followed; its last part stays as it is."""
    for _ in range(_MOST_LINKS):
        parts = path.split("/")
        ways = ("/".join(parts[:count]) for count in range(1, len(parts)))
        link = next((way for way in ways if way in entries and entries[way].kind == "link"), None)
        if link is None:
            return path
        rest = path.removeprefix(link)
        target = entries[link].target
        start = "" if target.startswith("/") else f"/{link.rpartition('/')[0]}/"
        path = normpath(f"{start}{target}{rest}").lstrip("/")
    return path


def layer_of(record: ImageRecord, component: str) -> LayerFields | None:
    """The layer that holds a component; None for a base from a registry that has several."""
    found = [layer for layer in record.layers if component in layer.components]
    return found[0] if len(found) == 1 else None


def find_components(record: ImageRecord, name: str) -> tuple[ComponentFields, ...]:
    """The components that `name` names: their own name or that of a wheel alone, else a recipe's file, a source (in
    part), the digest of their object or of their layer."""
    if not name:
        return ()
    if exact := [one for one in record.components if name in (one.name, one.name.removeprefix("wheel:"))]:
        return tuple(exact)
    by_layer = {part for layer in record.layers if name in (str(layer.digest), layer.name) for part in layer.components}
    return tuple(
        one
        for one in record.components
        if name in (one.recipe.partition(":")[0], str(one.object), str(one.key))
        or one.name in by_layer
        or (len(name) > 3 and any(name in source for source in one.sources))
    )


def files_of(layout: Layout, record: ImageRecord, component: ComponentFields) -> tuple[Entry, ...]:
    """The entries of a component that are in the image, directories not."""
    left_out = set(component.excluded)
    entries = _manifest(layout, record, component).entries
    return tuple(entry for entry in entries if entry.kind != "dir" and entry.path not in left_out)
