"""Asks a registry through skopeo, which knows its protocol, and this machine's logins, certificates and mirrors.

What it brings is looked at by the caller: nothing here checks a digest. What it says when it fails becomes an error
whose kind tells whether the name is wrong or the machine.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import MachineError, OrchError, SourceError
from orchestrator.fetch.oci_name import OciName
from orchestrator.fetch.web import Patience
from orchestrator.frozen import field, frozen
from orchestrator.process import Ending, find_program, run_program, stream

_EVENTS_APART = 0.2  # seconds
_RETRIES = "2"
_KEPT = 16 << 10  # bytes of what it printed, the last ones
_PASSED_ON = (
    "HOME", "PATH", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG",
    "CONTAINERS_REGISTRIES_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_POLICIES = ("/etc/containers/policy.json", "~/.config/containers/policy.json")
_ABSENT = re.compile(r"manifest unknown|name unknown|\b404\b|not found", re.IGNORECASE)
_OTHER = re.compile(r"does not match (?:provided )?(?:manifest )?digest|digest did not match", re.IGNORECASE)
_LOGIN = re.compile(r"unauthorized|authentication required|access.*denied|\b40[13]\b", re.IGNORECASE)
_MESSAGE = re.compile(r'level=(?:fatal|error) msg="(.*)"$')


@frozen
class Registry:
    """The registry of one name. `tls_verify` None: as the machine says, but an address of this machine needs none."""

    name: OciName
    where: str  # the file and field that names it, for messages
    tls_verify: bool | None = None
    patience: Patience = field(default_factory=Patience)

    def manifest(self, digest: Digest) -> bytes:
        """The manifest `digest` as the registry sends it. Raise SourceError if it has none, MachineError."""
        return self._inspect("--raw", self.name.at(digest))

    def config(self, digest: Digest) -> bytes:
        """The config of the image whose manifest is `digest`."""
        return self._inspect("--config", "--raw", self.name.at(digest))

    def copy(
        self,
        digest: Digest,
        scratch: Path,
        blobs: Path,
        on_progress: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Bring the blobs of the image whose manifest is `digest` to `blobs`/sha256/HEX, but those that are there.

        `scratch` is an empty directory for what is on its way. After an error whole blobs may be there. Raise
        SourceError, MachineError; KeyboardInterrupt soon after `stopped()` is true.
        """
        argv = [
            *self._skopeo(), "--tmpdir", str(scratch), "copy", *self._tls("--src-tls-verify"),
            "--retry-times", _RETRIES, "--dest-oci-accept-uncompressed-layers", "--dest-shared-blob-dir", str(blobs),
            self.name.at(digest), f"oci:{scratch / 'image'}:base",
        ]  # fmt: skip
        said = bytearray()

        def keep(data: bytes) -> None:
            said.extend(data)
            del said[:-_KEPT]

        watch = _Watch((scratch, blobs), on_progress, stopped, self.patience.read)
        ended = stream(argv, env=_environment(), cwd=scratch, on_bytes=keep, stop=watch)
        if stopped():
            raise KeyboardInterrupt
        if ended.ending is Ending.STOPPED:
            raise self._failed(f"no byte came for {self.patience.read:g} s")
        if ended.status != 0:
            raise self._failed(said.decode(errors="replace"))

    def _inspect(self, *arguments: str) -> bytes:
        argv = [*self._skopeo(), "inspect", *self._tls("--tls-verify"), *arguments]
        try:  # what it asks for is small
            done = run_program(argv, env=_environment(), timeout=self.patience.read)
        except MachineError as error:
            raise self._failed(error.what) from error
        if done.status != 0:
            raise self._failed(done.stderr.decode(errors="replace"))
        return done.stdout

    def _skopeo(self) -> list[str]:
        try:
            program = find_program("skopeo")
        except MachineError as error:
            error.where = self.where
            raise
        # Whose signature an image needs is for the machine to say. Where it says nothing, the digest is enough.
        policy = any(Path(path).expanduser().exists() for path in _POLICIES)
        return [str(program), *([] if policy else ["--insecure-policy"])]

    def _tls(self, option: str) -> list[str]:
        verify = False if self.tls_verify is None and self.name.is_loopback else self.tls_verify
        return [] if verify is None else [f"{option}={str(verify).lower()}"]

    def _failed(self, said: str) -> OrchError:
        lines = said.strip().splitlines() or ["it ended without a word"]
        message = _MESSAGE.search(lines[-1])
        why = message[1].replace('\\"', '"') if message else "\n".join(lines[-5:])
        if _OTHER.search(why):
            return SourceError(
                f"{self.name} is not what is pinned",
                where=self.where,
                why=why,
                hint="the registry sends something else under this digest: ask whoever runs it",
            )
        if _LOGIN.search(why):
            return MachineError(
                f"the registry does not let us have {self.name}",
                where=self.where,
                why=why,
                hint=f"log in: skopeo login {self.name.registry}",
            )
        if _ABSENT.search(why):
            return SourceError(
                f"the registry {self.name.registry} has no {self.name.path}@{self.name.digest}",
                where=self.where,
                why=why,
                hint=f"look what it has: skopeo inspect docker://{self.name.registry}/{self.name.path}",
            )
        return MachineError(
            f"cannot fetch {self.name}",
            where=self.where,
            why=why,
            hint="what came whole is kept: see that the registry can be reached, then run the same command again",
        )


class _Watch(threading.Event):
    """The stop event of a copy: set when the caller wants to stop, or when nothing came for `patience` seconds. Whoever
    asks it pays for looking how much came, five times a second at most."""

    def __init__(
        self, places: tuple[Path, ...], on_progress: Callable[[int], None], stopped: Callable[[], bool], patience: float
    ) -> None:
        super().__init__()
        self._places = places
        self._on_progress = on_progress
        self._stopped = stopped
        self._patience = patience
        self._bytes = -1
        self._looked = self._grew = time.monotonic()

    def is_set(self) -> bool:
        now = time.monotonic()
        if now - self._looked >= _EVENTS_APART:
            self._looked = now
            found = sum(_size(place) for place in self._places)
            if found != self._bytes:
                self._bytes, self._grew = found, now
                self._on_progress(found)
        return self._stopped() or now - self._grew > self._patience


def _size(directory: Path) -> int:
    """Bytes of the files below `directory` that are really there, while another process writes them."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:  # renamed meanwhile
                continue
    return total


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
