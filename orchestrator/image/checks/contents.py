"""Nothing that was only of use while the image was made, and nothing that leads out of it: caches, build trees, paths
of the machine that built it, interpreters that are not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.model import Finding
from orchestrator.tree import Entry

_BUILD_ONLY = frozenset({"debian-build", "cuda-stubs"})
_CACHES = re.compile(
    r"(?:.*/)?(?:\.ccache|\.sccache|\.cargo/registry|\.triton/cache|\.nv/ComputeCache|\.cache/[^/]+|torchinductor_[^/]+"
    r"|\.mypy_cache|\.pytest_cache|\.ruff_cache)"
)
_BUILD_FILES = frozenset({"CMakeCache.txt", ".ninja_log", ".ninja_deps", "config.status"})
_BUILD_DIRECTORIES = frozenset({".git", "meson-private", "CMakeFiles"})
_PACKAGES = re.compile(r"var/cache/apt/(?:archives/.*\.deb|.*pkgcache\.bin)|var/lib/apt/lists/.*_Packages(?:\..*)?")
_BYTECODE = re.compile(r".*\.(cpython|pypy)-?(\d+)(?:\.opt-\d)?\.pyc")
# Filled when a container starts; or pages that a slim base leaves out, with Debian's links to them.
_MAY_LEAD_NOWHERE = ("proc/", "sys/", "dev/", "run/", "tmp/", "var/run/", "usr/share/man/", "usr/share/doc/")
_LARGEST_SCRIPT = 256 * 1024


def find(case: Case) -> Iterator[Finding]:
    """What has no business in an image, by path."""
    for component in case.subject.view.components:
        if component.name in _BUILD_ONLY:
            what = f"{component.name} is for builds only"
            yield finding("contents", "", component.name, what, f"take {component.name} out of components")
    for path in sorted(case.entries):
        entry = case.entries[path]
        yield from _leftover(case, entry)
        if entry.kind == "link":
            yield from _link(case, entry)
        elif entry.kind == "file":
            yield from _file(case, entry)
    yield from _bytecode(case)


def _found(case: Case, path: str, name: str, what: str) -> Finding:
    owner = case.owner(path)
    hint = f'leave it out: [[drop]] path = "/{path}", component = "{owner}", reason = "..."; or let it pass: '
    return finding("contents", path, name, f"{what}, from {owner}", hint + waiver("contents", path, name))


def _leftover(case: Case, entry: Entry) -> Iterator[Finding]:
    name = entry.path.rpartition("/")[2]
    if entry.kind == "dir":
        if _CACHES.fullmatch(entry.path):
            yield _found(case, entry.path, name, "it is the cache of a compiler or of an installer")
        elif name in _BUILD_DIRECTORIES:
            yield _found(case, entry.path, name, "it is part of a build tree or of a checkout")
    elif name in _BUILD_FILES:
        yield _found(case, entry.path, name, "it is part of a build tree")
    elif _PACKAGES.fullmatch(entry.path):
        yield _found(case, entry.path, name, "it is what a package manager downloaded")


def _link(case: Case, entry: Entry) -> Iterator[Finding]:
    target = entry.target
    if case.resolve(entry.path) is not None or not target.startswith("/"):
        return  # a relative one that leads nowhere is the package's own affair
    if not target.lstrip("/").startswith(_MAY_LEAD_NOWHERE):
        yield _found(case, entry.path, target, f"it is a link to {target}, which is not in the image")


def _file(case: Case, entry: Entry) -> Iterator[Finding]:
    directory, _, name = entry.path.rpartition("/")
    if name == "direct_url.json" and directory.endswith(".dist-info"):
        yield from _direct_url(case, entry)
    elif name.endswith(".pth") and directory.endswith("site-packages"):
        for line in case.subject.read(entry.path).decode("utf-8", "replace").splitlines():
            if line.startswith("/") and case.resolve(line.strip()) is None:
                yield _found(case, entry.path, line.strip(), f"it adds {line.strip()}, which is not in the image")
    elif name == "pyvenv.cfg":
        for line in case.subject.read(entry.path).decode("utf-8", "replace").splitlines():
            key, _, value = (part.strip() for part in line.partition("="))
            if key == "home" and case.resolve(value) is None:
                yield _found(case, entry.path, value, f"its Python is in {value}, which is not in the image")
    elif name == "RECORD" and directory.endswith(".dist-info"):
        for line in case.subject.read(entry.path).decode("utf-8", "replace").splitlines():
            place = line.split(",")[0].strip('"')
            if place.startswith("/") and case.resolve(place) is None:
                yield _found(case, entry.path, place, f"it lists {place}, which is not in the image")
    elif directory.rpartition("/")[2] in ("bin", "sbin") and entry.mode & 0o111:
        yield from _shebang(case, entry)


def _direct_url(case: Case, entry: Entry) -> Iterator[Finding]:
    try:
        url = json.loads(case.subject.read(entry.path))["url"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(url, str) and url.startswith("file:"):
        yield _found(case, entry.path, url, f"it says that it was installed from {url}, a path of another machine")


def _shebang(case: Case, entry: Entry) -> Iterator[Finding]:
    """The interpreter that a program names has to be there; one that /usr/bin/env looks for may be anyone's."""
    if entry.size > _LARGEST_SCRIPT or entry.path in case.subject.elf:
        return
    first = case.subject.read(entry.path).partition(b"\n")[0][:512]
    if not first.startswith(b"#!"):
        return
    program = first[2:].decode("utf-8", "replace").split()
    if program and case.file(program[0] if program[0].startswith("/") else "-") is None:
        what = f"it is run by {program[0]}, which is not in the image"
        yield _found(case, entry.path, program[0], what)


def _bytecode(case: Case) -> Iterator[Finding]:
    """Directories with bytecode that the image's Python does not read: one finding each."""
    python = case.subject.image.document.python
    if python is None:
        return
    own = python.version.replace(".", "")
    seen = set()
    for entry in case.files():
        match = _BYTECODE.fullmatch(entry.path)
        directory = entry.path.rpartition("/")[0]
        if match is None or (match[1] == "cpython" and match[2] == own) or directory in seen:
            continue
        seen.add(directory)
        what = f"it holds bytecode of {match[1]} {match[2]}, and the image's Python is {python.version}"
        yield _found(case, entry.path, f"{match[1]}-{match[2]}", what)
