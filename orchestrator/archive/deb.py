"""Unpacks a .deb and reads its control part. It runs no maintainer script and writes no dpkg database."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.archive import ar, tar
from orchestrator.archive.limits import GET_AGAIN, MAX_CONTROL, Budget, Refusal, reported
from orchestrator.archive.names import Entry
from orchestrator.archive.streams import Forward, pieces
from orchestrator.archive.writer import Rules, Writer
from orchestrator.frozen import frozen

_TAR = re.compile(r"(control|data)\.tar(?:\.(gz|bz2|xz))?")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")


@frozen
class ControlFile:
    """A file of control.tar besides `control`: a maintainer script, conffiles, md5sums, triggers, shlibs."""

    name: str
    mode: int
    content: bytes


@frozen
class DebControl:
    """What dpkg's database needs to know of one .deb."""

    control: bytes  # the control file as it is
    fields: Mapping[str, str]  # its fields, in order; continuation lines keep their line breaks
    files: tuple[ControlFile, ...]  # by name
    paths: tuple[str, ...]  # as dpkg lists them: `/.`, `/usr`, `/usr/bin/x`, in the archive's order
    owners: tuple[tuple[str, int, int], ...]  # path, uid, gid of those not owned by 0:0; nothing is chowned here

    @property
    def package(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> str:
        return self.fields["Version"]

    @property
    def architecture(self) -> str:
        return self.fields["Architecture"]

    def file(self, name: str) -> bytes | None:
        """The content of one file of control.tar, such as `postinst`."""
        return next((found.content for found in self.files if found.name == name), None)


def unpack_deb(
    deb: Path, destination: Path, *, allow_setuid: frozenset[str], file_name: str | None = None
) -> DebControl:
    """Unpack the files of `deb` into the root file system at `destination` and return its control part.

    Links on the way (`bin -> usr/bin`) are resolved inside `destination`; they must be there before. setuid and setgid
    bits are cleared but for the paths in `allow_setuid`. A file that another .deb put there is a SourceError, the same
    link is not. Several calls may fill one destination at once from several threads. After an error the destination
    is half filled. `file_name` is for messages, where `deb` lies under another name.
    """
    with reported(deb, file_name or deb.name):
        fd = os.open(deb, os.O_RDONLY | os.O_CLOEXEC)
        try:
            control, data = _parts(fd)
            rules = Rules(rootfs=True, allow_setuid=frozenset(path.lstrip("/") for path in allow_setuid))
            files = _control_files(_stream(fd, control, MAX_CONTROL))
            budget = _budget(data, destination)
            with Writer(destination, rules) as writer:
                entries = _data(Forward(pieces(ar.Window(fd, data), _compression(data)), budget), budget, writer)
        finally:
            os.close(fd)
        return _deb_control(files, entries)


def _parts(fd: int) -> tuple[ar.Member, ar.Member]:
    found = [member for member in ar.members(fd) if not member.name.startswith("_")]  # `_x` may be ignored: deb(5)
    names = [member.name for member in found]
    version = ar.Window(fd, found[0]).read(64) if names[:1] == ["debian-binary"] else b""
    if not version.startswith(b"2."):
        raise Refusal("it is no .deb of format 2: no debian-binary member that says so", hint=GET_AGAIN)
    for member in found[1:3]:
        if _TAR.fullmatch(member.name) is None and member.name.startswith(("control.tar", "data.tar")):
            raise Refusal(f"{member.name} is compressed in a way not read here: only gz, bz2, xz and none are")
    if [name.split(".")[0] for name in names] != ["debian-binary", "control", "data"]:
        raise Refusal(f"its members are {', '.join(names)}, not debian-binary, control.tar and data.tar")
    return found[1], found[2]


def _compression(member: ar.Member) -> str:
    match = _TAR.fullmatch(member.name)
    if match is None:
        raise Refusal(f"its member {member.name!r} is no tar file known here")
    return match[2] or ""


def _budget(member: ar.Member, destination: Path) -> Budget:
    destination.mkdir(parents=True, exist_ok=True)
    return Budget(packed=member.size, free=shutil.disk_usage(destination).free)


def _stream(fd: int, member: ar.Member, limit: int) -> tuple[Forward, Budget]:
    budget = Budget(packed=member.size, free=1 << 62)  # in memory: no disk
    stream = Forward(pieces(ar.Window(fd, member), _compression(member)), budget)
    if member.size > limit:
        raise Refusal(f"its {member.name} is larger than {limit} bytes")
    return stream, budget


def _control_files(opened: tuple[Forward, Budget]) -> dict[str, ControlFile]:
    stream, budget = opened
    files: dict[str, ControlFile] = {}
    held = 0
    for entry in tar.entries(stream, budget):
        if entry.kind == "directory" and not entry.parts:
            continue
        if entry.kind != "file" or len(entry.parts) != 1 or entry.parts[0] in files:
            raise Refusal("it is not one plain file of control.tar", entry=entry.name)
        held += entry.size
        if held > MAX_CONTROL:
            raise Refusal(f"its control.tar unpacks to more than {MAX_CONTROL} bytes")
        name = entry.parts[0]
        files[name] = ControlFile(name=name, mode=entry.mode & 0o777, content=b"".join(stream.take(entry.size)))
    return files


def _data(stream: Forward, budget: Budget, writer: Writer) -> list[Entry]:
    found: list[Entry] = []
    for entry in tar.entries(stream, budget):
        tar.put_entry(writer, entry, stream)
        found.append(entry)
    return found


def _deb_control(files: dict[str, ControlFile], entries: list[Entry]) -> DebControl:
    if "control" not in files:
        raise Refusal("its control.tar has no control file")
    control = files.pop("control").content
    fields = _fields(control)
    missing = [name for name in ("Package", "Version", "Architecture") if not fields.get(name)]
    if missing:
        raise Refusal(f"its control file has no field {missing[0]}")
    return DebControl(
        control=control,
        fields=MappingProxyType(fields),
        files=tuple(files[name] for name in sorted(files)),
        paths=tuple(_listed(entry) for entry in entries),
        owners=tuple((_listed(entry), *entry.owner) for entry in entries if entry.owner != (0, 0)),
    )


def _listed(entry: Entry) -> str:
    return "/" + ("/".join(entry.parts) or ".")


def _fields(control: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in control.decode("utf-8", "surrogateescape").rstrip("\n").split("\n"):
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line
            continue
        match = _FIELD.fullmatch(line)
        if match is None or match[1] in fields:
            raise Refusal(f"its control file is not one paragraph of fields: {line!r}")
        name = match[1]
        fields[name] = match[2]
    return fields
