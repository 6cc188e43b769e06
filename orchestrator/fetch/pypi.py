"""Finds one file of one project on a Python index: the JSON form of its page, or the HTML form. Stores nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urldefrag, urljoin, urlsplit

from orchestrator.fetch.places import joined
from orchestrator.fetch.url import PypiName
from orchestrator.fetch.web import Address, Missed, Web
from orchestrator.frozen import frozen

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@frozen(kw_only=False)
class Found:
    """Where the file is, and the SHA-256 hex that the index gives for it, if any."""

    address: Address
    sha256: str | None


def find(web: Web, index: str, name: PypiName) -> Found:
    """The file of exactly this name. Raise Missed if the index does not answer or does not have it."""
    asked = Address.of(index)
    page = Address(joined(asked.url, name.project) + "/", asked.login)
    body, content_type, there = web.page(page, _ACCEPT)
    is_json = content_type.partition(";")[0].strip().lower() in (_JSON, "application/json")
    links = _json_links(body) if is_json else _html_links(body)
    for file_name, url, sha256 in links:
        if file_name == name.file_name:
            return Found(there.to(url), sha256)
    raise Missed(f"its page of {name.project} lists {len(links)} files, and {name.file_name} is not one of them")


def linked(page: Path, name: PypiName) -> tuple[Path, ...]:
    """Where the index.html of an index that is a directory of this machine says that the file is."""
    try:
        links = _html_links(page.read_bytes())
    except OSError:
        return ()
    targets = [urlsplit(urljoin(page.as_uri(), url)) for file_name, url, _ in links if file_name == name.file_name]
    return tuple(Path(unquote(target.path)) for target in targets if target.scheme == "file")


def _json_links(body: bytes) -> list[tuple[str, str, str | None]]:
    try:
        return [
            (str(file["filename"]), str(file["url"]), (file.get("hashes") or {}).get("sha256"))
            for file in json.loads(body)["files"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Missed(f"its page is not what an index's is ({error!r})") from error


class _Anchors(HTMLParser):
    """Collects the links of a page with their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self._href: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._href, self._text = dict(attrs).get("href"), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links.append((self._href, self._text.strip()))
            self._href = None


def _html_links(body: bytes) -> list[tuple[str, str, str | None]]:
    parser = _Anchors()
    parser.feed(body.decode("utf-8", "replace"))
    found = []
    for href, text in parser.links:
        url, fragment = urldefrag(href)
        sha256 = parse_qs(fragment).get("sha256", [None])[0]
        found.append((text or unquote(url.rpartition("/")[2]), url, sha256))
    return found
