from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.store import Layout, staging, sweep
from orchestrator.tree import remove_tree, scan, seal

Start = Callable[..., "subprocess.Popen[str]"]

HOLD = """
import sys
from pathlib import Path
from orchestrator.store import open_store, staging
with staging(open_store(Path(sys.argv[1])), "held") as room:
    (room / "ro").mkdir()
    (room / "ro/file").write_bytes(b"x")
    (room / "ro").chmod(0o555)
    print(room, flush=True)
    sys.stdin.readline()
"""


def test_a_private_directory_that_goes_away(layout: Layout) -> None:
    with staging(layout, "build nixl/1.4") as room:
        assert room.parent == layout.stage
        assert room.name.startswith("build-nixl-1.4-")
        assert room.stat().st_mode & 0o777 == 0o700
        (room / "tree").mkdir()
        (room / "tree/file").write_bytes(b"x")
        (room / "way").symlink_to("/")
        seal(room / "tree", scan(room / "tree"))
    assert not list(layout.stage.iterdir())


def test_it_goes_away_after_an_error_too(layout: Layout) -> None:
    with pytest.raises(KeyboardInterrupt), staging(layout, "x"):
        raise KeyboardInterrupt
    assert not list(layout.stage.iterdir())


def test_sweep_spares_the_living_and_takes_the_dead(layout: Layout, start: Start) -> None:
    processes = [start(HOLD, layout.root) for _ in range(2)]
    dead, alive = (Path(process.stdout.readline().strip()) for process in processes if process.stdout)
    processes[0].kill()
    processes[0].wait()
    (layout.stage / "stray-file").write_bytes(b"")
    with staging(layout, "mine") as mine:
        assert sweep(layout) == (dead, layout.stage / "stray-file")
        assert mine.is_dir()
    assert (alive / "ro/file").exists()
    processes[1].communicate("go\n")
    assert processes[1].returncode == 0
    assert not list(layout.stage.iterdir())
    assert sweep(layout) == ()


def test_sweep_never_takes_a_directory_that_was_just_made(layout: Layout) -> None:
    stop = threading.Event()
    swept: list[Path] = []

    def keep_sweeping() -> None:
        while not stop.is_set():
            swept.extend(sweep(layout))

    sweeper = threading.Thread(target=keep_sweeping)
    sweeper.start()
    try:
        for number in range(300):
            with staging(layout, "new") as room:
                (room / "file").write_text(str(number))
                assert (room / "file").read_text() == str(number)
    finally:
        stop.set()
        sweeper.join()
    assert swept == []


def test_missing_directories_are_made(layout: Layout) -> None:
    remove_tree(layout.root)
    assert sweep(layout) == ()
    with staging(layout, "x") as room:
        assert room.is_dir()


def test_a_stage_on_another_file_system_is_refused(layout: Layout) -> None:
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == layout.root.stat().st_dev:
        pytest.skip("no second file system here")
    away = other / f"stage-{os.getpid()}"
    away.mkdir()
    try:
        remove_tree(layout.stage)
        layout.stage.symlink_to(away)
        with pytest.raises(MachineError, match="rename out of"), staging(layout, "x"):
            pass
        assert not list(away.iterdir())
    finally:
        remove_tree(away)
