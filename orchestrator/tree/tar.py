"""The tar header of one entry of a tree, from its manifest alone: the same bytes whoever writes it, and whenever. Pure.

Owner and mode are the manifest's, names of owners are empty, every time is SEALED_MTIME; a PAX header is there only
where USTAR cannot hold a value.
"""

from __future__ import annotations

import tarfile

from orchestrator.tree.manifest import Entry
from orchestrator.tree.sealing import SEALED_MTIME

_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
_NAME = 100  # bytes that USTAR has for a name
_SIZE = 0o77777777777
_OWNER = 0o7777777
_MAGIC_AND_REST = b"ustar\x0000".ljust(512 - 257, b"\0")  # no names of owners, no device, no prefix


def tar_header(entry: Entry) -> bytes:
    """The header blocks of one entry: one block of USTAR, or with a PAX header before it where that is too narrow."""
    name = f"{entry.path}/" if entry.kind == "dir" else entry.path
    if (
        len(name) <= _NAME
        and len(entry.target) <= _NAME
        and name.isascii()
        and entry.target.isascii()
        and entry.size <= _SIZE
        and entry.uid <= _OWNER
        and entry.gid <= _OWNER
        and not entry.xattrs
    ):
        return _ustar_header(entry, name)
    return _pax_header(entry)


def _ustar_header(entry: Entry, name: str) -> bytes:
    """What tarfile makes of it too, a fifth as long: there are a hundred thousand in an image."""
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode, entry.uid, entry.gid, entry.size, SEALED_MTIME)
    front = name.encode().ljust(_NAME, b"\0") + numbers
    back = _TYPES[entry.kind] + entry.target.encode().ljust(_NAME, b"\0") + _MAGIC_AND_REST
    checksum = sum(front) + sum(back) + 8 * ord(" ")
    return b"%s%06o\0 %s" % (front, checksum, back)


def _pax_header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.kind]
    info.size = entry.size
    info.mode = entry.mode
    info.uid = entry.uid
    info.gid = entry.gid
    info.mtime = SEALED_MTIME
    info.linkname = entry.target
    info.pax_headers = {
        f"SCHILY.xattr.{name}": bytes.fromhex(value).decode("utf-8", "surrogateescape") for name, value in entry.xattrs
    }
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
