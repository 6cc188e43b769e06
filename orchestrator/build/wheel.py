"""Installs one wheel into a tree of its own: `installer` decides what goes where, this module reads and writes it.

Each file is inflated once, and compared with the wheel's own RECORD on its way to the disk. zlib, the hash and the
kernel all work without the interpreter's lock, so several files at a time use several cores; the big ones begin.
Nothing of the wheel is run. Knows no node, no store and no sandbox.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import os
import posixpath
import stat
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Literal, cast

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import InvalidRecordEntry, RecordEntry, parse_record_file
from installer.scripts import Script
from installer.sources import WheelContentElement, WheelFile
from installer.utils import SCHEME_NAMES, Scheme, construct_record_file, fix_shebang

from orchestrator.archive import Refusal, check_zip
from orchestrator.frozen import frozen

INSTALLER = "orch"
_MTIME = (315532800 * 10**9,) * 2  # 1980-01-01, SOURCE_DATE_EPOCH of the sandbox
_PIECE = 256 << 10  # bytes
_BIG = 16 << 20  # bytes; a file of this size or more is begun before smaller ones
_TOGETHER = 1 << 20  # bytes; small files are handed to a thread this many bytes or
_FILES_TOGETHER = 64  # this many files at once
_HASHES = ("sha256", "sha384", "sha512")  # what a RECORD may use
_REPACK = "look at the wheel; if upstream really ships it so, repack it, or exclude it and lock another"
# What `installer` raises, its own kinds aside, for metadata that is not what a wheel's has to be.
_MALFORMED = (
    InstallerError,
    InvalidRecordEntry,
    AssertionError,
    ValueError,
    LookupError,
    configparser.Error,
    csv.Error,
)


@frozen
class Installed:
    """What a wheel became. `startup` names its .pth files: an interpreter reads, and may run, them when it starts."""

    files: int
    size: int  # bytes
    startup: tuple[str, ...]


def install_wheel(
    file: Path,
    out: Path,
    *,
    file_name: str,
    prefix: str,
    python: str,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Installed:
    """Install the wheel `file`, called `file_name`, below the empty directory `out` for an environment at `prefix`.

    Files become 0644 or 0755, directories 0755, and all get one time, whatever the umask, the time and the number of
    threads. No bytecode is kept or made. Raise SourceError for a wheel that is refused: unsafe entries, one that its
    RECORD does not list or that is not what RECORD says, two for one place, metadata that cannot be read; MachineError
    for the machine's faults; KeyboardInterrupt soon after `stopped()` is true. `out` is then half filled.
    """
    with check_zip(file, out, file_name=file_name) as zipped:
        zipped.filename = file_name  # the store calls it by its hash; `installer` takes name and version from here
        writer = _Writer(zipped, out, threads=threads, stopped=stopped)
        try:
            wheel = _Wheel(zipped)
            install(wheel, _Destination(writer, prefix, python, wheel.distribution), {"INSTALLER": INSTALLER.encode()})
            writer.finish()
        except _MALFORMED as error:
            raise Refusal(
                f"`installer` cannot read it: {str(error) or 'its metadata is malformed'}", hint=_REPACK
            ) from error
        finally:
            writer.close()
        return Installed(files=writer.files, size=writer.size, startup=tuple(sorted(wheel.startup)))


class _Member(io.RawIOBase):
    """A file of the wheel that RECORD lists. Handed on as a stream, and read where it is written."""

    def __init__(self, info: zipfile.ZipInfo, record: RecordEntry) -> None:
        super().__init__()
        self.info = info
        self.record = record


class _Wheel(WheelFile):
    """The wheel as `installer` asks for it, but for its content: what it is must be what RECORD says it is."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        super().__init__(zipped)
        self._zip = zipped
        self.startup: list[str] = []

    @property
    def data_dir(self) -> str:
        """Beside dist-info, whose name may be spelled in another way than the file's."""
        return self.dist_info_dir.removesuffix(".dist-info") + ".data"

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Every file that is to be installed, the biggest first."""
        listed = self._listed()
        here = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        for name in listed:
            if name not in here:
                raise Refusal("RECORD lists it, and the wheel has no such file", entry=name, hint=_REPACK)
        # The rest directory by directory: ext4 takes four times as long to make files here and there.
        for info in sorted(here.values(), key=lambda info: (-(info.file_size // _BIG), info.filename)):
            if self._is_left_out(info.filename):
                continue
            record = listed.get(info.filename)
            if record is None or record.hash_ is None:
                raise Refusal("the wheel's RECORD gives no hash for it", entry=info.filename, hint=_REPACK)
            if record.hash_.name not in _HASHES:
                raise Refusal(f"RECORD gives only its {record.hash_.name}", entry=info.filename, hint=_REPACK)
            if record.size not in (None, info.file_size):
                what = f"it has {info.file_size} bytes, and {record.size} according to the wheel's RECORD"
                raise Refusal(what, entry=info.filename, hint=_REPACK)
            self._refuse_place(info.filename)
            if info.filename.endswith(".pth") and "/" not in info.filename.removeprefix(f"{self.data_dir}/purelib/"):
                self.startup.append(info.filename)
            mode = info.external_attr >> 16
            executable = stat.S_ISREG(mode) and mode & 0o111 != 0
            row = (info.filename, str(record.hash_), str(info.file_size))
            yield row, cast(BinaryIO, _Member(info, record)), executable

    def _listed(self) -> dict[str, RecordEntry]:
        listed: dict[str, RecordEntry] = {}
        for row in parse_record_file(self.read_dist_info("RECORD").splitlines()):
            record = RecordEntry.from_elements(*row)
            if listed.setdefault(record.path, record) != record:
                raise Refusal("RECORD lists it twice, as two different files", entry=record.path, hint=_REPACK)
        return listed

    def _is_left_out(self, name: str) -> bool:
        """Written anew (RECORD, INSTALLER), void after that (its signatures), or bytecode."""
        directory, _, base = name.rpartition("/")
        if directory == self.dist_info_dir and base in ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER"):
            return True
        return "__pycache__" in directory.split("/")

    def _refuse_place(self, name: str) -> None:
        """`installer` expects well-formed names below the data directory, and would loop over others."""
        top, *below = name.split("/")
        if top == self.data_dir and (len(below) < 2 or below[0] not in SCHEME_NAMES):
            raise Refusal(f"it is in none of {', '.join(SCHEME_NAMES)} of {top}", entry=name, hint=_REPACK)


class _Destination(WheelDestination):
    """Where each of a wheel's schemes lies below the environment's prefix."""

    def __init__(self, writer: _Writer, prefix: str, python: str, distribution: str) -> None:
        top = prefix.strip("/")
        library = f"{top}/lib/python{python}/site-packages"
        self._writer = writer
        self._interpreter = f"/{top}/bin/python"
        self._schemes = {
            "purelib": library,
            "platlib": library,
            "headers": f"{top}/include/site/python{python}/{distribution}",
            "scripts": f"{top}/bin",
            "data": top,
        }

    def write_script(self, name: str, module: str, attr: str, section: Literal["console", "gui"]) -> RecordEntry:
        """The script of an entry point."""
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise Refusal(f"it names a script {name!r}", entry="entry_points.txt", hint=_REPACK)
        _, data = Script(name, module, attr, section).generate(self._interpreter, "posix")
        return self._write("scripts", name, data, executable=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """A file of the wheel, or one that comes with its installation."""
        place = os.fspath(path)
        if not isinstance(stream, _Member):
            return self._write(scheme, place, stream.read(), executable=is_executable)
        if scheme == "scripts":
            with fix_shebang(io.BytesIO(self._writer.read(stream)), self._interpreter) as fixed:
                return self._write(scheme, place, fixed.read(), executable=True)
        self._writer.put(f"{self._schemes[scheme]}/{place}", stream, executable=is_executable)
        return RecordEntry(place, stream.record.hash_, stream.info.file_size)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write RECORD."""

        def below(other: Scheme) -> str | None:
            if self._schemes[other] == self._schemes[scheme]:
                return None
            return posixpath.relpath(self._schemes[other], self._schemes[scheme]) + "/"

        with construct_record_file(list(records), below) as text:
            self._write(scheme, record_file_path, text.read(), executable=False)

    def _write(self, scheme: str, path: str, data: bytes, *, executable: bool) -> RecordEntry:
        self._writer.put_bytes(f"{self._schemes[scheme]}/{path}", data, executable=executable)
        value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        return RecordEntry.from_elements(path, f"sha256={value}", str(len(data)))


