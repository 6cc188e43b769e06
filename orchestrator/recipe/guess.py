"""What an unpacked source tells about itself: its build system, name, version, licence, homepage. Guesses, all of them.

Reads the tree and runs nothing of it. Knows no network, no store, and not how a recipe is spelt (see template.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from orchestrator.frozen import frozen
from orchestrator.recipe.check import NAME, VERSION

System = Literal["wheel", "autotools", "autoreconf", "cmake", "meson", "configure", "make", "unknown"]

_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip", ".whl")
_VERSION = r"\d[0-9A-Za-z.+~]*(?:[-_](?:stable|release|final|rc|beta|alpha|p|r)?\d*)*"
_NAMED = re.compile(rf"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*?)[-_][vr]?(?P<version>{_VERSION})")
_BARE = re.compile(rf"[vr]?({_VERSION})")
_HOMEPAGE = re.compile(r"https?://[^\s\"'<>)]+")
_READ = 1 << 20  # bytes of a file that are looked at
_MARKS: tuple[tuple[System, str], ...] = (  # in the order in which they are preferred
    ("meson", "meson.build"),
    ("cmake", "CMakeLists.txt"),
    ("autoreconf", "configure.ac"),
    ("autoreconf", "configure.in"),
    ("configure", "configure"),
    ("make", "GNUmakefile"),
    ("make", "Makefile"),
    ("make", "makefile"),
)
_LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|copyright)(?:[.\-_].*)?", re.IGNORECASE)
_LICENCES = (  # where two begin at one place, the first is meant
    ("AGPL-3.0-or-later", r"GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("LGPL-3.0-or-later", r"GNU LESSER GENERAL PUBLIC LICENSE Version 3"),
    ("LGPL-2.1-or-later", r"GNU LESSER GENERAL PUBLIC LICENSE Version 2\.1"),
    ("GPL-3.0-or-later", r"GNU GENERAL PUBLIC LICENSE Version 3"),
    ("GPL-2.0-or-later", r"GNU GENERAL PUBLIC LICENSE Version 2"),
    ("Apache-2.0", r"Apache License Version 2\.0"),
    ("MPL-2.0", r"Mozilla Public License,? Version 2\.0"),
    ("BSL-1.0", r"Boost Software License - Version 1\.0"),
    ("ISC", r"Permission to use, copy, modify, and(?:/or)? distribute this software for any purpose"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
    (
        "BSD-3-Clause",
        r"Redistribution and use in source and binary forms.*(?:Neither the name|The name of the author may not)",
    ),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("Zlib", r"This software is provided 'as-is', without any express or implied warranty"),
)


@frozen
class Guess:
    """What a source seems to be. A text is empty where nothing was found."""

    system: System
    name: str = ""
    version: str = ""
    summary: str = ""
    licence: str = ""
    licence_file: str = ""
    homepage: str = ""
    top: str = ""  # the one directory of a zip, which a build does not strip
    others: tuple[str, ...] = ()  # files of other build systems that are there too
    takes: tuple[str, ...] = ()  # switches that its configure script has
    modules: tuple[str, ...] = ()  # of a wheel: what can be imported
    needs: tuple[str, ...] = ()  # of a wheel: what it requires
    native: bool = False  # of a wheel: it holds compiled code
    listing: tuple[str, ...] = ()  # the names at its top


def named(file_name: str, address: str = "") -> tuple[str, str]:
    """Name and version as a file's name, or a forge's address of it, says them; "" for what it does not."""
    stem = next((file_name.removesuffix(suffix) for suffix in _SUFFIXES if file_name.endswith(suffix)), file_name)
    stem = stem.removesuffix(".orig").removesuffix("-src").removesuffix("-source")
    forge = re.match(r"https://[^/]+/[^/]+/([^/]+)/(?:-/)?(?:archive|releases)/", address)
    if bare := _BARE.fullmatch(stem):
        name, version = (forge[1] if forge else ""), bare[1]
    elif match := _NAMED.fullmatch(stem):
        name, version = match["name"], match["version"]
    else:
        name, version = stem, ""
    name = name.lower()
    return (name if NAME.fullmatch(name) else ""), (version if VERSION.fullmatch(version) else "")


def guess(tree: Path, file_name: str, address: str = "") -> Guess:
    """What the source unpacked in `tree` seems to be; `file_name` and `address` are what it was called."""
    if file_name.endswith(".whl"):
        from orchestrator.recipe.guess_wheel import guess_wheel

        return guess_wheel(tree)
    entries = sorted(path.name for path in tree.iterdir())
    top = entries[0] if file_name.endswith(".zip") and len(entries) == 1 and (tree / entries[0]).is_dir() else ""
    root = tree / top
    listing = tuple(sorted(path.name for path in root.iterdir()))
    system, mark = _system(root)
    said = _said(root, system)
    name, version = named(file_name, address)
    licence_file = next((entry for entry in listing if _LICENCE_FILE.fullmatch(entry) and (root / entry).is_file()), "")
    configure = _text(root / "configure")
    description, url = _pkg_config(root)
    return Guess(
        system=system,
        name=name or said.get("name", "").lower(),
        version=version or said.get("version", ""),
        summary=said.get("summary") or description,
        licence=said.get("licence") or (licence_of(_text(root / licence_file)) if licence_file else ""),
        licence_file=licence_file,
        homepage=next(iter(_HOMEPAGE.findall(said.get("homepage") or url or _forge(address))), ""),
        top=top,
        others=tuple(file for _, file in _MARKS if file != mark and file in listing and _kind(file) != system),
        takes=tuple(switch for switch in ("static", "shared", "nls", "doc", "dependency-tracking")
                    if f"--enable-{switch}" in configure or f"--disable-{switch}" in configure),
        listing=listing,
    )  # fmt: skip


def licence_of(text: str) -> str:
    """The SPDX name of the licence that a text is, "" if it is none of the common ones."""
    plain = " ".join(text.split())
    found = {name: re.search(pattern, plain, re.IGNORECASE) for name, pattern in _LICENCES}
    places = {name: match.start() for name, match in found.items() if match is not None}
    return min(places, key=lambda name: places[name], default="")  # others are only spoken of


def _kind(file: str) -> System:
    return next(system for system, mark in _MARKS if mark == file)


def _system(root: Path) -> tuple[System, str]:
    """The build system to use, and the file that shows it. A configure script that autoconf made needs no tools."""
    if "Generated by GNU Autoconf" in _text(root / "configure")[:4096]:
        return "autotools", "configure"
    return next(((system, mark) for system, mark in _MARKS if (root / mark).is_file()), ("unknown", ""))


def _said(root: Path, system: System) -> dict[str, str]:
    """What the build system's own file says of the project."""
    if system == "autotools":
        found = dict(re.findall(r"^PACKAGE_(NAME|VERSION|URL)='([^'\n]*)'$", _text(root / "configure"), re.MULTILINE))
        return {"name": found.get("NAME", ""), "version": found.get("VERSION", ""), "homepage": found.get("URL", "")}
    if system == "meson":
        call = _call(_text(root / "meson.build"), r"\bproject\s*\(")
        first = re.match(r"\s*'([^']*)'", call)
        keys = dict(re.findall(r"\b(version|license)\s*:\s*\[?\s*'([^']*)'", call))
        licence = keys.get("license", "")
        return {
            "name": first[1] if first else "",
            "version": _literal(keys.get("version", "")),
            "licence": licence if re.fullmatch(r"[A-Za-z0-9.+-]+", licence) else "",
        }
    if system == "cmake":
        call = _call(_text(root / "CMakeLists.txt"), r"\bproject\s*\(")
        first = re.match(r"\s*\"?([A-Za-z0-9_.+-]+)", call)
        keys = dict(re.findall(r"\b(VERSION|DESCRIPTION|HOMEPAGE_URL)\s+(\"[^\"]*\"|\S+)", call))
        said = {"version": "VERSION", "summary": "DESCRIPTION", "homepage": "HOMEPAGE_URL"}
        found = {ours: _literal(keys.get(theirs, "").strip('"')) for ours, theirs in said.items()}
        return {**found, "name": first[1] if first else ""}
    return {}


