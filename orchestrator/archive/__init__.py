"""Archives: unpacks sources, wheels and .debs. Knows no store, recipe or network; trusts no archive."""

from orchestrator.archive.deb import ControlFile, DebControl, unpack_deb
from orchestrator.archive.limits import Refusal
from orchestrator.archive.pack import pack
from orchestrator.archive.unpack import check_zip, unpack, unpack_tree

__all__ = ["ControlFile", "DebControl", "Refusal", "check_zip", "pack", "unpack", "unpack_deb", "unpack_tree"]
