"""Brings the bytes at one address into one file, going on from what is there. It does not know what they should be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import requests

from orchestrator.fetch.web import Address, Missed, Web, refuse_status
from orchestrator.tree import disk

_TRIES = 100  # altogether: a server that gives a little each time ends too
_OUT_OF_RANGE = 416

Report = Callable[[int, int | None], None]  # bytes so far, bytes altogether if known


class Download:
    """One file from one address. `resumed` says whether any of it was there before, so that its origin is in doubt."""

    def __init__(self, web: Web, address: Address, partial: Path, report: Report) -> None:
        self._web = web
        self._address = address
        self._partial = partial
        self._report = report
        self._etag = ""
        self.resumed = False

    def run(self) -> None:
        """Return when the file is whole. Raise Missed, what came so far being kept, or MachineError for the disk."""
        patience = self._web.patience
        in_vain = 0
        for _ in range(_TRIES):
            before = self._length()
            try:
                return self._attempt(before)
            except Missed as missed:
                in_vain = 0 if self._length() > before else in_vain + 1
                if not missed.again or in_vain >= patience.tries:
                    raise
                last = missed
            time.sleep(patience.pause * 2**in_vain)
        raise last

    def _length(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _attempt(self, offset: int) -> None:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and self._etag:
            headers["If-Range"] = self._etag
        response, _ = self._web.open(self._address, headers)
        with response:
            if response.status_code == _OUT_OF_RANGE and offset:
                self._beyond(response, offset)
                return
            refuse_status(response)
            start = self._start(response, offset)
            etag = response.headers.get("ETag", "")
            self._etag = "" if etag.startswith("W/") else etag
            self._write(response, start)

    def _beyond(self, response: requests.Response, offset: int) -> None:
        """Nothing is left to send: either all of it is here, or what is here is of another file."""
        if response.headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{offset}":
            self.resumed = True
            self._report(offset, offset)
            return
        self._partial.unlink()
        raise Missed("what was here of it did not fit", again=True)

    def _start(self, response: requests.Response, offset: int) -> int:
        """From which byte on the response is: where it was asked to start, or 0 if it sends the whole file."""
        if response.status_code != requests.codes.partial_content:
            return 0
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            self._partial.unlink(missing_ok=True)
            raise Missed("it sent another range than it was asked for", again=True)
        return offset

    def _write(self, response: requests.Response, start: int) -> None:
        self.resumed = start > 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        done = start
        self._report(start, total)  # what comes from here on is what was fetched now
        with disk("write", self._partial), self._partial.open("ab" if start else "wb", buffering=0) as file:
            for piece in self._web.body(response):
                _write_all(file.write, piece)
                done += len(piece)
                self._report(done, total)
        self._report(done, done)


def _write_all(write: Callable[[bytes], int | None], data: bytes) -> None:
    while data:
        data = data[write(data) or 0 :]
