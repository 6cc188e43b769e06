"""The modules that commands import, in one file: to look for two hundred of them one by one takes 10 ms.

The file lies where Python keeps compiled modules, and is believed as those are: of a module it is used only while the
source has the time and size that it had. Of modules in C it says where they are. What is not in it, or no longer right,
is imported as always, and when there is enough of that the file is written anew. It is a cache and never an error;
commands that write it at once replace it whole.
"""

# Nothing is imported here that Python has not loaded by now
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH120, PTH123, SIM105
from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

_bootstrap: Any = sys.modules["_frozen_importlib"]
_external: Any = sys.modules["_frozen_importlib_external"]
_FORM = b"orch modules 2\n"
_LENGTH = 8  # bytes of the index's length, little-endian
_PREFIX = "modules-"
_FILES = 8  # for as many paths; the oldest go
_MANY = 16  # modules for which it is worth while to write the file anew

# The source (of a module in C: itself), its mtime in nanoseconds, its size; where Python keeps it compiled, or None;
# the directory of a package, else ""; where the code begins, and its length (of a module in C: 0).
_Entry = tuple[str, int, int, "str | None", str, int, int]


class _Loader(_external.SourceFileLoader):  # type: ignore[misc]
    """As Python's own, but that the code comes from the file."""

    file: _File

    def get_code(self, fullname: str) -> Any:
        try:
            return self.file.code(fullname)
        except Exception:  # marshal raises many for what is damaged
            self.file.forget()
            return super().get_code(fullname)


class _File:
    """A finder of modules, as sys.meta_path has them."""

    def __init__(self, path: str) -> None:
        """Raise an exception, whatever it is, if there is no such file, or not all of it."""
        self._path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        form = os.read(self.descriptor, len(_FORM) + _LENGTH)
        length = int.from_bytes(form[len(_FORM) :], "little")
        size = os.fstat(self.descriptor).st_size
        if form[: len(_FORM)] != _FORM or length > size:
            raise ValueError(path)
        self._start = len(form) + length
        self.index: dict[str, _Entry] = marshal.loads(os.read(self.descriptor, length))
        if size != self._start + sum(entry[-1] for entry in self.index.values()):
            raise ValueError(path)

    def forget(self) -> None:
        """It is damaged: nothing more comes of it, and it is made again."""
        self.index = {}
        try:
            os.unlink(self._path)
        except OSError:
            return

    def data(self, name: str) -> bytes:
        """The compiled module, as marshal has it."""
        *_, place, length = self.index[name]
        return os.pread(self.descriptor, length, self._start + place)

    def code(self, name: str) -> CodeType:
        made: CodeType = marshal.loads(self.data(name))
        return made

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> Any:
        """The spec of a module that is in the file and still right; else None, and others are asked."""
        entry = self.index.get(name)
        if entry is None:
            return None
        source, time, size, cached, package, _, length = entry
        try:
            now = os.stat(source)
        except OSError:
            return None
        if (now.st_mtime_ns, now.st_size) != (time, size):
            return None
        if length:
            loader = _Loader(name, source)
            loader.file = self
        else:
            loader = _external.ExtensionFileLoader(name, source)
        # As spec_from_file_location makes it, which asks the loader and looks at paths: 10 us each.
        spec = _bootstrap.ModuleSpec(name, loader, origin=source, is_package=bool(package))
        spec.has_location = True
        spec.cached = cached
        if package:
            spec.submodule_search_locations.append(package)
        return spec


def _place() -> str:
    """The file of this Python and its path, beside this module's own compiled form."""
    from _blake2 import blake2b

    directory, own = os.path.split(_external.cache_from_source(__file__))  # its name tells whether -O is on
    words = "\0".join((sys.version, own, *sys.path)).encode("utf-8", "surrogateescape")
    return os.path.join(directory, f"{_PREFIX}{blake2b(words, digest_size=8).hexdigest()}")


def _may() -> bool:
    """Whether all that is on the path is ours, Python's or installed: elsewhere a file may come to stand before another
    of its name."""
    return "PYTHONPATH" not in os.environ and "" not in sys.path


def use() -> None:
    """From now on, modules are looked for in the file before they are on the path."""
    if _may():
        try:
            sys.meta_path.insert(0, _File(_place()))  # it has nothing that is built in
        except Exception:  # there is none, or it is damaged: marshal raises many
            pass


