"""Brings an image that is pinned by its digest from a registry into the store's OCI layout, blob by blob.

Manifest, config and layers are kept as they are: the digest that a recipe names is that of the bytes in the store.
What is there already is not asked for again. Knows no layer's content: see base_layers in the room image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.digest import Digest, sha256_file
from orchestrator.errors import MachineError, OrchError, SourceError
from orchestrator.events import Fetched, FetchProgress, Monitor, StepWaiting, silent
from orchestrator.fetch.oci_manifest import (
    Blob,
    ImageIndex,
    ImageManifest,
    json_object,
    parse_manifest,
    platforms_of,
    spelt,
)
from orchestrator.fetch.oci_name import OciName, parse_oci_name
from orchestrator.fetch.skopeo import Registry
from orchestrator.fetch.web import Patience
from orchestrator.frozen import frozen
from orchestrator.store import Layout, locked, staging
from orchestrator.store.blobs import add_blob, adopt_blob, blob_path, has_blob, quarantine_blob
from orchestrator.tree import disk


def fetch_image(
    layout: Layout,
    name: str,
    *,
    platform: str,
    monitor: Monitor,
    stopped: Callable[[], bool] = lambda: False,
    tls_verify: bool | None = None,
    where: str = "",
    patience: Patience | None = None,
) -> ImageManifest:
    """The manifest of the image `name` (oci:REGISTRY/PATH@sha256:HEX) for `platform` (x86_64-linux), with its config
    and all its layers in the store. If the name is that of an index, the manifest is the one for `platform`.

    `where` is the file and field that names it. Without `tls_verify` the machine's settings hold, but a registry on
    this machine need not prove who it is. With every blob there no registry is asked and no program started. Raise
    RecipeError if it is no such name; SourceError if the registry has no such image, or none for the platform, or
    sends something else; MachineError; KeyboardInterrupt soon after `stopped()` is true. Blobs that came whole stay.
    """
    wanted = parse_oci_name(name, where=where)
    registry = Registry(name=wanted, where=where, tls_verify=tls_verify, patience=patience or Patience())
    work = _Fetch(layout, wanted, registry, platform, monitor, where)
    present = work.present()
    if present is None:
        with locked(layout, wanted.digest, lambda: monitor(StepWaiting(step=f"fetch {wanted}")), stopped):
            present = work.present() or work.from_registry(stopped)
        monitor(Fetched(source=str(wanted)))
    return work.checked(present)


def image_in_store(layout: Layout, name: str, *, platform: str, where: str = "") -> ImageManifest | None:
    """The manifest of the image `name` for `platform` if all of it is in the store; no registry is asked. Raise
    RecipeError if it is no such name, SourceError if it is not for the platform."""
    return _looking(layout, name, platform, where).present()


def look_up_image(layout: Layout, name: str, *, platform: str, where: str = "") -> tuple[ImageManifest, int]:
    """The manifest of the image `name` for `platform`, and how many bytes of it the store lacks. The registry is asked
    for manifests that are not there, and for nothing else. Raises what fetch_image does."""
    work = _looking(layout, name, platform, where)
    manifest = work.look_up()
    return manifest, sum(blob.size for blob in work.missing(manifest))


def _looking(layout: Layout, name: str, platform: str, where: str) -> _Fetch:
    wanted = parse_oci_name(name, where=where)
    return _Fetch(layout, wanted, Registry(name=wanted, where=where), platform, silent, where)


@frozen(kw_only=False)
class _Fetch:
    """One image being fetched."""

    layout: Layout
    name: OciName
    registry: Registry
    platform: str
    monitor: Monitor
    where: str

    def present(self) -> ImageManifest | None:
        """The image, if all of it is in the store."""
        manifest = self._chosen(self._stored)
        if manifest is None or self.missing(manifest):
            return None
        return manifest

    def from_registry(self, stopped: Callable[[], bool]) -> ImageManifest:
        """The image, with what the store lacks of it brought from the registry."""
        manifest = self.look_up()
        missing = self.missing(manifest)
        if manifest.config in missing:
            data = self.registry.config(manifest.digest)
            self._same(data, manifest.config.digest, "config")
            add_blob(self.layout, data)
        if missing := [blob for blob in missing if blob != manifest.config]:
            self._copy(manifest, missing, stopped)
        if missing := self.missing(manifest):
            raise self._wrong(f"{missing[0].digest} of {missing[0].size} bytes did not come with it")
        return manifest

    def look_up(self) -> ImageManifest:
        """The manifest, asked for if the store does not have it."""
        manifest = self._chosen(self._asked)
        assert manifest is not None  # _asked raises if there is none
        return manifest

    def checked(self, manifest: ImageManifest) -> ImageManifest:
        """`manifest`, if its config says that it is for the platform that is wanted."""
        path = blob_path(self.layout, manifest.config.digest)
        with disk("read", path):
            data = path.read_bytes()
        if Digest("sha256", hashlib.sha256(data).hexdigest()) != manifest.config.digest:
            raise self._damaged(manifest.config.digest)
        try:
            config = json_object(data)
        except ValueError as error:
            raise self._wrong(f"its config {manifest.config.digest}: {error}") from error
        found = spelt(*(str(config.get(field, "")) for field in ("os", "architecture", "variant")))
        if found not in platforms_of(self.platform):
            raise self._no_platform([found])
        return manifest

    def _chosen(self, get: Callable[[Digest], bytes | None]) -> ImageManifest | None:
        """The manifest of the name, or of the platform's entry if the name is that of an index."""
        data = get(self.name.digest)
        if data is None:
            return None
        found = self._parsed(self.name.digest, data)
        if isinstance(found, ImageManifest):
            return found
        digest = self._entry(found)
        data = get(digest)
        if data is None:
            return None
        found = self._parsed(digest, data)
        if isinstance(found, ImageIndex):
            raise self._wrong(f"its entry {digest} is an index again")
        return found

    def _entry(self, index: ImageIndex) -> Digest:
        for platform in platforms_of(self.platform):
            for found, digest in index.manifests:
                if found == platform:
                    return digest
        raise self._no_platform([found for found, _ in index.manifests])

    def _parsed(self, digest: Digest, data: bytes) -> ImageManifest | ImageIndex:
        try:
            return parse_manifest(digest, data)
        except ValueError as error:
            raise self._wrong(f"{digest}: {error}") from error

    def _stored(self, digest: Digest) -> bytes | None:
        if not has_blob(self.layout, digest):
            return None
        path = blob_path(self.layout, digest)
        with disk("read", path):
            data = path.read_bytes()
        if Digest("sha256", hashlib.sha256(data).hexdigest()) != digest:
            quarantine_blob(self.layout, digest, "its content differs")
            return None
        return data

    def _asked(self, digest: Digest) -> bytes:
        data = self._stored(digest)
        if data is None:
            data = self.registry.manifest(digest)
            self._same(data, digest, "manifest")
            add_blob(self.layout, data)
        return data

    def missing(self, manifest: ImageManifest) -> list[Blob]:
        """The blobs that the store lacks."""
        return [blob for blob in manifest.blobs if not has_blob(self.layout, blob.digest, blob.size)]

    def _copy(self, manifest: ImageManifest, missing: list[Blob], stopped: Callable[[], bool]) -> None:
        total = sum(blob.size for blob in missing)

        def progress(done: int) -> None:
            self.monitor(FetchProgress(source=str(self.name), done=min(done, total), total=total))

        with staging(self.layout, "oci") as room:
            scratch, arrived = room / "scratch", room / "blobs" / "sha256"
            with disk("make a directory in", room):
                scratch.mkdir()
                arrived.mkdir(parents=True)
                for blob in manifest.blobs:
                    if blob not in missing:  # skopeo asks for nothing that it finds there
                        (arrived / blob.digest.hex).symlink_to(blob_path(self.layout, blob.digest))
            with self._kept(missing, arrived):
                self.registry.copy(manifest.digest, scratch, arrived.parent, progress, stopped)

    @contextmanager
    def _kept(self, missing: list[Blob], arrived: Path) -> Iterator[None]:
        """Whatever happens meanwhile, the blobs that came whole are in the store afterwards."""
        try:
            yield
        except BaseException:
            for blob in missing:
                if self._is_whole(blob, arrived):
                    adopt_blob(self.layout, arrived / blob.digest.hex, blob.digest)
            raise
        for blob in missing:
            if not self._is_whole(blob, arrived):
                raise self._wrong(f"its blob {blob.digest} came with other bytes, or not at all")
            adopt_blob(self.layout, arrived / blob.digest.hex, blob.digest)

    def _is_whole(self, blob: Blob, arrived: Path) -> bool:
        file = arrived / blob.digest.hex
        with disk("read", file):
            if file.is_symlink() or not file.is_file() or file.stat().st_size != blob.size:
                return False
            return sha256_file(file) == blob.digest

    def _same(self, data: bytes, digest: Digest, what: str) -> None:
        found = Digest("sha256", hashlib.sha256(data).hexdigest())
        if found != digest:
            raise self._wrong(f"expected the {what} {digest}, got {found}")

    def _wrong(self, why: str) -> SourceError:
        return SourceError(
            f"{self.name} is not what is pinned, or no image that is read here",
            where=self.where,
            why=why,
            hint="pin the digest of an image, or of an index of images, of the OCI format or Docker's schema 2",
        )

    def _no_platform(self, found: list[str]) -> SourceError:
        return SourceError(
            f"{self.name} is not for {self.platform}",
            where=self.where,
            why=f"it is for {', '.join(found) or 'no platform at all'}",
            hint="pin an image, or an index of images, that is made for this platform",
        )

    def _damaged(self, digest: Digest) -> OrchError:
        quarantine_blob(self.layout, digest, "its content differs")
        return MachineError(
            f"blob {digest} is damaged",
            where=str(blob_path(self.layout, digest)),
            why="its content differs",
            hint="it was put aside: run the same command again, and it is fetched again",
        )
