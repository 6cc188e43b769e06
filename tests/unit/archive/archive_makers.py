"""Makes archives for the tests, hostile ones too, and watches what lies around a destination."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def member(
    name: str, content: bytes = b"", *, type: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = type, link, mode, len(content)
    return info, content


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, link: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, link=link)


def hardlink(name: str, link: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, link=link)


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return buffer.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def ar(*members: tuple[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members:
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


CONTROL = b"""Package: hello
Version: 1.0-1
Architecture: amd64
Description: says hello
 and more
 .
 of it
"""


def deb(
    *data: tuple[tarfile.TarInfo, bytes],
    control: bytes = CONTROL,
    scripts: Mapping[str, bytes] | None = None,
    packed: str = ".xz",
) -> bytes:
    files = [member("./control", control)]
    files += [member(f"./{name}", content, mode=0o755) for name, content in (scripts or {}).items()]
    return ar(
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", gzip.compress(tar(directory("./"), *files))),
        (f"data.tar{packed}", PACKERS[packed](tar(*data))),
    )


def tree(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """What is below `root`: kind, permission bits, content or link text, by path."""
    found = {}
    for top, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(top, name)
            facts = path.lstat()
            mode = stat.S_IMODE(facts.st_mode)
            if path.is_symlink():
                value = ("link", 0, os.fsencode(path.readlink()))
            elif path.is_dir():
                value = ("directory", mode, b"")
            else:
                value = ("file", mode, path.read_bytes())
            found[str(path.relative_to(root))] = value
    return found


class Canary:
    """A destination with files around it that must stay as they are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.destination = root / "one" / "two" / "destination"
        self.destination.parent.mkdir(parents=True)
        for place in (root, root / "one", root / "one/two"):
            for name in ("a", "b", "passwd"):
                (place / name).write_text(f"{place.name} {name}")
            (place / "bin").mkdir()
            (place / "bin/sh").write_text("a shell")
        self._before = self._around()

    def _around(self) -> dict[str, tuple[object, ...]]:
        inside = str(self.destination.relative_to(self.root))
        found: dict[str, tuple[object, ...]] = {}
        for path, value in tree(self.root).items():
            if path != inside and not path.startswith(inside + "/"):
                facts = (self.root / path).lstat()
                times = () if path in ("one/two",) else (facts.st_mtime_ns,)
                found[path] = (*value, facts.st_nlink if value[0] == "file" else 0, *times)
        return found

    def sings(self) -> bool:
        """Whether nothing outside the destination changed."""
        return self._around() == self._before
