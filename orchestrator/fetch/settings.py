"""What this machine's pip and apt are told about where registries lie. Reads files and variables; opens no connection.

Only what orch needs is read: pip's indexes and certificate bundle, and the Debian archives among apt's sources. pip's
find-links and trusted-host are not: the first names files without a registry, the second would weaken TLS.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.frozen import frozen

_SUITE = re.compile(
    r"(?:(?:old){0,2}stable|testing|unstable|sid|experimental"
    r"|buster|bullseye|bookworm|trixie|forky|duke)"
    r"(?:-security|-updates|-backports|-proposed-updates|/updates)?"
)
_COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})  # a third party's suite has its own
_SCHEMES = ("http://", "https://", "file:", "copy:", "mirror+file:")


@frozen(kw_only=False)
class Place:
    """Where files may be had, and which setting says so."""

    address: str
    said_by: str


@frozen
class Machine:
    """The machine whose settings are read: its environment and the root of its file system."""

    environment: Mapping[str, str]
    root: Path
    prefix: Path  # of the Python whose pip.conf counts

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        return cls(environment=dict(os.environ), root=Path("/"), prefix=Path(sys.prefix))


def pip_indexes(machine: Machine) -> tuple[Place, ...]:
    """pip's index and extra indexes, in its own order of precedence; empty under no-index."""
    options = _pip_options(machine)
    if options.get("no-index", ("", ""))[0].lower() in ("1", "true", "yes", "on", "y", "t"):
        return ()
    places = []
    address, said_by = options.get("index-url") or (_pip_default_index(), "pip's default index")
    places += [Place(address, said_by)] if address else []
    extra, said_by = options.get("extra-index-url", ("", ""))
    places += [Place(address, said_by) for address in extra.split()]
    return tuple(dict.fromkeys(places))


def certificates(machine: Machine) -> str | None:
    """The bundle that TLS connections are verified with, or None where only the one that came with requests is left."""
    options = _pip_options(machine)
    if "cert" in options:
        return options["cert"][0]
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if machine.environment.get(name):
            return machine.environment[name]
    return ssl.get_default_verify_paths().cafile


def _pip_default_index() -> str:
    try:
        from pip._internal.models.index import PyPI  # pip keeps it nowhere more public
    except Exception:  # no pip, or one that has it elsewhere: then there is no default
        return ""
    return str(getattr(PyPI, "simple_url", ""))


def _pip_options(machine: Machine) -> dict[str, tuple[str, str]]:
    """Option -> (value, who says so): [global] < [install] < the environment, and later files over earlier ones."""
    sections: dict[str, dict[str, tuple[str, str]]] = {"global": {}, "install": {}}
    for path in _pip_files(machine):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, configparser.Error):
            continue  # pip itself will complain of it; here it says nothing
        for section, options in sections.items():
            for name, value in parser.items(section) if parser.has_section(section) else ():
                options[name.lower().replace("_", "-").removeprefix("--")] = (value, str(path))
    found = {**sections["global"], **sections["install"]}
    for name, value in machine.environment.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = (value, name)
    return found


def _pip_files(machine: Machine) -> Iterator[Path]:
    environment = machine.environment
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    for directory in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        if directory:
            yield machine.root / directory.lstrip("/") / "pip/pip.conf"
    yield machine.root / "etc/pip.conf"
    home = environment.get("HOME", "")
    if home and not (named and Path(named).exists()):
        yield Path(home) / ".pip/pip.conf"
        yield Path(environment.get("XDG_CONFIG_HOME") or f"{home}/.config") / "pip/pip.conf"
    yield machine.prefix / "pip.conf"
    if named:
        yield Path(named)


def apt_archives(machine: Machine) -> tuple[Place, ...]:
    """The Debian archives among apt's sources, in the order of its files; third parties' are left out."""
    apt = machine.root / "etc/apt"
    parts = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    places: list[Place] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for address in _stanzas(text) if file.suffix == ".sources" else _lines(text):
            places += [Place(found, str(file)) for found in _resolved(address, machine)]
    first: dict[str, Place] = {}
    for place in places:
        first.setdefault(place.address, place)
    return tuple(first.values())


def _is_debian(suites: Iterable[str], components: Iterable[str]) -> bool:
    return any(_SUITE.fullmatch(suite) for suite in suites) and not _COMPONENTS.isdisjoint(components)


def _lines(text: str) -> Iterator[str]:
    """Addresses of the one-line form: `deb [options] URI SUITE COMPONENT...`."""
    for line in text.splitlines():
        match = re.fullmatch(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(.*)", line.partition("#")[0])
        if match and _is_debian([match[2]], match[3].split()):
            yield match[1]


def _stanzas(text: str) -> Iterator[str]:
    """Addresses of the deb822 form."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        fields: dict[str, list[str]] = {}
        for line in re.sub(r"\n[ \t]+", " ", stanza).splitlines():
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.split()
        if [value.lower() for value in fields.get("enabled", [])] in (["no"], ["false"], ["0"], ["off"]):
            continue
        if _is_debian(fields.get("suites", []), fields.get("components", [])):
            yield from fields.get("uris", [])


def _resolved(address: str, machine: Machine) -> Iterator[str]:
    """The address itself, or those that a `mirror+file:` list names."""
    if not address.startswith(_SCHEMES):
        return  # cdrom:, tor+http: and the like
    if not address.startswith("mirror+file:"):
        yield re.sub(r"^copy:", "file:", address)
        return
    listed = machine.root / address.removeprefix("mirror+file:").lstrip("/")
    try:
        lines = listed.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return
    for line in lines:
        for word in shlex.split(line, comments=True)[:1]:
            if word.startswith(_SCHEMES[:3]):
                yield word
