"""What can be wrong in a recipe whose fields all have the right form. Pure: files beside it are load's concern."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from orchestrator.recipe.lines import FieldPath
from orchestrator.recipe.model import Document, OriginTable, Parts, SourceEntry, Version
from orchestrator.recipe.parse import Problem, suggestion
from orchestrator.recipe.project import OPTION_NAME, RESERVED
from orchestrator.recipe.source_name import file_name

NAME = re.compile(r"[a-z0-9][a-z0-9+._-]*")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*")
HASH = re.compile(r"[0-9a-f]{64}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FORMS = {  # compiled when one is met
    "pypi": r"[A-Za-z0-9._-]+/[^/]+",
    "debian": r"(?:[^/:?#]+/)+[^/?#]+",
    "https": r"//[^/@]+/[^#]*[^/#]",
    "http": r"//(?:localhost|127[.0-9]+|\[::1\])(?::\d+)?/[^#]*[^/#]",  # this machine's own, for tests
    "git": (
        r"(?:https://[^/@]+|http://(?:localhost|127[.0-9]+|\[::1\])(?::\d+)?|file://)/[^@#?\s]*[^@#?/\s]@[0-9a-f]{40}"
    ),
    "file": r".*[^/]",
}
_RESERVED, _ANOTHER = "/build/.orch is orch's own: the build's script lies there", "choose another name"
_SPELT = {
    "pypi": "pypi:PROJECT/FILE",
    "debian": "debian:POOL-PATH",
    "https": "https://HOST/PATH",
    "git": "git:https://HOST/PATH@COMMIT",
    "file": "file:PATH",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


def parts_of(document: Document, origin: str) -> Parts:
    """The tables that hold for versions of `origin`: its own where it has them, else the shared ones."""
    own: OriginTable = document.vendor if origin == "vendor" else document.source
    return Parts(
        inputs=own.inputs or document.inputs,
        runtime=own.runtime or document.runtime,
        build=own.build or document.build,
        check=own.check or document.check,
        inputs_field=f"{origin}.inputs" if own.inputs else "inputs",
    )


def reserved(path: str) -> bool:
    """Whether a relative path is /build/.orch, where the build's own script lies, or below it."""
    return posixpath.normpath(path).split("/")[0] == ".orch"


def leaves(path: str) -> bool:
    """Whether a relative path leads out of the directory that it is meant to be below."""
    return path.startswith("/") or ".." in path.split("/")


def _git(rest: str, path: FieldPath) -> Iterator[Problem]:
    """What is wrong with a `git:` source, whose commonest fault is a name that moves."""
    address, at, commit = rest.rpartition("@")
    if at and _COMMIT.fullmatch(commit) is None and "/" not in commit:
        hint = f"write the 40 hex digits of the commit: git ls-remote {address} {commit or 'HEAD'}"
        yield Problem(path, f"not a full commit: {commit!r}; a branch or a tag can move, a short one be two", hint)
    else:
        yield Problem(path, f"not a git source: 'git:{rest}'", f"it is spelt {_SPELT['git']}, COMMIT 40 hex digits")


