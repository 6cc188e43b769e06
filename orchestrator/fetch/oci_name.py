"""Parses the name of an image in a registry: oci:REGISTRY[:PORT]/PATH@sha256:HEX. Pure; asks no registry.

A name pins a digest and nothing else does: a tag may lead elsewhere tomorrow. The registry is named, none is assumed.
"""

from __future__ import annotations

import re

from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.fetch.url import is_loopback
from orchestrator.frozen import frozen

_SCHEME = "oci:"
_FORM = "oci:REGISTRY[:PORT]/PATH@sha256:HEX"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_HEX = re.compile(r"[0-9a-f]{64}")
_LONGEST = 255  # bytes of registry and path: what registries take


@frozen(kw_only=False)
class OciName:
    """An image, or an index of images for several platforms, in a repository of a registry."""

    registry: str  # host, and :PORT if one is given
    path: str
    digest: Digest

    def __str__(self) -> str:
        return f"{_SCHEME}{self.registry}/{self.path}@{self.digest}"

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine, by name or address."""
        return is_loopback(self.registry.partition(":")[0])

    def at(self, digest: Digest) -> str:
        """Another manifest of the same repository, as skopeo spells it."""
        return f"docker://{self.registry}/{self.path}@{digest}"


def parse_oci_name(text: str, *, where: str = "") -> OciName:
    """Raise RecipeError unless `text` is an image's name; `where` is the file and field for the message."""
    try:
        return _parse(text)
    except ValueError as error:
        raise RecipeError(
            f"not the name of an image: {text!r}", where=where, why=str(error), hint=f"it is spelt {_FORM}"
        ) from None


def _parse(text: str) -> OciName:
    if not text.startswith(_SCHEME):
        raise ValueError(f"it does not start with {_SCHEME!r}")
    repository, at, digest = text.removeprefix(_SCHEME).rpartition("@")
    if not at:
        raise ValueError("it has no digest: what a tag leads to can change")
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or _HEX.fullmatch(hexadecimal) is None:
        raise ValueError(f"{digest!r} is not 'sha256:' and 64 lower-case hex digits")
    registry, slash, path = repository.partition("/")
    host, colon, port = registry.partition(":")
    if not slash or not ("." in host or colon or host == "localhost"):
        raise ValueError(f"it names no registry: {registry!r} has no dot and no port, and none is assumed")
    if _HOST.fullmatch(host) is None or (colon and (_PORT.fullmatch(port) is None or int(port) > 65535)):
        raise ValueError(f"{registry!r} is not a host or HOST:PORT")
    if ":" in path:
        raise ValueError("it has a tag beside its digest: the digest alone says which image it is")
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise ValueError(f"{path!r} is not a repository's path: lower-case letters, digits and '.', '_', '-' between")
    if len(repository) > _LONGEST:
        raise ValueError(f"its repository's name is longer than {_LONGEST} bytes")
    return OciName(registry, path, Digest(algorithm, hexadecimal))
