"""A disk that is full in the middle of a build: the machine's failure, said as such, and never remembered."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from projects import NOTHING, ORCH, Project, Result, empty_project, environment, outcomes

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A shell in a mount namespace of its own, in which the project's store lies on a small disk."""

    project: Project
    shell: subprocess.Popen[str]

    def run(self, command: str) -> Result:
        """Run a shell command there; its stdout, stderr and status."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        out, err = self.project.root / "stdout", self.project.root / "stderr"
        self.shell.stdin.write(f"{{ {command}; }} > '{out}' 2> '{err}'; echo $?\n")
        self.shell.stdin.flush()
        status = int(self.shell.stdout.readline())
        return Result(status=status, out=out.read_text(), err=err.read_text(), seconds=0)

    def orch(self, *arguments: str) -> Result:
        program = " ".join(f"'{word}'" for word in (*ORCH, *arguments))
        return self.run(program)

    @property
    def ballast(self) -> Path:
        return self.project.store.parent / "ballast"

    def leave(self, size: int) -> None:
        """Fill the disk up to `size` bytes."""
        result = self.run(f"df -B1 --output=avail '{self.project.store}'")
        result = self.run(f"head -c {int(result.out.split()[-1]) - size} /dev/zero > '{self.ballast}'")
        assert result.status == 0, result.err


@pytest.fixture
def small(base_store: Path, tmp_path: Path) -> Iterator[SmallDisk]:
    """The base is there; 40 MB are left."""
    project = empty_project(tmp_path / "project", tmp_path / "disk/store")
    project.store.parent.mkdir()
    rights = ["--user", "--map-root-user"] if os.geteuid() else []
    shell = subprocess.Popen(
        ["unshare", *rights, "--mount", "--propagation", "private", "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=project.root,
        env=environment(project.store),
    )
    disk = SmallDisk(project=project, shell=shell)
    try:
        result = disk.run(f"mount -t tmpfs -o size=256m,mode=755 tmpfs '{project.store.parent}'")
        if result.status != 0:
            pytest.skip(f"no disk of our own can be mounted here: {result.err}")
        result = disk.run(f"cp -a '{base_store}' '{project.store}'")
        assert result.status == 0, result.err
        disk.leave(40 * MEGABYTE)
        yield disk
    finally:
        shell.communicate("exit\n", timeout=10)


def assert_said(result: Result) -> None:
    assert result.status == 4, (result.out, result.err)
    assert "No space left on device" in result.err or "disk space" in result.err
    assert "Traceback" not in result.err


def goes_on(disk: SmallDisk, goal: str) -> None:
    """What failed left nothing behind, and once there is space the same command works."""
    store = disk.project.store
    assert disk.run(f"ls -A '{store}/corrupt' '{store}/sources/partial'").out.split() == [
        f"{store}/corrupt:",
        f"{store}/sources/partial:",
    ]
    assert disk.run(f"rm -f '{disk.ballast}' '{store}/../in-the-way'; ls -A '{store}/stage'").out == ""
    result = disk.orch("build", goal, "--json")
    assert result.status == 0, result.err
    assert goal in outcomes(result.document).built
    assert "damaged" not in result.err
    assert outcomes(disk.orch("build", goal, "--json").document) == NOTHING


def test_a_script_that_fills_the_disk(small: SmallDisk) -> None:
    small.project.simple("big", 'mkdir -p "$OUT/opt/big"\nhead -c 60M /dev/zero > "$OUT/opt/big/file"')
    assert_said(small.orch("build", "big"))
    goes_on(small, "big")


def test_a_script_that_hides_why_it_failed(small: SmallDisk) -> None:
    # Other processes' files may be gone by the time somebody looks: what the log says counts as well as what is free.
    script = 'mkdir -p "$OUT/opt/sly"\nhead -c 60M /dev/zero > "$OUT/opt/sly/file" 2> /dev/null || exit 1'
    small.project.simple("sly", script)
    result = small.orch("build", "sly")
    assert_said(result)
    assert "error: building sly 1.0 ran out of disk space" in result.err
    goes_on(small, "sly")


def big_source(project: Project, name: str, *, unpack: bool = True) -> None:
    data = os.urandom(25 * MEGABYTE)
    sha256 = project.tarball(name, "big.tar", {"big/data": data})
    source = f'[[versions."1.0".sources]]\nfrom = "file:big.tar"\nsha256 = "{sha256}"\n'
    source += "" if unpack else 'unpack = ""\n'
    script = (
        'mkdir -p "$OUT/opt/data"\ncp data "$OUT/opt/data"' if unpack else 'mkdir "$OUT/opt"\ncp big.tar "$OUT/opt"'
    )
    project.simple(name, script, extra=source)


@pytest.mark.parametrize("unpack", [True, False])
def test_a_source_that_does_not_fit_when_it_is_unpacked(small: SmallDisk, unpack: bool) -> None:
    big_source(small.project, "unpacked", unpack=unpack)
    assert_said(small.orch("build", "unpacked"))
    goes_on(small, "unpacked")


def test_a_source_that_does_not_fit_when_it_is_fetched(small: SmallDisk) -> None:
    big_source(small.project, "fetched")
    small.run(f"head -c 30M /dev/zero > '{small.project.store}/../in-the-way'")
    assert_said(small.orch("source", "fetch", "fetched"))
    goes_on(small, "fetched")


FAILING = """
import errno, os, sys
from orchestrator.store import durable
synced = durable._sync_file_system
def fail(root):
    synced(root)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))
durable._sync_file_system = fail
from orchestrator.cli.main import entry
entry()
"""


def test_a_disk_that_says_so_when_it_is_synced_keeps_no_object(project: Project) -> None:
    """As some file systems do: what was written there may not have come to the disk."""
    project.simple("app", 'mkdir -p "$OUT/opt/app"; date +%N > "$OUT/opt/app/now"')
    before = sorted((project.store / "objects").iterdir())
    failed = subprocess.run(
        [sys.executable, "-c", FAILING, "build", "app"],
        cwd=project.root,
        env=environment(project.store),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (failed.returncode, "No space left on device" in failed.stderr) == (4, True), failed.stderr
    assert "Traceback" not in failed.stderr
    assert sorted((project.store / "objects").iterdir()) == before
    assert [list((project.store / name).iterdir()) for name in ("stage", "corrupt")] == [[], []]
    assert outcomes(project.done("build", "app", "--json").document).built == {"app"}
