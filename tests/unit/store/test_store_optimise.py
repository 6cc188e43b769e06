from __future__ import annotations

from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.store import Layout, has_object, holding, object_tree, publish_tree, staging, verify_object
from orchestrator.store.optimise import optimise
from orchestrator.tree import SEALED_MTIME, scan

BIG = b"x" * 10_000
OTHER = b"y" * 10_000


def publish(layout: Layout, files: dict[str, bytes], executable: tuple[str, ...] = ()) -> Digest:
    with staging(layout, "test") as room:
        tree = room / "tree"
        for name, data in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
            (tree / name).chmod(0o755 if name in executable else 0o644)
        return publish_tree(layout, tree, scan(tree))


def inode(layout: Layout, digest: Digest, name: str) -> int:
    return (object_tree(layout, digest) / name).lstat().st_ino


def test_equal_files_of_different_objects_become_one(layout: Layout) -> None:
    a = publish(layout, {"lib/a": BIG, "lib/small": b"s", "lib/run": OTHER}, executable=("lib/run",))
    b = publish(layout, {"b": BIG, "small": b"s", "run": OTHER})
    forecast = optimise(layout, dry_run=True)
    assert inode(layout, a, "lib/a") != inode(layout, b, "b")
    done = optimise(layout)
    assert (done.files, done.bytes) == (forecast.files, forecast.bytes) == (1, len(BIG))
    assert inode(layout, a, "lib/a") == inode(layout, b, "b")
    assert inode(layout, a, "lib/small") != inode(layout, b, "small")
    assert inode(layout, a, "lib/run") != inode(layout, b, "run"), "one of them can be executed"
    assert verify_object(layout, a) == verify_object(layout, b) == []
    again = optimise(layout)
    assert (again.files, again.bytes) == (0, 0)


def test_directories_keep_their_modes_and_times(layout: Layout) -> None:
    publish(layout, {"a": BIG})
    b = publish(layout, {"deep/b": BIG})
    optimise(layout)
    for path in (object_tree(layout, b), object_tree(layout, b) / "deep"):
        assert path.stat().st_mode & 0o7777 == 0o555
        assert path.stat().st_mtime == SEALED_MTIME


def test_two_files_of_one_object_stay_two(layout: Layout) -> None:
    a = publish(layout, {"one": BIG, "two": BIG})
    b = publish(layout, {"three": BIG, "four": BIG, "five": b""})
    optimise(layout)
    assert inode(layout, a, "one") != inode(layout, a, "two")
    assert inode(layout, b, "three") != inode(layout, b, "four")


def test_a_damaged_file_is_never_what_others_become(layout: Layout) -> None:
    objects = [publish(layout, {"x": BIG, f"n{number}": str(number).encode()}) for number in range(3)]
    objects.sort(key=lambda digest: digest.hex)
    file = object_tree(layout, objects[0]) / "x"
    file.chmod(0o644)
    file.write_bytes(b"z" * len(BIG))
    file.chmod(0o444)
    optimise(layout)
    assert verify_object(layout, objects[0]) == ["x: content differs"]
    assert verify_object(layout, objects[1]) == verify_object(layout, objects[2]) == []
    assert inode(layout, objects[1], "x") == inode(layout, objects[2], "x")


def test_what_a_running_command_needs_is_left_alone(layout: Layout) -> None:
    a, b = publish(layout, {"a": BIG}), publish(layout, {"b": BIG})
    with holding(layout):
        assert has_object(layout, a)
        assert has_object(layout, b)
        done = optimise(layout)
    assert set(done.skipped) == {a.hex, b.hex}
    assert inode(layout, a, "a") != inode(layout, b, "b")


def test_a_link_to_nowhere_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    with staging(layout, "test") as room:
        tree = room / "tree"
        tree.mkdir()
        (tree / "file").write_bytes(BIG)
        (tree / "link").symlink_to(tmp_path / "nowhere")
        publish_tree(layout, tree, scan(tree))
    publish(layout, {"b": BIG})
    assert optimise(layout).files == 1
