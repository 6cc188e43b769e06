"""Ed25519 keys as one line of text, and what they sign. The one home of cryptography. Knows no file and no cache.

A public key is `NAME:BASE64`, what a project trusts; a secret key is `NAME:secret:BASE64`, never printed.
"""

from __future__ import annotations

import base64
import re

from orchestrator.errors import UsageError
from orchestrator.frozen import field, frozen

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LENGTH = 32  # bytes of either key
_SECRET = "secret"


@frozen
class PublicKey:
    """What signatures are verified with."""

    name: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raise ValueError for what is none."""
        name, _, rest = text.partition(":")
        if rest.startswith(f"{_SECRET}:"):
            raise ValueError("it is a secret key; what is trusted is the public one, in the file that ends in .pub")
        return cls(name=_name(name), raw=_raw(rest))

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether the owner of the key signed `data`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@frozen
class SecretKey:
    """What signs."""

    name: str
    raw: bytes = field(repr=False)

    @classmethod
    def new(cls, name: str) -> SecretKey:
        """A key that nobody has. Raise UsageError for a name that a key cannot have."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            return cls(name=_name(name), raw=Ed25519PrivateKey.generate().private_bytes_raw())
        except ValueError as error:
            raise UsageError(str(error), hint="such as acme-ci-2026") from error

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """Raise ValueError, which does not quote `text`, for what is none."""
        name, _, rest = text.strip().partition(":")
        kind, _, rest = rest.partition(":")
        if kind != _SECRET:
            raise ValueError("it is no secret key of orch's")
        return cls(name=_name(name), raw=_raw(rest))

    def text(self) -> str:
        """The line that its file holds."""
        return f"{self.name}:{_SECRET}:{base64.b64encode(self.raw).decode()}"

    @property
    def public(self) -> PublicKey:
        """Its other half."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        raw = Ed25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw()
        return PublicKey(name=self.name, raw=raw)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(data)


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"a key cannot be called {text[:80]!r}: letters, digits, '.', '_' and '-', at most 64")
    return text


def _raw(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _LENGTH or base64.b64encode(raw).decode() != text:
        raise ValueError(f"after the name stand {_LENGTH} bytes in base64")
    return raw
