"""Where a name may be had: the project's mirrors for its scheme if any, else what this machine's pip or apt say."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from orchestrator.fetch.settings import Machine, Place, apt_archives, pip_indexes
from orchestrator.fetch.url import DebianName, GitName, LocalName, Name, PypiName
from orchestrator.frozen import frozen

_IN_PATH = "/+~:@!$&'()*,;="  # what a path may hold as it is; some archives do not know their files by %2B


@frozen
class Mirrors:
    """orch.toml's [mirrors]: addresses tried in turn, http(s) or file. No entry: the machine's settings hold. `indexes`
    are a vendor's own Python indexes that an image names, tried after all others."""

    pypi: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()


def places_of(name: Name, mirrors: Mirrors, machine: Machine) -> tuple[Place, ...]:
    """The places to ask, in order. A file that is named by its own address has one."""
    if isinstance(name, PypiName):
        own = tuple(Place(address, "python.indexes of the image") for address in mirrors.indexes)
        return (*(_mirrors("pypi", mirrors.pypi) or pip_indexes(machine)), *own)
    if isinstance(name, DebianName):
        return _mirrors("debian", mirrors.debian) or apt_archives(machine)
    return (Place(name.path if isinstance(name, LocalName) else name.url, "the source's name"),)


def no_places(name: Name) -> str:
    """Why `places_of` is empty."""
    if isinstance(name, PypiName):
        return "orch.toml has no [mirrors] pypi, and no pip here names an index"
    return "orch.toml has no [mirrors] debian, and apt here has no Debian archive"


def _mirrors(scheme: str, addresses: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple(Place(address, f"orch.toml [mirrors] {scheme}") for address in addresses)


def local_candidates(name: Name, place: Place, base: Path) -> tuple[Path, ...]:
    """The files that may be it, if `place` is on this machine; empty if it is not. `base` is the recipe's directory."""
    if isinstance(name, LocalName):
        return (base / name.path,)
    if isinstance(name, GitName) or not place.address.startswith("file:"):
        return ()
    directory = Path(unquote(urlsplit(place.address).path))
    if isinstance(name, PypiName):
        return directory / name.project / name.file_name, directory / name.file_name
    return (directory / name.path,) if isinstance(name, DebianName) else ()


def joined(address: str, path: str) -> str:
    """The address of `path` below `address`."""
    return re.sub(r"/+$", "", address) + "/" + quote(path, safe=_IN_PATH)