def _source(entry: SourceEntry, path: FieldPath, locked: bool) -> Iterator[Problem]:
    scheme, colon, rest = entry.from_.partition(":")
    at = (*path, "from")
    if not colon or scheme not in FORMS:
        what = f"unknown source scheme {scheme!r}" if colon else f"no source scheme in {entry.from_!r}"
        yield Problem(at, what, f"sources are spelt {', '.join(_SPELT.values())}")
    elif scheme == "git" and re.fullmatch(FORMS[scheme], rest) is None:
        yield from _git(rest, at)
    elif re.fullmatch(FORMS[scheme], rest) is None or not file_name(entry.from_).strip("."):
        yield Problem(
            at, f"not a {scheme} source: {entry.from_!r}", f"it is spelt {_SPELT.get(scheme, _SPELT['https'])}"
        )
    elif scheme == "file" and ".." in rest.split("/"):
        yield Problem(at, f"{rest} leaves the recipe's directory", "put it beside the recipe, or name it absolutely")
    if entry.sha256 is not None and entry.tree is not None:
        yield Problem((*path, "tree"), "both sha256 and tree: a source is pinned by one of them")
    if entry.sha256 is None and entry.tree is None and locked:
        which = "tree" if scheme == "git" else "sha256"
        prints = "sha256sum FILE prints it" if which == "sha256" else "orch source lock finds it"
        hint = f'add {which} = "..." ({prints}), or say locked = false for this version'
        yield Problem((*path, which), f"no {which}: a source is pinned by its hash", hint)
    for field, value in (("sha256", entry.sha256), ("tree", entry.tree)):
        if value is not None and HASH.fullmatch(value) is None:
            hint = "leave out what stands before the colon" if ":" in value else ""
            yield Problem((*path, field), f"{field} is not 64 lower-case hex digits: {value!r}", hint)
    if entry.size is not None and entry.size < 0:
        yield Problem((*path, "size"), f"size is {entry.size} bytes")
    if entry.unpack is not None and leaves(entry.unpack):
        yield Problem((*path, "unpack"), f"{entry.unpack} leaves /build", "name a directory below /build")
    if reserved(entry.unpack or file_name(entry.from_)):
        yield Problem((*path, "unpack" if entry.unpack else "from"), _RESERVED, _ANOTHER)
    if entry.tree is not None and entry.unpack == "":
        yield Problem((*path, "unpack"), "a source pinned by tree is unpacked", "pin the file by sha256 instead")


