"""Where the steps of a run work: what is made ahead is used, and all of it is gone with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.build import room as rooms
from orchestrator.build.room import BUILD, Room
from orchestrator.store import Layout, open_store


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def made(path: Path) -> set[str]:
    return {str(one.relative_to(path)) for one in path.rglob("*")}


def test_a_directory_made_ahead_is_the_next_one_with_these_folders(layout: Layout) -> None:
    room = Room(layout)
    room.make_ahead(BUILD)
    (ahead,) = room.place.iterdir()
    with (
        room.directory("other") as other,
        room.directory("first", BUILD) as first,
        room.directory("x", BUILD) as second,
    ):
        assert first == ahead
        assert len({other, first, second}) == 3
        assert made(first) == made(second) == set(BUILD)
        assert made(other) == set()
        assert {path.stat().st_mode & 0o777 for path in (other, first, second)} == {0o700}
    assert list(room.place.iterdir()) == []
    room.close()
    assert list(layout.stage.iterdir()) == []


def test_what_was_made_ahead_goes_with_the_sandboxes(layout: Layout) -> None:
    room = Room(layout)
    room.make_ahead(BUILD)
    room.make_ahead(("one",))
    room.end_sandboxes()
    assert list(room.place.iterdir()) == []
    with room.directory("later", ("one",)) as path:
        assert made(path) == {"one"}
    room.close()
    room.close()
    assert list(layout.stage.iterdir()) == []


def test_a_room_that_was_begun_is_closed_when_all_that_is_there(layout: Layout) -> None:
    for _ in range(10):
        room = Room(layout)
        room.begin()
        room.close()
        assert list(layout.stage.iterdir()) == []


def test_what_cannot_be_made_ahead_is_told_where_it_is_needed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    room = Room(layout)
    monkeypatch.setattr(rooms, "workplace", full)
    room.begin()
    with pytest.raises(OSError, match="No space left"):
        _ = room.workplace
    room.close()
    assert list(layout.stage.iterdir()) == []
