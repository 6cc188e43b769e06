"""Immutable trees, each at the BLAKE3 of its manifest. An object is there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import tree
from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store.aside import put_aside
from orchestrator.store.durable import sync_all, write_file
from orchestrator.store.held import hold
from orchestrator.store.layout import Layout
from orchestrator.tree import disk, machine_error, remove_tree

if TYPE_CHECKING:
    from orchestrator.tree import Manifest

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_TREE = "tree"
_MANIFEST = "manifest.json"
_parsing = threading.Lock()


def object_tree(layout: Layout, digest: Digest) -> Path:
    """Where the object's tree is, if it is there."""
    return layout.object(digest) / _TREE


def has_object(layout: Layout, digest: Digest) -> bool:
    """Whether the object is there; its content is not read (see verify_object). Raise MachineError if
    the store may not be read."""
    hold(layout, "object", digest.hex)
    home = f"{layout.root}/objects/{digest.hex}"  # no Path: thousands may be asked about
    try:
        file, folder = os.stat(f"{home}/{_MANIFEST}"), os.stat(f"{home}/{_TREE}")  # noqa: PTH116
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise machine_error(error, "read", Path(home)) from error
    return stat.S_ISREG(file.st_mode) and stat.S_ISDIR(folder.st_mode)


@lru_cache(maxsize=64)
def read_manifest(layout: Layout, digest: Digest) -> Manifest:
    """The object's manifest, its hash checked. Raise MachineError if there is none, or a damaged one: the object has
    then been put aside, so that it is a miss from now on."""
    path = layout.object(digest) / _MANIFEST
    with disk("read", path):
        data = path.read_bytes()
    try:
        _refuse_changed(data, digest)
        return _parsed(data)
    except ValueError as error:
        quarantine_object(layout, digest, str(error))
        raise MachineError(
            f"object {digest} is damaged",
            where=str(path),
            why=str(error),
            hint="it was put aside: run the same command again, and it is made again",
        ) from error


def _parsed(data: bytes) -> Manifest:
    """A manifest of these bytes, parsed once: a build reads what it is made of while that is verified."""
    with _parsing:
        return _parse(data)


@lru_cache(maxsize=8)  # those that several threads are at
def _parse(data: bytes) -> Manifest:
    return tree.Manifest.read(data)


def _refuse_changed(data: bytes, digest: Digest) -> None:
    if blake3_bytes(data) != digest:
        raise ValueError(f"{_MANIFEST}: content differs")


def publish_tree(layout: Layout, staged: Path, manifest: Manifest) -> Digest:
    """Make the tree at `staged`, which `manifest` describes, an object; return its Digest.

    `staged` lies in a staging directory of the caller's and is the store's from now on: moved, or left to be removed
    with that directory if this fails half-way. An object that exists already stays as it is; one that turns out to be
    damaged is put aside. All of it is on the disk before it is visible, since an older record may lead to it at once.
    Its name is with the next sync, so that a record is written after one (records.replace_files). Raise MachineError;
    nothing is visible then.
    """
    data, digest = manifest.to_bytes(), manifest.digest
    if has_object(layout, digest):
        if not (damage := verify_object(layout, digest)):
            remove_tree(staged)
            return digest
        quarantine_object(layout, digest, "; ".join(damage[:5]))
    home = staged.with_name(f"{staged.name}.object")  # it may be there, empty
    try:
        with disk("publish", layout.object(digest)):
            home.mkdir(exist_ok=True)
            home.chmod(0o755)
            staged.chmod(0o755)  # a directory can be moved by those only who may write to it
            staged.rename(home / _TREE)
            tree.seal(home / _TREE, manifest)
            write_file(home / _MANIFEST, data, mode=0o444, sync=False)
            sync_all(home)
            _install(layout, home, digest)
    except BaseException:
        remove_tree(home)
        raise
    return digest


def _install(layout: Layout, home: Path, digest: Digest) -> None:
    target = layout.object(digest)
    try:
        home.rename(target)
    except FileNotFoundError:
        layout.objects.mkdir(parents=True, exist_ok=True)
        home.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if has_object(layout, digest):
            remove_tree(home)
            return  # another process was first, with the same bytes
        put_aside(layout, target, "incomplete: its tree or its manifest is missing")
        home.rename(target)
    target.chmod(0o555)


def verify_object(layout: Layout, digest: Digest) -> list[str]:
    """What is wrong with the object, all of it read and hashed again; an empty list if nothing is. An object that is
    not there is a problem too. Raises nothing for damage."""
    home = layout.object(digest)
    try:
        data = (home / _MANIFEST).read_bytes()
    except OSError as error:
        return [f"{_MANIFEST}: cannot be read: {error.strerror}"]
    try:
        _refuse_changed(data, digest)
        manifest = _parsed(data)
    except ValueError as error:
        return [str(error)]
    return tree.check_tree(home / _TREE, manifest)


def quarantine_object(layout: Layout, digest: Digest, why: str) -> Path | None:
    """Move the object into corrupt/, so that it is a miss from now on; return its new place, or None if it was not
    there. Raise MachineError."""
    read_manifest.cache_clear()
    return put_aside(layout, layout.object(digest), why)
