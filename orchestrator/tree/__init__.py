"""Directory trees as values: walk one, hash it, seal it, compare it, remove it. Knows nothing of the store or of
recipes.

Each name is imported when it is first asked for: a question needs few of them.
"""

from typing import TYPE_CHECKING

from orchestrator.lazily import lazily

if TYPE_CHECKING:
    from orchestrator.tree.check import check_tree, differences
    from orchestrator.tree.failure import disk, machine_error
    from orchestrator.tree.manifest import Entry, Manifest
    from orchestrator.tree.remove import remove_tree
    from orchestrator.tree.scanning import scan
    from orchestrator.tree.sealing import SEALED_MTIME, seal

__all__ = [
    "SEALED_MTIME",
    "Entry",
    "Manifest",
    "check_tree",
    "differences",
    "disk",
    "machine_error",
    "remove_tree",
    "scan",
    "seal",
]

_MODULES = {
    "check": ("check_tree", "differences"),
    "failure": ("disk", "machine_error"),
    "manifest": ("Entry", "Manifest"),
    "remove": ("remove_tree",),
    "scanning": ("scan",),
    "sealing": ("SEALED_MTIME", "seal"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:  # which would take any name for one of this room
    __getattr__ = lazily(__name__, _HOMES)
