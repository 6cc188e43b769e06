"""One HTTP request, asked as this machine is set up to ask: its certificates, its proxies, its netrc.

Redirects are followed by hand, so that none leads from https to http and no password follows to another host. Knows no
registry and writes no file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import requests
import urllib3

from orchestrator.fetch.url import without_secrets
from orchestrator.frozen import frozen

_REDIRECTS = 10
_PIECE = 256 << 10  # bytes
_MAX_PAGE = 256 << 20  # bytes of an index page; the largest known is under 40 MB
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


@frozen
class Patience:
    """How long a place is given. Times are seconds."""

    connect: float = 10.0
    read: float = 60.0  # between two pieces
    tries: int = 4  # in a row without one new byte
    pause: float = 0.5  # before the second try; doubled for each further one
    window: float = 60.0  # over which a body must bring at least `least` bytes
    least: int = 64 << 10


class Missed(Exception):
    """A place did not give the file: its answer, and whether asking again may help."""

    def __init__(self, answer: str, *, again: bool = False) -> None:
        super().__init__(answer)
        self.answer = answer
        self.again = again


@frozen(kw_only=False)
class Address:
    """A URL without secrets in it, and the user name and password to send to its host, if any."""

    url: str
    login: tuple[str, str] | None = None

    @classmethod
    def of(cls, text: str) -> Address:
        """Take the user name and password out of a URL."""
        parts = urlsplit(text)
        user, at, host = parts.netloc.rpartition("@")
        if not at:
            return cls(text)
        name, _, password = user.partition(":")
        return cls(urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password)))

    def to(self, link: str) -> Address:
        """Where a link on this page leads; the password goes along on the same host only."""
        there = Address.of(urljoin(self.url, link))
        same = urlsplit(there.url)[:2] == urlsplit(self.url)[:2]
        return Address(there.url, there.login or (self.login if same else None))


class Web:
    """Sessions, one for each thread. `bundle` is what certificates are verified with; None: the one requests has."""

    def __init__(self, bundle: str | None, patience: Patience) -> None:
        self.patience = patience
        self._verify = bundle or True
        self._own = threading.local()

    def open(self, address: Address, headers: dict[str, str]) -> tuple[requests.Response, Address]:
        """The response after redirects, its body unread, and the address it came from; the caller closes it."""
        headers = {"Accept-Encoding": "identity", **headers}
        for _ in range(_REDIRECTS):
            response = self._ask(address, headers)
            if not response.is_redirect:
                return response, address
            response.close()
            there = address.to(response.headers["Location"])
            schemes = urlsplit(address.url).scheme, urlsplit(there.url).scheme
            if schemes == ("https", "http"):
                raise Missed(f"it redirects from https to {without_secrets(there.url)}, which is refused")
            if schemes[1] not in ("http", "https"):
                raise Missed(f"it redirects to {without_secrets(there.url)}, which is refused")
            address = there
        raise Missed(f"it redirects more than {_REDIRECTS} times")

    def page(self, address: Address, accept: str) -> tuple[bytes, str, Address]:
        """A whole page held in memory: its bytes, its content type, and the address it came from."""
        patience = self.patience
        for count in range(1, patience.tries + 1):
            try:
                response, there = self.open(address, {"Accept": accept})
                with response:
                    refuse_status(response)
                    body = bytearray()
                    for piece in self.body(response):
                        body += piece
                        if len(body) > _MAX_PAGE:
                            raise Missed(f"its page is larger than {_MAX_PAGE} bytes")
                    return bytes(body), response.headers.get("Content-Type", ""), there
            except Missed as missed:
                if not missed.again or count == patience.tries:
                    raise
                time.sleep(patience.pause * 2 ** (count - 1))
        raise AssertionError("unreachable: the last try returns or raises")

    def body(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it was sent, piece by piece; raise Missed if it ends early or hardly moves."""
        raw = response.raw
        read = getattr(raw, "read1", raw.read)  # read1 gives what is there, so a trickle is seen as one
        expected = int(response.headers["Content-Length"]) if _has_length(response) else None
        done, since, then = 0, 0, time.monotonic()
        try:
            while piece := read(_PIECE, decode_content=False):
                done += len(piece)
                yield piece
                if time.monotonic() - then > self.patience.window:
                    if done - since < self.patience.least:
                        raise Missed(f"it sent {done - since} bytes in {self.patience.window:g} s", again=True)
                    since, then = done, time.monotonic()
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
            raise Missed(f"the connection broke after {done} bytes ({_short(error)})", again=True) from error
        if expected is not None and done != expected:
            raise Missed(f"it ended after {done} of {expected} bytes", again=True)

    def _ask(self, address: Address, headers: dict[str, str]) -> requests.Response:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
        try:
            return session.get(
                address.url,
                headers=headers,
                auth=address.login,
                stream=True,
                allow_redirects=False,
                timeout=(self.patience.connect, self.patience.read),
                verify=self._verify,
            )
        except requests.exceptions.SSLError as error:
            raise Missed(f"its certificate or TLS is refused ({_short(error)})") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Missed(_short(error), again=True) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Missed(_short(error)) from error


@lru_cache(maxsize=8)
def web_of(bundle: str | None, patience: Patience) -> Web:
    """One Web for all fetches of this process, so that hundreds of small files share a connection."""
    return Web(bundle, patience)


def refuse_status(response: requests.Response) -> None:
    """Raise Missed unless the answer is a success."""
    if not response.ok:
        again = response.status_code in _AGAIN
        raise Missed(f"{response.status_code} {response.reason or ''}".rstrip(), again=again)


def _has_length(response: requests.Response) -> bool:
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return not chunked and response.headers.get("Content-Length", "").isdecimal()


def _short(error: BaseException) -> str:
    """The innermost reason of an error that wraps others: requests wraps urllib3, which wraps the socket's."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    reason = error
    while inner := _inner(reason):
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    text = str(reason).partition(": ")[2] or str(reason)
    return text or type(reason).__name__


def _inner(error: BaseException) -> BaseException | None:
    inside = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((found for found in inside if isinstance(found, BaseException)), None)