def _when(when: Mapping[str, str], path: FieldPath, known: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for name, value in when.items():
        if name not in known:
            yield Problem((*path, name), f"unknown option {name!r}", suggestion(name, known, label="options here"))
        elif value not in known[name]:
            hint = f"values: {', '.join(known[name])}"
            yield Problem((*path, name), f"{value!r} is not a value of {name}", hint)


def _requires(version: Version, path: FieldPath) -> Iterator[Problem]:
    for index, need in enumerate(version.requires):
        at = (*path, "requires", index)
        if (need.version is None) == (need.feature is None):
            yield Problem(at, f"requires of {need.recipe} has one of version and feature")
        if need.version is not None:
            from packaging.specifiers import InvalidSpecifier, SpecifierSet

            try:
                SpecifierSet(need.version)
            except InvalidSpecifier:
                hint = "spell it like '>=1.19' or '>=1.19,<2'"
                yield Problem((*at, "version"), f"not a version requirement: {need.version!r}", hint)


def _same_place(document: Document, name: str) -> Iterator[Problem]:
    """Of two sources that are there together, one would replace the other's file."""
    for (_, first), (index, entry) in combinations(enumerate(document.versions[name].sources), 2):
        if any(entry.when.get(option, value) != value for option, value in first.when.items()):
            continue
        path: FieldPath = ("versions", name, "sources", index, "from")
        kept = file_name(entry.from_)
        if entry.from_ == first.from_ and (entry.sha256, entry.tree) != (first.sha256, first.tree):
            yield Problem(path, f"{entry.from_} is there already, pinned otherwise", "leave one of them out")
        elif entry.unpack == first.unpack == "" and kept == file_name(first.from_):
            yield Problem(path, f"another source is /build/{kept} already", "choose one by when, or unpack one")


def _reserved_files(document: Document) -> Iterator[Problem]:
    for name, version in document.versions.items():
        for index, patch in enumerate(version.patches):
            if reserved(patch):
                yield Problem(("versions", name, "patches", index), _RESERVED, _ANOTHER)
    for prefix, table in (((), document), (("vendor",), document.vendor), (("source",), document.source)):
        for step, script in (("build", table.build), ("check", table.check)):
            for index, file in enumerate(script.files if script else ()):
                if reserved(file):
                    yield Problem((*prefix, step, "files", index), _RESERVED, _ANOTHER)


def _version(document: Document, name: str, known: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    version = document.versions[name]
    path: FieldPath = ("versions", name)
    if VERSION.fullmatch(name) is None:
        yield Problem(path, f"a version cannot be called {name!r}")
    for index, option in enumerate(version.reads):
        if option not in known:
            hint = suggestion(option, known, label="options here")
            yield Problem((*path, "reads", index), f"reads an unknown option {option!r}", hint)
    yield from _when(version.when, (*path, "when"), known)
    yield from _requires(version, path)
    yield from _same_place(document, name)
    for index, entry in enumerate(version.sources):
        at = (*path, "sources", index)
        yield from _source(entry, at, version.locked)
        yield from _when(entry.when, (*at, "when"), known)
        for option in entry.when:
            if option in known and option not in version.reading:
                what = f"when names {option}, which the version does not read"
                yield Problem((*at, "when", option), what, f"add {option!r} to versions.{name}.reads")
    if document.base is not None:
        if version.lock is None and version.locked:
            hint = f'write lock = "FILE", made by: orch lock {document.name}'
            yield Problem((*path, "lock"), "a base has a lock", hint)
        if version.sources:
            yield Problem((*path, "sources"), "a base's sources are those of its lock")
    else:
        if version.lock is not None:
            yield Problem((*path, "lock"), "only a base has a lock", "list the sources, or add [base]")
        if parts_of(document, version.origin).build is None:
            yield Problem(path, f"no build script for origin {version.origin}", "add [build] with script = '''...'''")


def _options(document: Document, globals_: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for name, option in document.options.items():
        path: FieldPath = ("options", name)
        if OPTION_NAME.fullmatch(name) is None or name in ("version", *RESERVED):
            yield Problem(path, f"an option cannot be called {name!r}")
        if name in globals_:
            yield Problem(path, f"{name} is an option of the whole project already")
        if option.default not in option.values:
            hint = f"values: {', '.join(option.values)}"
            yield Problem((*path, "default"), f"{option.default!r} is not a value of {name}", hint)
        if not any(name in version.reads for version in document.versions.values()):
            first = next(iter(document.versions), "V")
            yield Problem(path, f"no version reads the option {name}", f'add reads = ["{name}"] to versions."{first}"')


def _tables(document: Document) -> Iterator[Problem]:
    for prefix, runtime in (((), document.runtime), (("vendor",), document.vendor.runtime)):
        yield from _runtime(runtime.env, runtime.ldconf, (*prefix, "runtime")) if runtime else ()
    if document.source.runtime:
        yield from _runtime(document.source.runtime.env, document.source.runtime.ldconf, ("source", "runtime"))
    if document.base is None:
        return
    if any(parts_of(document, origin).inputs != type(document.inputs)() for origin in ("source", "vendor")):
        yield Problem(("inputs",), "a base has no inputs")
    for index, setuid in enumerate(document.base.setuid):
        if not setuid.path.startswith("/") or not setuid.reason.strip():
            yield Problem(("base", "setuid", index), "a setuid path is absolute and has a reason")


def _runtime(env: Mapping[str, str], ldconf: Sequence[str], path: FieldPath) -> Iterator[Problem]:
    for name in env:
        if ENV_NAME.fullmatch(name) is None:
            yield Problem((*path, "env", name), f"not a name of a variable: {name!r}")
    for index, directory in enumerate(ldconf):
        if not directory.startswith("/"):
            yield Problem((*path, "ldconf", index), f"not an absolute path: {directory!r}")


def problems(document: Document, directory: str, globals_: Mapping[str, Sequence[str]]) -> list[Problem]:
    """All that is wrong. `directory` is the name of the recipe's; `globals_` maps the project's options to values."""
    found: list[Problem] = []
    if document.name != directory:
        found.append(Problem(("name",), f"name is {document.name!r}, its directory is {directory!r}"))
    elif NAME.fullmatch(document.name) is None:
        found.append(Problem(("name",), f"a recipe cannot be called {document.name!r}"))
    if not document.versions:
        found.append(Problem(("versions",), "no versions"))
    found += _options(document, globals_)
    found += _tables(document)
    found += _reserved_files(document)
    known = {**globals_, **{name: tuple(option.values) for name, option in document.options.items()}}
    for name in document.versions:
        found += _version(document, name, known)
    return found
