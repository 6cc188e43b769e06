from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store import (
    Layout,
    has_object,
    object_tree,
    publish_tree,
    quarantine_object,
    read_manifest,
    staging,
    verify_object,
)
from orchestrator.tree import SEALED_MTIME, remove_tree, scan

Publish = Callable[[dict[str, bytes]], Digest]
Start = Callable[..., "subprocess.Popen[str]"]


def test_publish(layout: Layout, publish: Publish) -> None:
    digest = publish({"usr/lib/a": b"a", "usr/bin/b": b"b"})
    assert has_object(layout, digest)
    assert [path.name for path in layout.objects.iterdir()] == [digest.hex]
    assert verify_object(layout, digest) == []
    assert read_manifest(layout, digest).digest == digest
    tree = object_tree(layout, digest)
    assert (tree / "usr/lib/a").read_bytes() == b"a"
    for path in (tree.parent, *tree.parent.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    assert (tree / "usr").stat().st_mtime == SEALED_MTIME
    assert not list(layout.stage.iterdir())


def test_a_tree_with_many_files(layout: Layout, publish: Publish) -> None:
    digest = publish({f"d{number % 7}/f{number}": b"%d" % number for number in range(200)})
    assert verify_object(layout, digest) == []


def test_the_same_tree_again_changes_nothing(layout: Layout, publish: Publish) -> None:
    digest = publish({"a": b"a"})
    before = layout.object(digest).stat()
    assert publish({"a": b"a"}) == digest
    assert layout.object(digest).stat().st_ino == before.st_ino
    assert not list(layout.stage.iterdir())


def test_an_executable_bit_is_another_object(layout: Layout, publish: Publish) -> None:
    digest = publish({"a": b"a"})
    with staging(layout, "test") as room:
        (room / "out").mkdir()
        (room / "out/a").write_bytes(b"a")
        (room / "out/a").chmod(0o755)
        other = publish_tree(layout, room / "out", scan(room / "out"))
    assert other != digest
    assert os.access(object_tree(layout, other) / "a", os.X_OK)


def test_a_flipped_bit_is_found_and_put_aside(layout: Layout, publish: Publish) -> None:
    digest = publish({"usr/lib/x": b"\0" * 5000})
    assert read_manifest(layout, digest).size == 5000
    file = object_tree(layout, digest) / "usr/lib/x"
    file.chmod(0o644)
    file.write_bytes(b"\0" * 4000 + b"\1" + b"\0" * 999)
    problems = verify_object(layout, digest)
    assert problems == ["usr/lib/x: content differs"]
    moved = quarantine_object(layout, digest, problems[0])
    assert moved is not None
    assert moved.parent == layout.corrupt
    assert moved.with_name(f"{moved.name}.why").read_text() == "usr/lib/x: content differs\n"
    assert not has_object(layout, digest)
    with pytest.raises(MachineError):
        read_manifest(layout, digest)
    assert quarantine_object(layout, digest, "again") is None
    assert verify_object(layout, digest) == ["manifest.json: cannot be read: No such file or directory"]
    assert publish({"usr/lib/x": b"\0" * 5000}) == digest
    assert verify_object(layout, digest) == []


@pytest.mark.parametrize("data", [b"", b"{}", None])
def test_a_damaged_manifest_is_a_miss(layout: Layout, publish: Publish, data: bytes | None) -> None:
    digest = publish({"a": b"a"})
    path = layout.object(digest) / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b" " if data is None else data)
    assert verify_object(layout, digest) == ["manifest.json: content differs"]
    with pytest.raises(MachineError, match="damaged"):
        read_manifest(layout, digest)
    assert not has_object(layout, digest)
    assert len(list(layout.corrupt.glob("objects-*"))) == 2  # it and its note
    assert publish({"a": b"a"}) == digest


def test_half_an_object_is_replaced(layout: Layout, publish: Publish) -> None:
    digest = blake3_bytes(b"")
    for left in ("tree", "manifest.json"):
        digest = publish({"a": left.encode()})
        home = layout.object(digest)
        home.chmod(0o755)
        remove_tree(home / left)
        assert not has_object(layout, digest)
        publish({"a": left.encode()})
        assert verify_object(layout, digest) == []
        quarantine_object(layout, digest, "test")


def test_a_file_in_the_place_of_an_object_is_put_aside(layout: Layout, publish: Publish) -> None:
    digest = publish({"a": b"a"})
    quarantine_object(layout, digest, "test")
    layout.object(digest).write_bytes(b"")
    assert publish({"a": b"a"}) == digest
    assert verify_object(layout, digest) == []


def test_a_tree_that_changed_since_it_was_scanned_is_not_published(layout: Layout) -> None:
    with staging(layout, "test") as room:
        (room / "out").mkdir()
        (room / "out/a").write_bytes(b"abc")
        manifest = scan(room / "out")
        (room / "out/a").write_bytes(b"")
        with pytest.raises(MachineError):
            publish_tree(layout, room / "out", manifest)
    assert not list(layout.objects.iterdir())
    assert not list(layout.stage.iterdir())


def test_processes_that_publish_the_same_tree(layout: Layout, start: Start) -> None:
    code = """
import sys
from pathlib import Path
from orchestrator.store import open_store, publish_tree, staging
from orchestrator.tree import scan
layout = open_store(Path(sys.argv[1]))
for round in range(10):
    with staging(layout, "race") as room:
        (room / "out").mkdir()
        for number in range(20):
            (room / "out" / str(number)).write_bytes(b"%d %d" % (round, number))
        manifest = scan(room / "out")
        print("ready", flush=True)
        sys.stdin.readline()
        print(publish_tree(layout, room / "out", manifest), flush=True)
"""
    processes = [start(code, layout.root) for _ in range(3)]
    for _ in range(10):
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        digests = {process.stdout.readline() for process in processes if process.stdout}
        assert len(digests) == 1
        assert verify_object(layout, Digest.parse(digests.pop().strip())) == []
    assert [process.wait(10) for process in processes] == [0, 0, 0]
    assert len(list(layout.objects.iterdir())) == 10
    assert not list(layout.stage.iterdir())
    assert not list(layout.corrupt.iterdir())


def test_the_store_root_may_lack_directories(layout: Layout, publish: Publish, tmp_path: Path) -> None:
    for name in ("objects", "stage", "locks", "corrupt"):
        (layout.root / name).rename(tmp_path / name)
    digest = publish({"a": b"a"})
    assert has_object(layout, digest)
    assert quarantine_object(layout, digest, "test") is not None
