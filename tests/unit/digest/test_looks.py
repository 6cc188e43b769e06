"""What was made of files is given back while they look the same, and never after any change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import looks
from orchestrator.digest.kept import Moment
from orchestrator.digest.looks import YOUNG, Looks

LATER = Moment(began=time.time_ns() + 1000 * YOUNG, code=b"code")  # so long after all changes that nothing is young


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "one/deep").mkdir(parents=True)
    (top / "one/file").write_text("before")
    (top / "one/deep/file").write_text("deep")
    return top


PATHS = ("one", "one/file", "one/deep", "one/deep/file", "one/missing")


def opened(top: Path, moment: Moment = LATER, context: str = "") -> Looks:
    return Looks(str(top.parent / "facts"), str(top), moment, context)


def remembered(top: Path) -> Looks:
    """Facts of a process that began after all this."""
    facts = opened(top)
    facts.add("one", PATHS, b"made")
    facts.save()
    assert opened(top).get("one") == b"made"
    return opened(top)


def same_size_and_time(top: Path) -> None:
    before = (top / "one/file").stat()
    (top / "one/file").write_text("behind")
    os.utime(top / "one/file", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (top / "one/file").stat().st_mtime_ns == before.st_mtime_ns


def older(top: Path) -> None:
    (top / "new").write_text("before")
    os.utime(top / "new", (1, 1))
    (top / "new").replace(top / "one/file")


def turned(top: Path) -> None:
    (top / "one/file").rename(top / "elsewhere")
    (top / "one/file").symlink_to(top / "elsewhere")


def directory_turned(top: Path) -> None:
    """The file itself stays what it was, but it is no longer below the directory."""
    (top / "one/deep").rename(top / "elsewhere")
    (top / "one/deep").symlink_to("../elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda top: (top / "one/file").write_text("after!"),
    "same size and time": same_size_and_time,
    "only touched": lambda top: (top / "one/file").touch(),
    "replaced by an older one": older,
    "a link": turned,
    "a directory that is a link": directory_turned,
    "removed": lambda top: (top / "one/file").unlink(),
    "may be run": lambda top: (top / "one/file").chmod(0o755),
    "came": lambda top: (top / "one/missing").write_text("now"),
    "another came": lambda top: (top / "one/stranger").write_text("now"),
    "deep": lambda top: (top / "one/deep/file").write_text("other"),
    "all moved away": lambda top: (top / "one").rename(top / "two"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_change_is_missed(change: Callable[[Path], object], top: Path) -> None:
    facts = remembered(top)
    time.sleep(0.02)  # two changes in one tick look the same: that is what YOUNG is for
    change(top)
    assert facts.get("one") is None
    assert opened(top).get("one") is None
    assert facts.unlike(["one"], [b"made"]) == [0]


def test_many_are_asked_about_in_one_go(top: Path) -> None:
    facts = opened(top)
    for name in "abc":
        facts.add(name, PATHS, f"made of {name}".encode())
    assert facts.unlike([*"abcd", "a"], [b"made of a", b"made of", b"else", b"", None]) == [2, 3, 4]
    assert facts.unlike([], []) == []


def test_what_is_young_is_not_remembered(top: Path) -> None:
    facts = opened(top, Moment(began=time.time_ns(), code=b"code"))
    facts.add("one", PATHS, b"made")
    assert facts.get("one") is None
    facts.save()
    assert not (top.parent / "facts").exists()


def test_a_link_is_not_remembered(top: Path) -> None:
    turned(top)
    facts = opened(top)
    facts.add("one", PATHS, b"made")
    assert facts.get("one") is None


def test_what_was_remembered_is_forgotten_when_it_cannot_be_again(top: Path) -> None:
    facts = remembered(top)
    turned(top)
    facts.add("one", PATHS, b"new")
    (top / "one/file").unlink()
    (top / "elsewhere").rename(top / "one/file")
    assert facts.get("one") is None


@pytest.mark.parametrize(
    ("moment", "context"),
    [(Moment(began=LATER.began, code=b"other"), ""), (LATER, "other")],
    ids=["another orch", "another context"],
)
def test_of_another_context_nothing_is_believed(moment: Moment, context: str, top: Path) -> None:
    remembered(top)
    assert opened(top, moment, context).get("one") is None


def test_of_another_place_nothing_is_believed(top: Path) -> None:
    remembered(top)
    assert Looks(str(top.parent / "facts"), str(top / "one"), LATER).get("one") is None


def test_a_damaged_file_is_a_miss(top: Path) -> None:
    remembered(top)
    file = top.parent / "facts"
    data = file.read_bytes()
    for at in range(len(data)):
        file.write_bytes(data[:at])
        assert opened(top).get("one") is None, at
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert opened(top).get("one") is None, at
    file.unlink()
    file.mkdir()
    assert opened(top).get("one") is None


@settings(max_examples=50)
@given(data=st.binary(max_size=300))
def test_a_foreign_file_is_a_miss(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.mktemp("foreign") / "top"
    top.mkdir()
    (top.parent / "facts").write_bytes(data)
    assert opened(top).get("one") is None


def test_where_it_cannot_be_written_nothing_happens(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    facts = opened(top)
    facts.add("one", PATHS, b"made")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        facts.save()
    assert [path.name for path in top.parent.iterdir()] == ["top"]
    Looks(str(top.parent / "absent/facts"), str(top), LATER).save()


def test_nothing_is_saved_of_a_top_that_was_exchanged(top: Path) -> None:
    facts = opened(top)
    facts.add("one", PATHS, b"made")
    top.rename(top.parent / "old")
    top.mkdir()
    facts.save()
    assert not (top.parent / "facts").exists()


def test_the_unused_go_the_oldest_first(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_SPARE", 2)
    facts = opened(top)
    for name in "abcd":
        facts.add(name, PATHS, name.encode())
    facts.save()
    facts = opened(top)
    assert facts.get("a") == b"a"
    facts.add("e", PATHS, b"e")
    facts.save()
    facts = opened(top)
    assert [name for name in "abcde" if facts.get(name) is not None] == ["a", "c", "d", "e"]
