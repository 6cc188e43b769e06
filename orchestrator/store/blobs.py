"""Blobs of the one OCI layout that all images share, <store>/oci/blobs/sha256/HEX: there as a whole or not at all.

Knows no manifest and no layer: a blob is bytes and their SHA-256. What a manifest means is said in the rooms above.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.digest import Digest, sha256_file
from orchestrator.store.aside import put_aside
from orchestrator.store.durable import fsync_path, write_file
from orchestrator.store.held import hold
from orchestrator.store.layout import Layout
from orchestrator.store.stage import staging
from orchestrator.tree import disk


def blob_path(layout: Layout, digest: Digest) -> Path:
    """Where the blob is, if it is there."""
    return layout.oci / "blobs" / digest.algorithm / digest.hex


def has_blob(layout: Layout, digest: Digest, size: int | None = None) -> bool:
    """Whether the blob is there, with `size` bytes if that is known; its content is not read (see verify_blob). Raise
    MachineError if the store may not be read."""
    hold(layout, "blob", digest.hex)
    path = blob_path(layout, digest)
    with disk("read", path):
        return path.is_file() and (size is None or path.stat().st_size == size)


def adopt_blob(layout: Layout, staged: Path, digest: Digest) -> Path:
    """Make the file `staged`, which lies in the store's stage, the blob `digest`; return its place. The caller has seen
    that it has this SHA-256. It is moved, read-only and on the disk; one that was there is replaced by the same bytes.
    Raise MachineError; nothing is visible then."""
    hold(layout, "blob", digest.hex)
    target = blob_path(layout, digest)
    with disk("store", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.chmod(0o444)
        fsync_path(staged)
        staged.replace(target)
        fsync_path(target.parent)
    return target


def add_blob(layout: Layout, data: bytes) -> Digest:
    """Store `data` as a blob, unless it is there; return its Digest. Raise MachineError."""
    import hashlib  # with it comes OpenSSL: not for a question

    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    if not has_blob(layout, digest, len(data)):
        with staging(layout, "blob") as room:
            with disk("write", room):
                write_file(room / "blob", data)
            adopt_blob(layout, room / "blob", digest)
    return digest


def verify_blob(layout: Layout, digest: Digest) -> bool:
    """Whether the blob is there and all of it, read again, still has its digest. Raise MachineError."""
    path = blob_path(layout, digest)
    with disk("read", path):
        return path.is_file() and sha256_file(path) == digest


def quarantine_blob(layout: Layout, digest: Digest, why: str) -> Path | None:
    """Move the blob into corrupt/, so that it is a miss from now on; None if it was not there. Raise MachineError."""
    return put_aside(layout, blob_path(layout, digest), why)