class _Writer:
    """Writes files below a directory, those of the wheel in threads; none twice."""

    def __init__(self, zipped: zipfile.ZipFile, out: Path, *, threads: int, stopped: Callable[[], bool]) -> None:
        self._zip = zipped
        self._out = out
        self._stopped = stopped
        self._opening = threading.Lock()  # ZipFile counts its readers without one
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="wheel")
        self._waiting: list[tuple[str, _Member, int]] = []
        self._bytes_waiting = 0
        self._running: list[Future[None]] = []
        self._made = {""}  # directories
        self._files: set[str] = set()
        self.size = 0

    @property
    def files(self) -> int:
        """How many there are."""
        return len(self._files)

    def put(self, path: str, member: _Member, *, executable: bool) -> None:
        """Write a file of the wheel, soon; what is wrong with it is raised here, later or by `finish`."""
        self._settle(path, member.info.file_size)
        self._waiting.append((path, member, 0o755 if executable else 0o644))
        self._bytes_waiting += member.info.file_size
        if self._bytes_waiting >= _TOGETHER or len(self._waiting) >= _FILES_TOGETHER:
            self._submit()

    def put_bytes(self, path: str, data: bytes, *, executable: bool) -> None:
        """Write a file now."""
        self._settle(path, len(data))
        self._create(path, [data], 0o755 if executable else 0o644)

    def read(self, member: _Member) -> bytes:
        """The content of a file of the wheel."""
        return b"".join(self._pieces(member))

    def finish(self) -> None:
        """Wait for all that is being written, raise what went wrong with it, and give the directories their time."""
        self._submit()
        for future in self._running:
            future.result()
        for directory in self._made:
            os.utime(self._out / directory, ns=_MTIME)

    def close(self) -> None:
        """Leave what was not begun, wait for what was."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        if self._waiting:
            self._running.append(self._pool.submit(self._extract, self._waiting))
            self._waiting, self._bytes_waiting = [], 0

    def _settle(self, path: str, size: int) -> None:
        if path in self._files or path in self._made:
            raise Refusal("two of its entries are for this place", entry=f"/{path}", hint=_REPACK)
        self._files.add(path)
        self.size += size
        self._make_directory(path.rpartition("/")[0], path)

    def _make_directory(self, path: str, wanted_for: str) -> None:
        if path in self._made:
            return
        if path in self._files:
            raise Refusal(f"/{path} on its way is a file of the same wheel", entry=f"/{wanted_for}", hint=_REPACK)
        self._make_directory(path.rpartition("/")[0], wanted_for)
        (self._out / path).mkdir()
        (self._out / path).chmod(0o755)  # whatever the umask
        self._made.add(path)

    def _extract(self, files: list[tuple[str, _Member, int]]) -> None:
        for path, member, mode in files:
            self._create(path, self._pieces(member), mode)

    def _pieces(self, member: _Member) -> Iterator[bytes]:
        """The content of a file of the wheel; raise Refusal after the last piece if RECORD says something else."""
        expected = member.record.hash_
        assert expected is not None
        hasher = hashlib.new(expected.name, usedforsecurity=False)
        with self._opening:
            stream = self._zip.open(member.info)
        try:
            while piece := stream.read(_PIECE):
                if self._stopped():
                    raise KeyboardInterrupt
                hasher.update(piece)
                yield piece
        finally:
            with self._opening:
                stream.close()
        value = base64.urlsafe_b64encode(hasher.digest()).decode().rstrip("=")
        if value != expected.value.rstrip("="):
            what = f"its {expected.name} is {value}, and {expected.value} according to the wheel's RECORD"
            raise Refusal(what, entry=member.info.filename, hint=_REPACK)

    def _create(self, path: str, pieces: Iterable[bytes], mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self._out}/{path}", flags, 0o600)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=_MTIME)
        finally:
            os.close(descriptor)
