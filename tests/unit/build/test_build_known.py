"""The store as the planner sees it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.build.known import StoreKnown
from orchestrator.digest import Digest, blake3_bytes
from orchestrator.store import open_store, publish_tree, staging
from orchestrator.tree import scan


def test_many_objects_are_asked_about_as_one_is(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "store")
    known = StoreKnown(layout=layout)
    with staging(layout, "object") as room:
        (room / "tree").mkdir()
        there = publish_tree(layout, room / "tree", scan(room / "tree"))
    file, link, never = (blake3_bytes(text) for text in (b"file", b"link", b"never"))
    layout.object(file).mkdir()
    (layout.object(file) / "tree").write_text("no directory")
    layout.object(link).mkdir()
    (layout.object(link) / "tree").symlink_to("nowhere")
    asked: list[Digest] = [never, there, file, link, there]
    assert known.absent([digest.hex for digest in asked]) == [0, 2, 3]
    assert [place for place, digest in enumerate(asked) if not known.present(digest)] == [0, 2, 3]
    assert known.absent([]) == []
    assert StoreKnown(layout=open_store(tmp_path / "other", create=False)).absent([there.hex]) == [0]
