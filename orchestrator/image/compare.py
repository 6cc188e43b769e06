"""What differs between two images, and what a puller of the second saves who has the first. Pure."""

from __future__ import annotations

from orchestrator.frozen import frozen
from orchestrator.store.images import ComponentFields, ImageRecord, LayerFields


@frozen
class ComponentChange:
    """One component that is not the same in both; None: it is not there."""

    name: str
    before: ComponentFields | None
    after: ComponentFields | None

    @property
    def text(self) -> str:
        """`0.9.0 -> 0.10.1`, `new 0.10.1`, `gone`, or `rebuilt` where only the bytes differ."""
        if self.before is None:
            return f"new {self.after.version}" if self.after is not None else ""
        if self.after is None:
            return f"gone (was {self.before.version})"
        if self.before.version != self.after.version:
            return f"{self.before.version} -> {self.after.version}"
        if self.before.origin != self.after.origin:
            return f"{self.before.origin} -> {self.after.origin}"
        return f"{self.after.version}, other bytes"


@frozen
class Comparison:
    """Two images side by side. Bytes are of compressed layers."""

    same: bool  # the same manifest
    components: tuple[ComponentChange, ...]
    unchanged: int  # components that are the same
    shared: tuple[LayerFields, ...]
    new: tuple[LayerFields, ...]  # in the second only
    gone: tuple[LayerFields, ...]  # in the first only

    @property
    def saved(self) -> int:
        """Bytes that a puller of the second who has the first need not fetch."""
        return sum(layer.size for layer in self.shared)

    @property
    def pulled(self) -> int:
        """Bytes that such a puller fetches."""
        return sum(layer.size for layer in self.new)


def compare(first: ImageRecord, second: ImageRecord) -> Comparison:
    """What leads from `first` to `second`."""
    before = {one.name: one for one in first.components}
    after = {one.name: one for one in second.components}
    changes = [
        ComponentChange(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if name not in before or name not in after or before[name].object != after[name].object
    ]
    there = {layer.digest for layer in first.layers}
    here = {layer.digest for layer in second.layers}
    return Comparison(
        same=first.manifest == second.manifest,
        components=tuple(changes),
        unchanged=len(before.keys() & after.keys()) - sum(1 for one in changes if one.before and one.after),
        shared=tuple(layer for layer in second.layers if layer.digest in there),
        new=tuple(layer for layer in second.layers if layer.digest not in there),
        gone=tuple(layer for layer in first.layers if layer.digest not in here),
    )