def import_usual() -> None:
    """Import what every verb takes of the standard library, without what that imports in turn and seldom wants."""
    if sys.version_info < (3, 12):
        import_without("pathlib", {"urllib.parse": {"quote_from_bytes": _quote}})
    import_without("argparse", {"gettext": {"gettext": str, "ngettext": _ngettext}})
    import_without("json", {})


def _quote(data: bytes) -> str:
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(data)


def _ngettext(one: str, many: str, number: int) -> str:
    return one if number == 1 else many


class _Pattern:
    """A pattern that is compiled when one of its methods is wanted first."""

    def __init__(self, compiled: Callable[[str, int], Any], pattern: str, flags: int) -> None:
        self._how = compiled, pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # nobody asks a pattern for these but to copy it
            raise AttributeError(name)
        compiled, pattern, flags = self._how
        found = getattr(compiled(pattern, flags), name)
        setattr(self, name, found)
        return found


def import_without(name: str, unwanted: dict[str, dict[str, Any]]) -> None:
    """Import a module with stand-ins for `unwanted` ones, by name, which have of each what the module takes from it.
    Whoever imports those later gets them as they are. Where it takes something else, it is not imported. Its patterns
    are compiled when it uses them, which most commands never do."""
    if name in sys.modules:
        return
    import re

    compiled = re.compile
    vars(re)["compile"] = lambda pattern, flags=0: _Pattern(compiled, pattern, flags)
    placed = [one for one in unwanted if one not in sys.modules]
    for one in placed:
        sys.modules[one] = type(sys)(one)
        vars(sys.modules[one]).update(unwanted[one])
    try:
        __import__(name)
    except (ImportError, AttributeError):  # of another Python than it was tried with: who wants it imports it whole
        pass
    finally:
        vars(re)["compile"] = compiled
        for one in placed:
            del sys.modules[one]


def keep() -> None:
    """Write the file anew, if many modules had to be looked for elsewhere."""
    if not _may() or sys.dont_write_bytecode:
        return
    place = _place()
    if not os.access(os.path.dirname(place), os.W_OK):
        return
    file = next((finder for finder in sys.meta_path if isinstance(finder, _File)), None)
    index = file.index if file is not None else {}
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    kinds = _external.SourceFileLoader, _external.ExtensionFileLoader
    plain = {spec.name: spec for spec in specs if spec is not None and type(spec.loader) in kinds}
    try:
        looks = {name: (spec, os.stat(spec.origin)) for name, spec in plain.items() if name in sys.modules}
        new = [name for name, (spec, now) in looks.items() if index.get(name, ())[:3] != _look(spec.origin, now)]
        if len(new) < _MANY:
            return
        found = {name: (entry[:5], file.data(name)) for name, entry in index.items()} if file is not None else {}
        for name in new:
            spec, now = looks[name]
            code = spec.loader.get_code(name)
            package = "".join((spec.submodule_search_locations or [])[:1])
            facts = *_look(spec.origin, now), spec.cached, package
            found[name] = facts, marshal.dumps(code) if code is not None else b""
        _write(place, found)
    except (OSError, ValueError, ImportError):
        return


def _look(source: str, now: os.stat_result) -> tuple[str, int, int]:
    return source, now.st_mtime_ns, now.st_size


def _leave_newest(directory: str) -> None:
    """Whoever has another path each time leaves a file each time."""
    with os.scandir(directory) as entries:
        files = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for _, path in sorted(files)[:-_FILES]:
        os.unlink(path)


def _write(path: str, found: dict[str, tuple[tuple[str, int, int, str | None, str], bytes]]) -> None:
    index: dict[str, _Entry] = {}
    place = 0
    for name, (facts, code) in found.items():
        index[name] = *facts, place, len(code)
        place += len(code)
    head = marshal.dumps(index)
    new = f"{path}.{os.getpid()}"
    try:
        with open(new, "xb") as file:
            file.write(_FORM + len(head).to_bytes(_LENGTH, "little") + head)
            file.writelines(code for _, code in found.values())
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        _leave_newest(os.path.dirname(path))
    finally:
        if os.path.lexists(new):
            os.unlink(new)
