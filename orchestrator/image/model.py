"""The values that the rest of this room passes around. Pure.

A Component is one stored tree of an image. Merged, they are the image's root: a View says which component each path is
from. A LayerPlan is what one layer is written from, a Layer what it became.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from orchestrator.digest import Digest
from orchestrator.frozen import field, frozen
from orchestrator.recipe.image import Image
from orchestrator.recipe.python_lock import PythonLock
from orchestrator.tree import Entry, Manifest

Kind = Literal["base", "native", "wheel", "bytecode", "system"]
Compression = Literal["zstd", "gzip"]


@frozen
class Component:
    """One stored tree that is in an image."""

    name: str  # a recipe's name, wheel:NAME, bytecode or system
    version: str
    origin: str  # source, vendor, or orch for what orch itself makes
    kind: Kind
    object: Digest  # the tree
    key: Digest | None  # its derivation key; None for the system tree
    sources: tuple[str, ...] = ()  # such as pypi:torch/torch-2.9.1-...whl, with the hash: NAME sha256:HEX
    recipe: str = ""  # the file that declares it


@frozen
class View:
    """The merged root of an image. `owner` maps a path (relative, no leading '/') to the index of the component whose
    entry it is; of a directory that several have, the last's. `excluded` names the paths of a component that are left
    out of the image, because another component's file wins or the recipe drops them."""

    components: tuple[Component, ...]  # bottom first
    manifests: tuple[Manifest, ...]
    owner: Mapping[str, int]
    entries: Mapping[str, Entry]
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by component name

    def component(self, path: str) -> Component:
        """The component that `path` is from; KeyError if there is no such path."""
        return self.components[self.owner[path]]


@frozen
class LayerPart:
    """One component's share in a layer: all of its tree but `excluded`."""

    component: str
    object: Digest
    excluded: frozenset[str] = frozenset()


@frozen
class LayerPlan:
    """What one layer holds: parts in the order in which they are written; no path is a file in two of them with
    different content."""

    name: str  # for people: the component, or what the group is
    parts: tuple[LayerPart, ...]
    size: int  # bytes of files, not compressed


@frozen
class Layer:
    """A layer that is in the layout: OCI's descriptor and diff_id, and what it is made of."""

    name: str
    media_type: str
    digest: Digest  # sha256 of the blob
    size: int  # bytes of the blob
    diff_id: Digest  # sha256 of the tar
    unpacked: int  # bytes of files
    parts: tuple[LayerPart, ...]


@frozen
class Finding:
    """Something that a check found. `path` is the file (relative), `name` what is wrong about it: a soname, a package;
    waivers match these two."""

    check: str
    path: str
    name: str
    what: str  # the fact, a whole sentence without a full stop
    hint: str  # the remedy


@frozen
class ElfFacts:
    """What the dynamic section of one ELF file says, and which symbol versions it needs of which library."""

    path: str
    machine: str  # such as EM_X86_64
    soname: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]  # DT_RUNPATH, else DT_RPATH, split at ':', $ORIGIN as it stands
    glibc: str  # the newest GLIBC_x.y needed of libc.so.6, libm.so.6 and the like; "" if none
    is_library: bool  # ET_DYN that has a dynamic section and no interpreter
    inherited: bool = False  # `runpath` is DT_RPATH: the loader looks there too for what its libraries need


@frozen
class Subject:
    """What checks look at."""

    image: Image
    view: View
    elf: Mapping[str, ElfFacts]  # every ELF file of the image, by path
    ldconf: tuple[str, ...]  # the loader's directories, in order, absolute; the base's default ones last
    lock: PythonLock | None
    read: Callable[[str], bytes]  # the content of a file of the image, by path; KeyError if there is none
