"""Where things lie in a store. Everything below the root is the store's own; nothing here reads an object or a record.

schema                              the layout's number
objects/<hex>/{tree/,manifest.json} immutable, read-only
realisations/<key>.json             derivation and build keys -> output; latest/ holds hints by name
checks/<key>.json
goals/<key>.json                    finished goals; latest/ holds hints by goal and options
sources/sha256/<hex>, <hex>.json    a file and a note about it; partial/ holds unfinished downloads
sources/tree/<hex>.json             which of the files unpacks to that tree
oci/                                one OCI image layout that all images share: oci-layout, index.json, blobs/
layers/<key>.json                   what a layer became: its blob and diff_id
elf/<hex>.json                      what the ELF files of an object say about themselves
images/<key>.json                   images that were assembled and passed their checks; latest/ finds them by name
builds/<id>.json                    what a run did: its steps, when, how long
answers/<question>                  what commands with nothing to do printed, and what made it so; all may be deleted
index/                              what is quick to ask of all this, made from it; may be deleted
logs/ stage/ locks/ roots/ corrupt/
failed/                             directories of failed builds and trees that came out different, kept to be looked at
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import MachineError
from orchestrator.frozen import frozen
from orchestrator.store.durable import fsync_path, write_file
from orchestrator.tree import disk

_SCHEMA = 1
_SCHEMA_FILE = "schema"
_NEW = ".schema-"  # a schema file being written
_DIRECTORIES = (
    "objects",
    "realisations",
    "realisations/latest",
    "checks",
    "goals",
    "goals/latest",
    "sources",
    "sources/sha256",
    "sources/partial",
    "sources/tree",
    "oci",
    "oci/blobs",
    "oci/blobs/sha256",
    "layers",
    "images",
    "images/latest",
    "answers",
    "builds",
    "logs",
    "stage",
    "locks",
    "roots",
    "corrupt",
    "failed",
    "elf",
    "index",
)
_MAY_BE_THERE = {"README.md", ".gitignore", "lost+found", _SCHEMA_FILE, *_DIRECTORIES}


@frozen(kw_only=False)
class Layout:
    """The paths of one store; `root` is absolute and no link."""

    root: Path

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def realisations(self) -> Path:
        return self.root / "realisations"

    @property
    def checks(self) -> Path:
        return self.root / "checks"

    @property
    def goals(self) -> Path:
        return self.root / "goals"

    @property
    def sources(self) -> Path:
        return self.root / "sources" / "sha256"

    @property
    def partial(self) -> Path:
        return self.root / "sources" / "partial"

    @property
    def oci(self) -> Path:
        return self.root / "oci"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def answers(self) -> Path:
        return self.root / "answers"

    @property
    def builds(self) -> Path:
        return self.root / "builds"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def stage(self) -> Path:
        return self.root / "stage"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def roots(self) -> Path:
        return self.root / "roots"

    @property
    def corrupt(self) -> Path:
        return self.root / "corrupt"

    @property
    def failed(self) -> Path:
        return self.root / "failed"

    def object(self, digest: Digest) -> Path:
        """The directory that holds an object's tree and manifest."""
        return self.objects / digest.hex


def safe_name(text: str) -> str:
    """`text` as part of a file name: letters, digits, '.', '_', '+' and '-', at most 80, no leading dot."""
    return re.sub(r"[^A-Za-z0-9._+-]", "-", text)[:80].lstrip(".") or "-"


def open_store(root: Path, *, create: bool = True) -> Layout:
    """The store at `root`, made if it is not there, or without `create` only read: an absent one is empty. Raise
    MachineError: no permission, no space, not a directory, a directory that is something else, or a store made by a
    newer orch."""
    with disk("open the store", root):
        try:
            if create or os.path.lexists(root):
                root.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise MachineError(
                f"{root} is not a store",
                where=str(root),
                why="it is a link to nothing" if root.is_symlink() else "it is a file, not a directory",
                hint="choose a directory with --store or ORCH_STORE",
            ) from error
        layout = Layout(root.resolve())
        if create and not os.access(layout.root, os.R_OK | os.W_OK | os.X_OK):
            raise MachineError(
                f"cannot write to the store {root}",
                where=str(root),
                why="permission denied, or the file system is mounted read-only",
                hint="make it yours, or choose another with --store or ORCH_STORE",
            )
        if create or layout.root.exists():
            _settle_schema(layout, create)
        for name in _DIRECTORIES if create else ():
            (layout.root / name).mkdir(exist_ok=True)
    return layout


def _settle_schema(layout: Layout, create: bool) -> None:
    file = layout.root / _SCHEMA_FILE
    try:
        text = file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        text = ""
    if text.isdecimal() and int(text) > _SCHEMA:
        raise MachineError(
            f"the store {layout.root} was made by a newer orch",
            where=str(file),
            why=f"its schema is {text}, known is {_SCHEMA}",
            hint="update orch, or choose another store with --store or ORCH_STORE",
        )
    if text == str(_SCHEMA):
        return
    strangers = sorted({item.name for item in layout.root.iterdir() if not item.name.startswith(_NEW)} - _MAY_BE_THERE)
    if text or strangers:
        raise MachineError(
            f"{layout.root} is not a store",
            where=str(file if text else layout.root / strangers[0]),
            why="its schema file holds something else" if text else "it is a directory with other things in it",
            hint="choose an empty directory with --store or ORCH_STORE",
        )
    if not create:
        return
    new = layout.root / f"{_NEW}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        write_file(new, f"{_SCHEMA}\n".encode())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    fsync_path(layout.root)
