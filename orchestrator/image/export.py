"""An image out of the store: into an image layout, or into an archive. `push` sends it (push.py).

What is written appears under its name when it is whole; what already has that name is replaced only if it is of the
same kind.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

from orchestrator.digest import Digest, canonical_json, sha256_file
from orchestrator.errors import UsageError
from orchestrator.frozen import frozen
from orchestrator.image.archives import is_archive, write_docker_archive, write_oci_archive
from orchestrator.image.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, image_blobs, manifest_descriptor, refuse_blob
from orchestrator.image.oci import INDEX, REF_NAME, Descriptor
from orchestrator.image.push import push
from orchestrator.store import ImageRecord, Layout, blob_path
from orchestrator.store.durable import fsync_path
from orchestrator.tree import disk

__all__ = ["Target", "export", "parse_target", "push"]

TargetKind = Literal["oci", "oci-archive", "docker-archive"]

_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
_CHUNK = 1 << 20


@frozen(kw_only=False)
class Target:
    """Where an image goes, and in which form."""

    kind: TargetKind
    path: Path


def parse_target(text: str) -> Target:
    """`oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`; raise UsageError for anything else."""
    kind, colon, path = text.partition(":")
    if not colon or kind not in get_args(TargetKind) or not path:
        raise UsageError(
            f"no form of image: {text!r}",
            where="-o",
            hint="give oci:DIR, oci-archive:FILE or docker-archive:FILE",
        )
    if ":" in path:
        raise UsageError(
            f"the path {path!r} holds a ':'",
            where="-o",
            why="other tools take what follows it for the image's name; the image has its recipe's",
        )
    return Target(cast(TargetKind, kind), Path(path))


def refuse_target(target: Target) -> None:
    """Raise UsageError if what is at `target` now may not be replaced, or its directory is not there; MachineError."""
    if target.kind == "oci":
        _refuse_directory(target.path)
        return
    _refuse_file(target.path)
    if not target.path.absolute().parent.is_dir():
        raise UsageError(
            f"there is no directory {target.path.parent}", where="-o", hint="make it, or name another file"
        )


def export(layout: Layout, record: ImageRecord, target: Target) -> None:
    """Write the image to `target`. Raise UsageError if something else is there, MachineError; what was there is
    unchanged then."""
    path = target.path
    refuse_target(target)
    if target.kind == "oci":
        with disk("write", path):
            _write_layout(layout, record, path)
        return
    write = write_oci_archive if target.kind == "oci-archive" else write_docker_archive
    with disk("write", path), _beside(path) as new:
        write(layout, record, new)
        fsync_path(new)
        new.chmod(0o666 & ~_umask())
        new.replace(path)
        fsync_path(path.parent)


def _refuse_directory(path: Path) -> None:
    why = ""
    with disk("read", path):
        if not os.path.lexists(path):
            return
        if not path.is_dir():
            why = "it is no directory"
        elif any(path.iterdir()) and not (path / LAYOUT_FILE).is_file():
            why = f"it holds other things and no {LAYOUT_FILE} file"
    if why:
        raise UsageError(f"{path} is not an image layout", where="-o", why=why, hint="name a new or an empty directory")


def _refuse_file(path: Path) -> None:
    with disk("read", path):
        if not os.path.lexists(path) or (path.is_file() and (path.stat().st_size == 0 or is_archive(path))):
            return
    raise UsageError(
        f"{path} is there, and is no archive that orch wrote", where="-o", hint="remove it, or name another file"
    )


def _umask() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), 0o022)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name for what will be `path`; what has it at the end is removed."""
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}.new")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _write_layout(layout: Layout, record: ImageRecord, path: Path) -> None:
    (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # of two at once, the second finds what the first wrote
        index = _index(path)
        for digest, size in image_blobs(record).items():
            _place(layout, digest, size, path / "blobs" / "sha256" / digest.hex)
        fsync_path(path / "blobs" / "sha256")
        name = Descriptor(
            media_type=manifest_descriptor(record).media_type,
            digest=record.manifest,
            size=record.manifest_size,
            annotations={REF_NAME: record.name},
        )
        kept = [item for item in index["manifests"] if (item.get("annotations") or {}).get(REF_NAME) != record.name]
        for file, data in (
            (LAYOUT_FILE, LAYOUT),
            (INDEX_FILE, canonical_json({**index, "manifests": [*kept, name.document()]})),
        ):
            if (path / file).is_file() and (path / file).read_bytes() == data:
                continue
            with _beside(path / file) as new:
                new.write_bytes(data)
                fsync_path(new)
                new.replace(path / file)
        os.fsync(held)
    finally:
        os.close(held)


def _index(path: Path) -> dict[str, Any]:
    file = path / INDEX_FILE
    if not file.exists():
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    try:
        index = json.loads(file.read_bytes())
        if not all(isinstance(item, dict) for item in index["manifests"]):
            raise ValueError("a manifest is no object")
        canonical_json(index)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not an image layout", where=str(file), why=f"malformed: {error}", hint="name another directory"
        ) from error
    return dict(index)


def _place(layout: Layout, digest: Digest, size: int, target: Path) -> None:
    """The blob at `target`: the same file under a second name where the file system allows, else a copy. Either is read
    once; one that is there already only if it is as small as documents are."""
    if target.is_file() and target.stat().st_size == size and (size > _CHUNK or sha256_file(target) == digest):
        return
    source = blob_path(layout, digest)
    if source.stat().st_size != size:
        refuse_blob(layout, digest, "it has another size")
    with _beside(target) as new:
        try:
            os.link(source, new)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            _copy(layout, digest, source, new)
        else:
            if sha256_file(new) != digest:
                refuse_blob(layout, digest, "its content differs")
        new.replace(target)


def _copy(layout: Layout, digest: Digest, source: Path, new: Path) -> None:
    hasher = hashlib.sha256()
    with source.open("rb", buffering=0) as file, new.open("xb", buffering=0) as copy:
        while data := file.read(_CHUNK):
            hasher.update(data)
            copy.write(data)
        os.fchmod(copy.fileno(), 0o444)
        os.fsync(copy.fileno())
    if hasher.hexdigest() != digest.hex:
        refuse_blob(layout, digest, "its content differs")
