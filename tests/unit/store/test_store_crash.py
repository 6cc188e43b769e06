"""What a kill or a full disk leaves behind: real processes, a real small file system."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.digest import Digest
from orchestrator.store import has_object, open_store, sweep, verify_object

Start = Callable[..., "subprocess.Popen[str]"]

PUBLISH = """
import sys
from pathlib import Path
from orchestrator.digest import blake3_bytes
from orchestrator.store import Realisation, open_store, publish_tree, staging, write_realisation
from orchestrator.tree import scan
layout = open_store(Path(sys.argv[1]))
files = int(sys.argv[2])
print("ready", flush=True)
for round in range(1000):
    with staging(layout, "work") as room:
        (room / "out/d").mkdir(parents=True)
        for number in range(files):
            (room / "out/d" / str(number)).write_bytes(b"%d %d" % (round, number))
        digest = publish_tree(layout, room / "out", scan(room / "out"))
        write_realisation(layout, Realisation(
            key=blake3_bytes(b"%d" % round), kind="build", name="work", version="1", document={"round": round},
            output=digest, seconds=0.5, finished=1.0))
        print(round, digest, flush=True)
"""


@pytest.mark.parametrize("files", [5, 150])
def test_a_kill_at_any_time_leaves_a_valid_store(tmp_path: Path, start: Start, files: int) -> None:
    dice = random.Random(files)
    left = 0
    for _ in range(8):
        process = start(PUBLISH, tmp_path / "store", files)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.15))
        process.kill()
        finished, _ = process.communicate()
        layout = open_store(tmp_path / "store")
        left += len(list(layout.stage.iterdir()))
        sweep(layout)
        assert not list(layout.stage.iterdir())
        for digest in [Digest("blake3", path.name) for path in layout.objects.iterdir()]:
            assert has_object(layout, digest)
            assert verify_object(layout, digest) == []
        for line in finished.splitlines():
            if line.count(" ") == 1 and len(line.split(":")[-1]) == 64:  # the last line may be cut off
                assert (layout.objects / line.split(":")[-1]).is_dir()
        assert not list(layout.corrupt.iterdir())
    assert left, "no kill came at a moment that left something to sweep"


FULL = """
import json, os, subprocess, sys
from pathlib import Path
from orchestrator.digest import blake3_bytes
from orchestrator.errors import MachineError
from orchestrator.store import *
from orchestrator.tree import scan
base = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", sys.argv[2], "tmpfs", base], check=True)
layout = open_store(base / "store")
key = blake3_bytes(b"key")
old = Realisation(key=key, kind="build", name="x", version="1", document={}, output=None, seconds=1, finished=1)
write_realisation(layout, old)
(base / "given").write_bytes(b"s" * 300000)
sha256 = __import__("hashlib").sha256(b"s" * 300000).hexdigest()
said = {}

def attempt(name, call):
    try:
        call()
        said[name] = "done"
    except MachineError as error:
        said[name] = error.document()

def fill():
    number = 0
    try:
        while True:
            (base / f"filler{number}").write_bytes(b"x" * 65536)
            number += 1
    except OSError:
        pass
    try:
        with (base / "last").open("wb", buffering=0) as file:
            while file.write(b"x" * 512):
                pass
    except OSError:
        pass

with staging(layout, "work") as room:
    (room / "out").mkdir()
    for number in range(100):
        (room / "out" / f"{number:03}").write_bytes(b"%d" % number * 4000)
    manifest = scan(room / "out")
    fill()
    attempt("publish", lambda: publish_tree(layout, room / "out", manifest))
    said["visible"] = os.listdir(layout.objects)
    fill()
    attempt("record", lambda: write_realisation(layout, Realisation(
        key=key, kind="build", name="x", version="2", document={"a": "b" * 9999}, output=None, seconds=1, finished=1)))
    attempt("source", lambda: add_source(layout, base / "given", sha256=sha256, names=("file:given",)))
    attempt("new store", lambda: open_store(base / "other"))
attempt("open again", lambda: open_store(base / "store"))
attempt("sweep", lambda: sweep(layout))
said["stage"] = os.listdir(layout.stage)
said["sources"] = os.listdir(layout.sources)
said["old"] = read_realisation(layout, key) == old
for path in [*base.glob("filler*"), *base.glob("last")]:
    path.unlink()
with staging(layout, "work") as room:
    (room / "out").mkdir()
    (room / "out/a").write_bytes(b"a")
    said["then"] = verify_object(layout, publish_tree(layout, room / "out", scan(room / "out")))
attempt("source then", lambda: add_source(layout, base / "given", sha256=sha256, names=("file:given",)))
attempt("new store then", lambda: open_store(base / "other"))
print(json.dumps(said))
"""


def _may_mount() -> bool:
    try:
        return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _may_mount(), reason="no private mounts for this user (unshare -rm)")
@pytest.mark.parametrize("limit", ["size=4m", "size=64m,nr_inodes=160"], ids=["bytes", "inodes"])
def test_a_full_disk(tmp_path: Path, start: Start, limit: str) -> None:
    (tmp_path / "small").mkdir()
    output, errors = start(FULL, tmp_path / "small", limit, before=("unshare", "-rm")).communicate(timeout=120)
    assert output, errors
    said = json.loads(output)
    for failed in ("publish", "record", "source", "new store"):
        assert said[failed]["code"] == "machine", failed
        assert "No space left" in said[failed]["what"]
        assert "bytes and" in said[failed]["why"]
        assert "free some space" in said[failed]["hint"]
        assert said[failed]["where"].startswith(str(tmp_path))
    assert said["visible"] == said["stage"] == said["sources"] == said["then"] == []
    assert said["old"] is True
    assert [said[name] for name in ("open again", "sweep", "source then", "new store then")] == ["done"] * 4