def _literal(text: str) -> str:
    """The text, unless it is computed by the file that it was found in."""
    return "" if "$" in text or "@" in text else text


def _call(text: str, pattern: str) -> str:
    """The arguments of the first call that matches; no nested parentheses are expected there."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    found = re.search(pattern, text)
    return text[found.end() :].partition(")")[0] if found else ""


def _pkg_config(root: Path) -> tuple[str, str]:
    """Description and URL of the first .pc template."""
    for path in _templates(root):
        found = dict(re.findall(r"^(Description|URL):[ \t]*(\S.*)$", _text(path), re.MULTILINE))
        if text := _literal(found.get("Description", "")):
            return text, _literal(found.get("URL", ""))
    return "", ""


def _templates(root: Path) -> Iterator[Path]:
    for depth in ("*", "*/*", "*/*/*"):
        yield from sorted(root.glob(f"{depth}.pc.in"))


def _forge(address: str) -> str:
    """The project's page, if a forge's address of an archive names it."""
    found = re.match(r"(https://[^/]+/[^/]+/[^/]+)/(?:-/)?(?:archive|releases)/", address)
    return found[1] if found else ""


def _text(path: Path) -> str:
    """The beginning of a file, "" if it is none. A link of an archive is not followed."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_READ).decode("utf-8", "replace")
