"""A closure as one file: it comes back whole, nothing but itself is let in, and an interrupted import goes on."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import Digest, key_of
from orchestrator.errors import MachineError, OrchError, SourceError
from orchestrator.store import (
    ClosureItem,
    Goal,
    ImageRecord,
    LayerFields,
    Layout,
    Realisation,
    add_blob,
    blob_path,
    has_blob,
    has_object,
    latest_image,
    latest_realisation,
    object_tree,
    open_store,
    publish_tree,
    read_check,
    read_goal,
    read_goal_document,
    read_image,
    read_realisation,
    recent_goals,
    staging,
    verify_object,
    write_check,
    write_goal,
    write_image,
    write_realisation,
)
from orchestrator.store.closure_file import END, Closure, header, write_closure
from orchestrator.store.closure_import import Imported, import_closure
from orchestrator.store.records import record_bytes, write_record
from orchestrator.tree import scan


def quiet(what: str, done: int, total: int) -> None:
    pass


def take(layout: Layout, path: Path) -> Imported:
    return import_closure(layout, path, progress=quiet)


def publish(layout: Layout, files: dict[str, bytes]) -> Digest:
    with staging(layout, "test") as room:
        for name, data in files.items():
            (room / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (room / "out" / name).write_bytes(data)
        return publish_tree(layout, room / "out", scan(room / "out"))


def realised(layout: Layout, name: str, output: Digest, kind: str = "derivation") -> Digest:
    document = {"kind": kind, "name": name, "inputs": {}}
    record = Realisation(
        key=key_of(document), kind="check" if kind == "check" else "derivation", name=name, version="1",
        document=document, output=output, seconds=1.5, finished=10.0, log="logs/x",
    )  # fmt: skip
    (write_check if kind == "check" else write_realisation)(layout, record)
    return record.key


def write(layout: Layout, target: Path) -> Closure:
    """A store with a goal of two objects, exported to `target`."""
    base, app = publish(layout, {"usr/lib/base": b"base" * 200}), publish(layout, {"opt/app": b"app"})
    keys = [realised(layout, "base", base), realised(layout, "app", app)]
    check = realised(layout, "app", app, "check")
    document = {"kind": "closure", "goal": "app"}
    goal = Goal(
        key=key_of(document), goal="app", options=(("cuda", "12"),), output=app, finished=20.0, document=document,
        closure=(ClosureItem("base", "1", "vendor", base, keys[0]), ClosureItem("app", "1", "source", app, keys[1])),
    )  # fmt: skip
    write_goal(layout, goal)
    closure = Closure(
        name="app",
        kind="goal",
        objects=(base, app),
        records=(
            *(f"realisations/{key.hex}.json" for key in keys),
            f"checks/{check.hex}.json",
            f"goals/documents/{goal.key.hex}.json",
            f"goals/{goal.key.hex}.json",
        ),
    )
    write_closure(layout, closure, target, threads=1, progress=quiet)
    return closure


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "there")


def test_a_goal_is_the_same_elsewhere(layout: Layout, there: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    done = take(there, tmp_path / "f")
    assert (done.name, done.kind, done.objects, done.objects_there) == ("app", "goal", 2, 0)
    for digest in closure.objects:
        assert verify_object(there, digest) == []
    (goal,) = done.goals
    assert read_goal(there, goal.key) == read_goal(layout, goal.key)
    assert read_goal_document(there, goal.key) == read_goal_document(layout, goal.key)
    assert [one.key for one in recent_goals(there, "app", (("cuda", "12"),))] == [goal.key]
    made, before = latest_realisation(there, "app"), latest_realisation(layout, "app")
    assert made is not None
    assert before is not None
    assert made == replace(before, log="")  # the log is on the other machine
    check = key_of({"kind": "check", "name": "app", "inputs": {}})
    assert read_check(there, check) is not None
    assert not list(there.stage.iterdir())
    again = take(there, tmp_path / "f")
    assert (again.objects, again.objects_there) == (0, 2)


def test_it_is_an_ordinary_tar_and_the_same_each_time(layout: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    with tarfile.open(tmp_path / "f") as archive:
        assert archive.getnames() == ["contents.json", *closure.entries()]
    write_closure(layout, closure, tmp_path / "g", threads=3, progress=quiet)
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes()


def test_what_is_not_there_leaves_no_file(layout: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    missing = replace(closure, objects=(*closure.objects, Digest("blake3", "0" * 64)))
    with pytest.raises(MachineError):
        write_closure(layout, missing, tmp_path / "g", threads=1, progress=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "store"]


def visible(layout: Layout) -> set[str]:
    """What somebody could find by a record."""
    found = set()
    for directory in (layout.realisations, layout.checks, layout.goals, layout.images, layout.layers):
        found |= {str(path.relative_to(layout.root)) for path in directory.rglob("*") if path.is_file()}
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Closure, bytes]:
    room = tmp_path_factory.mktemp("exported")
    closure = write(open_store(room / "store"), room / "f")
    return closure, (room / "f").read_bytes()


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_refused_or_no_matter(
    exported: tuple[Closure, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    closure, content = exported
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    room = tmp_path_factory.mktemp("flipped")
    (room / "f").write_bytes(changed)
    layout = open_store(room / "store")
    try:
        take(layout, room / "f")
    except SourceError as error:
        assert "f is" in error.what
        assert visible(layout) == set()
    else:
        assert all(f"{name}" in visible(layout) for name in closure.records)
    for digest in closure.objects:
        assert not has_object(layout, digest) or verify_object(layout, digest) == []


def test_a_cut_file_keeps_what_was_whole_and_the_next_goes_on(
    exported: tuple[Closure, bytes], there: Layout, tmp_path: Path
) -> None:
    closure, content = exported
    second = content.index(closure.entries()[1].encode(), 2048)
    for end in (second + 100, second + 600, len(content) - 1024, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:end])
        with pytest.raises(SourceError) as caught:
            take(there, tmp_path / "cut")
        assert "cut is refused at " in caught.value.what
        assert visible(there) == set()
        assert has_object(there, closure.objects[0])
    (tmp_path / "f").write_bytes(content)
    done = take(there, tmp_path / "f")
    assert done.objects + done.objects_there == 2
    assert done.objects_there >= 1


def test_the_entry_is_named(exported: tuple[Closure, bytes], there: Layout, tmp_path: Path) -> None:
    closure, content = exported
    second = closure.entries()[1]
    at = content.index(second.encode(), 2048) + 512 + 40
    (tmp_path / "f").write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    with pytest.raises(SourceError) as caught:
        take(there, tmp_path / "f")
    assert caught.value.what == f"f is refused at {second}"


@pytest.mark.parametrize("content", [b"", b"x", b"PK\3\4" * 900, bytes(10240), b"\x1f\x8b" * 600])
def test_a_foreign_file_is_told_as_one(there: Layout, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(SourceError, match="is no closure that orch exported"):
        take(there, tmp_path / "f")


def test_a_foreign_tar_is_told_as_one(there: Layout, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "f", "w") as archive:
        entry = tarfile.TarInfo("../../etc/passwd")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    with pytest.raises(SourceError, match="is no closure that orch exported"):
        take(there, tmp_path / "f")


def made_by_hand(path: Path, entries: dict[str, bytes], names: list[str] | None = None) -> None:
    contents = {"kind": "orch-closure", "form": 1, "name": "x", "what": "goal", "entries": names or list(entries)}
    with path.open("wb") as file:
        for name, data in {"contents.json": record_bytes(contents), **entries}.items():
            file.write(header(name, len(data)) + data + bytes(-len(data) % 512))
        file.write(END)


@pytest.mark.parametrize(
    "name",
    [
        "objects/../../x.tar.zst",
        "/etc/passwd",
        "records/../schema",
        "records/roots/" + "a" * 64 + ".json",
        "records/goals/latest/" + "a" * 64 + ".json",
        "blobs/sha256",
        "objects/" + "A" * 64 + ".tar.zst",
        "records/goals/" + "a" * 64 + ".json\n",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(there: Layout, tmp_path: Path, name: str) -> None:
    made_by_hand(tmp_path / "f", {"blobs/" + "a" * 64: b""}, [name])
    with pytest.raises(SourceError) as caught:
        take(there, tmp_path / "f")
    assert "which a closure cannot hold" in caught.value.why


def test_a_blob_that_is_another_is_refused(there: Layout, tmp_path: Path) -> None:
    made_by_hand(tmp_path / "f", {"blobs/" + "a" * 64: b"something"})
    with pytest.raises(SourceError, match="blobs/aaaa") as caught:
        take(there, tmp_path / "f")
    assert hashlib.sha256(b"something").hexdigest() in caught.value.why
    assert not has_blob(there, Digest("sha256", "a" * 64))


def test_a_record_under_another_key_is_refused(layout: Layout, there: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    data = (layout.root / closure.records[0]).read_bytes()
    other = {**json.loads(data.splitlines()[0]), "document": {"kind": "derivation", "name": "else", "inputs": {}}}
    other.pop("schema")
    made_by_hand(tmp_path / "f", {f"records/{closure.records[0]}": record_bytes(other)})
    with pytest.raises(SourceError, match="records/realisations") as caught:
        take(there, tmp_path / "f")
    assert "not what its name says" in caught.value.why
    assert visible(there) == set()


def test_a_goal_without_its_objects_is_refused(layout: Layout, there: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    goals = [name for name in closure.records if name.startswith("goals/")]
    made_by_hand(tmp_path / "f", {f"records/{name}": (layout.root / name).read_bytes() for name in goals})
    with pytest.raises(SourceError) as caught:
        take(there, tmp_path / "f")
    assert "comes without base, app" in caught.value.why
    assert visible(there) == set()


def test_what_is_recorded_already_stays(layout: Layout, there: Layout, tmp_path: Path) -> None:
    closure = write(layout, tmp_path / "f")
    other = publish(there, {"mine": b"mine"})
    key = realised(there, "app", other)
    take(there, tmp_path / "f")
    record = read_realisation(there, key)
    assert record is not None
    assert record.output == other != closure.objects[1]


# -- images -----------------------------------------------------------------------------------------------------------


def image_of(layout: Layout, diff_id: Digest | None = None) -> tuple[Closure, ImageRecord]:
    app = publish(layout, {"opt/app": b"app"})
    layer = add_blob(layout, b"a layer")
    told = Digest("sha256", "d" * 64)
    config_data = json.dumps({"rootfs": {"diff_ids": [str(told)]}}).encode()
    config = add_blob(layout, config_data)
    document = {"config": {"digest": str(config)}, "layers": [{"digest": str(layer)}]}
    manifest_data = json.dumps(document).encode()
    manifest = add_blob(layout, manifest_data)
    key = key_of({"image": 1})
    record = ImageRecord(
        key=key, name="server", version="1", platform="x86_64-linux", options=(), manifest=manifest,
        manifest_size=len(manifest_data), config=config, config_size=len(config_data), created="",
        layers=(LayerFields("app", "t", layer, 7, diff_id or told, 3, ("app",)),), components=(), unpacked=3,
    )  # fmt: skip
    write_image(layout, record)
    layer_key = key_of({"layer": 1})
    write_record(
        layout,
        layout.layers / f"{layer_key.hex}.json",
        {"key": str(layer_key), "name": "app", "media_type": "t", "digest": str(layer), "size": 7,
         "diff_id": str(told), "unpacked": 3},
    )  # fmt: skip
    closure = Closure(
        name="server", kind="image", objects=(app,), blobs=(layer, config, manifest),
        records=(f"layers/{layer_key.hex}.json", f"images/{key.hex}.json"),
    )  # fmt: skip
    return closure, record


def test_an_image_is_the_same_elsewhere(layout: Layout, there: Layout, tmp_path: Path) -> None:
    closure, record = image_of(layout)
    write_closure(layout, closure, tmp_path / "f", threads=1, progress=quiet)
    done = take(there, tmp_path / "f")
    assert done.images == (record,)
    assert latest_image(there, "server") == read_image(layout, record.key)
    assert (there.root / closure.records[0]).is_file()
    assert all(blob_path(there, digest).is_file() for digest in closure.blobs)
    again = take(there, tmp_path / "f")
    assert (again.blobs, again.blobs_there) == (0, 3)


def test_a_record_that_says_something_else_than_the_image_is_refused(
    layout: Layout, there: Layout, tmp_path: Path
) -> None:
    closure, _ = image_of(layout, diff_id=Digest("sha256", "e" * 64))
    write_closure(layout, closure, tmp_path / "f", threads=1, progress=quiet)
    with pytest.raises(SourceError) as caught:
        take(there, tmp_path / "f")
    assert "says something else than the image itself" in caught.value.why
    assert visible(there) == set()


def test_a_damaged_blob_is_not_exported(layout: Layout, tmp_path: Path) -> None:
    closure, _ = image_of(layout)
    path = blob_path(layout, closure.blobs[0])
    path.chmod(0o644)
    path.write_bytes(b"b layer")
    with pytest.raises(OrchError, match="is damaged"):
        write_closure(layout, closure, tmp_path / "f", threads=1, progress=quiet)
    assert not (tmp_path / "f").exists()


# -- a killed import --------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.store import open_store
from orchestrator.store.closure_import import import_closure

def progress(what, done, total):
    if what.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

import_closure(open_store(Path(sys.argv[1])), Path(sys.argv[2]), progress=progress)
"""


def test_a_killed_import_goes_on(
    layout: Layout, there: Layout, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    closure = write(layout, tmp_path / "f")
    for at, kept in ((f"objects/{closure.objects[1].hex}", 1), ("records/goals/documents", 2)):
        process = start(KILLED, there.root, tmp_path / "f", at)
        assert process.wait(60) == -signal.SIGKILL
        assert sum(has_object(there, digest) for digest in closure.objects) == kept
        assert visible(there) == set()
    done = take(there, tmp_path / "f")
    assert (done.objects, done.objects_there) == (0, 2)
    assert not list(there.stage.iterdir())
    assert object_tree(there, closure.objects[0]).is_dir()
