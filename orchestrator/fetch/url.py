"""Parses the name of a source. A name says what is wanted, not where it lies. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from orchestrator.errors import RecipeError
from orchestrator.frozen import frozen

_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LATER = ("oci",)  # reserved; no source yet
_FORMS = "pypi:PROJECT/FILE, debian:POOL-PATH, https://HOST/PATH, git:https://HOST/PATH@COMMIT, file:PATH"


@frozen(kw_only=False)
class PypiName:
    """One file of one project of a Python index."""

    project: str  # normalised
    file_name: str


@frozen(kw_only=False)
class DebianName:
    """A file of a Debian archive, by its path there."""

    path: str


@frozen(kw_only=False)
class WebName:
    """A file by its address."""

    url: str


@frozen(kw_only=False)
class GitName:
    """The files of one commit of a repository."""

    url: str
    commit: str  # 40 hex digits


@frozen(kw_only=False)
class LocalName:
    """A file of this machine; relative to the recipe's directory unless absolute."""

    path: str


Name = PypiName | DebianName | WebName | GitName | LocalName


def parse_name(text: str, *, where: str = "") -> Name:
    """Raise RecipeError unless `text` is a source's name; `where` is the file and field for the message."""
    try:
        return _parse(text)
    except ValueError as error:
        raise RecipeError(
            f"not a source's name: {text!r}", where=where, why=str(error), hint=f"sources are spelt {_FORMS}"
        ) from None


def _parse(text: str) -> Name:
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise ValueError("it has no scheme")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in text) and scheme != "file":
        raise ValueError("it holds white space or a control character")
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    if scheme == "pypi":
        return _pypi(rest)
    if scheme == "debian":
        return DebianName(_checked_path(rest))
    if scheme == "file":
        return _local(rest)
    if scheme in ("https", "http"):
        return WebName(_checked_url(text))
    if scheme == "git":
        return _git(rest)
    if scheme in _LATER:
        raise ValueError(f"{scheme}: is reserved, but nothing here fetches it yet")
    raise ValueError(f"its scheme {scheme!r} is unknown")


def _pypi(rest: str) -> PypiName:
    project, _, file_name = rest.partition("/")
    if _PROJECT.fullmatch(project) is None:
        raise ValueError(f"{project!r} is not a project's name")
    if not file_name.strip(".") or "/" in file_name:
        raise ValueError(f"{file_name!r} is not a file's name")
    return PypiName(re.sub(r"[-_.]+", "-", project).lower(), file_name)


def _git(rest: str) -> GitName:
    url, at, commit = rest.rpartition("@")
    if not at or _COMMIT.fullmatch(commit) is None:
        raise ValueError("after @ it has no full commit of 40 hex digits; a branch or a tag can move")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "file"):
        raise ValueError("git:https://HOST/PATH@COMMIT is fetched, and git:file:///PATH@COMMIT")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/") or not parts.path.strip("/")):
        raise ValueError("it names no repository of this machine")
    if parts.query:
        raise ValueError("it has a query (?...)")
    return GitName(url if parts.scheme == "file" else _checked_url(url), commit)


def _checked_path(path: str) -> str:
    parts = path.split("/")
    if len(parts) < 2 or not all(part.strip(".") for part in parts):
        raise ValueError("its path is not one below the archive's top, such as pool/main/h/hello/hello_1.deb")
    return path


def _local(path: str) -> LocalName:
    if not path or path.endswith("/"):
        raise ValueError("it names no file")
    if not path.startswith("/") and ".." in path.split("/"):
        raise ValueError("its path leaves the recipe's directory")
    return LocalName(path)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or not parts.path.rpartition("/")[2]:
        raise ValueError("it names no host or no file")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name or password; a recipe is public, netrc is not")
    if parts.fragment:
        raise ValueError("it has a fragment (#...)")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// is for this machine's own addresses only; use https://")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_secrets(url: str) -> str:
    """`url` for a message: no user name, password, query or fragment."""
    parts = urlsplit(url)
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "").geturl()
