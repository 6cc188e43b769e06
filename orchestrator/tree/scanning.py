"""Read a tree into its manifest, and refuse what cannot be carried from one machine to another."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from orchestrator.errors import RecipeError
from orchestrator.tree.failure import disk
from orchestrator.tree.manifest import Entry, Manifest
from orchestrator.tree.walk import Found, hash_files, opened, walk

_LONGEST = 3584  # bytes; the kernel takes paths of 4,095, and the tree itself lies below some directory
_UNREADABLE_HINT = "chmod it in the recipe's script: u+rx for a directory, u+r for a file"
_SPECIAL = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def scan(
    root: Path, *, allow_setuid: frozenset[str] = frozenset(), leave_out: frozenset[str] = frozenset()
) -> Manifest:
    """The manifest of the tree at `root`. Owner is recorded as 0:0, no xattr is recorded, the tree is left as it is.
    What has a name in `leave_out` is not looked at, wherever it lies.

    `allow_setuid` holds paths (with or without a leading '/') that keep setuid and setgid bits. On other directories
    these bits are dropped in silence: they come from the directory that the tree was made in. Raise RecipeError,
    naming the path, for setuid or setgid on another file, file capabilities, devices, fifos, sockets, what its owner
    may not read (root may, others could not build it), paths beyond any use, and names or link targets that are not
    UTF-8; MachineError for what cannot be read or changes meanwhile.
    """
    allowed = frozenset(path.strip("/") for path in allow_setuid)
    with disk("read", root):
        top = root.lstat().st_mode
        if stat.S_ISDIR(top):
            _refuse_unreadable(root, "its top directory", top)
    with disk("read", root), opened(root) as descriptor:
        found = []
        for item in walk(descriptor, _refuse, leave_out):
            _inspect(root, descriptor, item, allowed)  # before the walk enters it
            found.append(item)
        digests = hash_files(descriptor, [item for item in found if stat.S_ISREG(item.stat.st_mode)], _refuse)
    return Manifest(tuple(_entry(item, digests, allowed) for item in found))


def _refuse(path: str, error: OSError) -> None:
    raise OSError(error.errno, error.strerror, path) from error


def _refuse_unreadable(root: Path, name: str, mode: int) -> None:
    needed = 0o500 if stat.S_ISDIR(mode) else 0o400
    if mode & needed != needed:
        raise RecipeError(
            f"{name} cannot be read by its owner (mode {stat.S_IMODE(mode):04o})",
            where=str(root),
            why="only root could build this tree, or read it",
            hint=_UNREADABLE_HINT,
        )


def _inspect(root: Path, descriptor: int, found: Found, allowed: frozenset[str]) -> None:
    try:
        (found.path + found.target).encode()
    except UnicodeEncodeError:
        name = os.fsencode(found.path)
        raise RecipeError(
            f"a name that is not UTF-8: {name!r}",
            where=str(root),
            why="a manifest is UTF-8 text"
            if not found.target
            else f"it or its target {os.fsencode(found.target)!r} is not",
            hint="rename it in the recipe's script",
        ) from None
    if len(found.path.encode()) > _LONGEST:
        raise RecipeError(
            f"a path of {len(found.path.encode())} bytes: {found.path[:60]}...{found.path[-40:]}",
            where=str(root),
            why=f"the kernel opens no path of more than 4095 bytes, and a tree's own may have {_LONGEST}",
            hint="remove or shorten it in the recipe's script",
        )
    kind = stat.S_IFMT(found.stat.st_mode)
    if kind in _SPECIAL:
        raise RecipeError(
            f"{found.path} is {_SPECIAL[kind]}",
            where=str(root),
            why="a tree holds regular files, directories and symbolic links only",
            hint="remove it in the recipe's script",
        )
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        _refuse_unreadable(root, found.path, found.stat.st_mode)
    if kind != stat.S_IFREG:
        return
    if found.stat.st_mode & (stat.S_ISUID | stat.S_ISGID) and found.path not in allowed:
        raise RecipeError(
            f"{found.path} is setuid or setgid (mode {stat.S_IMODE(found.stat.st_mode):04o})",
            where=str(root),
            why="whoever runs it would get another user's rights",
            hint="clear the bit in the recipe's script; a base lists the path with a reason under [base] setuid",
        )
    if _has_capabilities(descriptor, found.path):
        raise RecipeError(
            f"{found.path} has file capabilities (security.capability)",
            where=str(root),
            why="whoever runs it would get rights of root",
            hint="do not run setcap in the recipe's script",
        )


def _has_capabilities(descriptor: int, path: str) -> bool:
    try:
        return "security.capability" in os.listxattr(f"/proc/self/fd/{descriptor}/{path}", follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return False
        raise


def _entry(found: Found, digests: dict[tuple[int, int], str], allowed: frozenset[str]) -> Entry:
    facts = found.stat
    mode = stat.S_IMODE(facts.st_mode)
    if stat.S_ISLNK(facts.st_mode):
        return Entry(found.path, "link", 0o777, target=found.target)
    if stat.S_ISDIR(facts.st_mode):
        return Entry(found.path, "dir", mode if found.path in allowed else mode & 0o1777)
    return Entry(found.path, "file", mode, size=facts.st_size, digest=digests[facts.st_dev, facts.st_ino])
