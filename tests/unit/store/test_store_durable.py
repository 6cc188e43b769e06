"""One sync serves all who wait for it, and none who came after it began."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from orchestrator.store import durable
from orchestrator.store.durable import sync_all


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """Each sync waits here until it is let go."""
    running: list[threading.Event] = []

    def sync(root: Path) -> None:
        running.append(threading.Event())
        assert running[-1].wait(10)
        if (root / "full").exists():
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(durable, "_syncs", {})
    monkeypatch.setattr(durable, "_sync_file_system", sync)
    return running


def wait_for(number: int, syncs: list[threading.Event]) -> None:
    for _ in range(1000):
        if len(syncs) == number:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(syncs)} syncs, not {number}")


def test_a_sync_that_runs_is_not_joined_and_the_next_is_shared(tmp_path: Path, syncs: list[threading.Event]) -> None:
    def start() -> threading.Thread:
        thread = threading.Thread(target=sync_all, args=(tmp_path,))
        thread.start()
        return thread

    first = start()
    wait_for(1, syncs)
    others = [start() for _ in range(5)]
    threading.Event().wait(0.1)
    assert len(syncs) == 1
    syncs[0].set()
    first.join(10)
    wait_for(2, syncs)
    assert all(thread.is_alive() for thread in others)
    syncs[1].set()
    for thread in others:
        thread.join(10)
    assert len(syncs) == 2


def test_all_who_waited_hear_of_a_failure(tmp_path: Path, syncs: list[threading.Event]) -> None:
    (tmp_path / "full").touch()
    failed: list[OSError] = []

    def sync() -> None:
        try:
            sync_all(tmp_path)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=sync) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (1, 2):
        wait_for(number, syncs)
        syncs[number - 1].set()
    for thread in threads:
        thread.join(10)
    assert [error.errno for error in failed] == [28] * 4


def test_an_interrupted_sync_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(root: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(durable, "_syncs", {})
    with monkeypatch.context() as once:
        once.setattr(durable, "_sync_file_system", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sync_all(tmp_path)
    thread = threading.Thread(target=sync_all, args=(tmp_path,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
