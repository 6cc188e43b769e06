"""Directory trees as values: walk one, hash it, seal it, compare it, remove it. Knows nothing of the store or of
recipes."""

from orchestrator.tree.check import check_tree, differences
from orchestrator.tree.failure import disk, machine_error
from orchestrator.tree.manifest import Entry, Manifest
from orchestrator.tree.remove import remove_tree
from orchestrator.tree.scan import scan
from orchestrator.tree.seal import SEALED_MTIME, seal

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
