"""A loopback server and a fetcher with an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_servers import Fetcher, Server

from orchestrator.store import open_store


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(open_store(tmp_path / "store"), tmp_path)
