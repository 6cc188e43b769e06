from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import MachineError, UsageError
from orchestrator.store import (
    Layout,
    add_root,
    latest_log,
    list_logs,
    new_log,
    object_tree,
)
from orchestrator.tree import remove_tree

Publish = Callable[[dict[str, bytes]], Digest]


def registered(layout: Layout) -> list[tuple[str, str]]:
    """The link and label of every root."""
    notes = [json.loads(path.read_bytes().splitlines()[0]) for path in layout.roots.iterdir()]
    return sorted((note["link"], note["label"]) for note in notes)


def test_a_link_is_made_replaced_and_registered(layout: Layout, publish: Publish, tmp_path: Path) -> None:
    one, two = publish({"a": b"1"}), publish({"a": b"2"})
    link = tmp_path / "result"
    add_root(layout, link, one, "ucx 1.19.0")
    assert link.readlink() == object_tree(layout, one)
    assert (link / "a").read_bytes() == b"1"
    add_root(layout, link, two, "ucx 1.20.0")
    assert registered(layout) == [(str(link), "ucx 1.20.0")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result", "store"]


def test_only_links_are_replaced(layout: Layout, publish: Publish, tmp_path: Path) -> None:
    digest = publish({"a": b"1"})
    (tmp_path / "file").write_text("mine")
    (tmp_path / "directory").mkdir()
    for name in ("file", "directory"):
        with pytest.raises(UsageError, match="no symbolic link"):
            add_root(layout, tmp_path / name, digest, "x")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "dangling").symlink_to("nowhere")
    add_root(layout, tmp_path / "dangling", digest, "x")
    assert registered(layout) == [(str(tmp_path / "dangling"), "x")]
    with pytest.raises(MachineError, match="cannot link"):
        add_root(layout, tmp_path / "no/such/place", digest, "x")


def test_a_link_does_not_lie_in_the_store(layout: Layout, publish: Publish, tmp_path: Path) -> None:
    digest = publish({"opt/a": b"1"})
    add_root(layout, tmp_path / "result", digest, "x")
    before = sorted(layout.root.rglob("*"))
    for link in ("result/opt/inner", "store/objects/zz", "store/zz"):
        with pytest.raises(UsageError, match="lies in the store") as caught:
            add_root(layout, tmp_path / link, digest, "x")
        assert caught.value.hint == "name a path outside of it"
    assert sorted(layout.root.rglob("*")) == before
    assert os.listdir(object_tree(layout, digest) / "opt") == ["a"]  # noqa: PTH208
    add_root(layout, tmp_path / "result", digest, "x")  # a result link itself is replaced


def test_relative_links(layout: Layout, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    remove_tree(layout.roots)
    add_root(layout, Path("result"), publish({"a": b"1"}), "x")
    assert registered(layout) == [(str(tmp_path / "result"), "x")]


def test_logs(layout: Layout) -> None:
    assert latest_log(layout, "ucx") is None
    first = new_log(layout, "ucx", blake3_bytes(b"1"))
    second = new_log(layout, "ucx", blake3_bytes(b"2"))
    other = new_log(layout, "check nixl/x", blake3_bytes(b"3"))
    assert first != second
    assert latest_log(layout, "ucx") == second
    assert latest_log(layout, "check nixl/x") == other
    assert list_logs(layout, "ucx") == [second, first]
    assert list_logs(layout) == [other, second, first]
    remove_tree(layout.logs)
    assert list_logs(layout) == []
    assert new_log(layout, "..", blake3_bytes(b"4")).parent.parent == layout.logs
