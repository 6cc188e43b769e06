"""Archives: unpacks sources, wheels and .debs. Knows no store, recipe or network; trusts no archive."""

from orchestrator.archive.deb import ControlFile, DebControl, unpack_deb
from orchestrator.archive.unpack import unpack

__all__ = ["ControlFile", "DebControl", "unpack", "unpack_deb"]
