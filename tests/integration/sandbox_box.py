"""A sandbox to poke at: the host's programs inside, run as whoever runs the tests or as a user without rights."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox.probe import host_programs, probe
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import Bind, Outcome, Spec

NOBODY = 65534
CALLERS = [
    "caller",
    pytest.param("nobody", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a script ended, what it printed, and which lines were handed over."""

    outcome: Outcome
    text: str
    lines: tuple[str, ...]


def become_nobody() -> None:
    """Give up being root, for good."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    if not os.access(sys.executable, os.X_OK):  # it lies in root's home
        sys.executable = shutil.which("python3", path="/usr/local/bin:/usr/bin") or sys.executable


def as_nobody(action: Callable[[], Any]) -> Any:
    """Do `action` in a child that is not root any more; its result, or its failure as a test failure."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(receive)
            become_nobody()
            result: tuple[str, Any] = ("", action())
        except BaseException:
            result = (traceback.format_exc(), None)
        with os.fdopen(send, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        failure, value = pickle.load(pipe)
    os.waitpid(pid, 0)
    assert not failure, failure
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Directories for one test, owned by whoever runs the sandbox."""

    who: str
    top: Path
    binds: list[Bind] = field(default_factory=list)

    @property
    def build(self) -> Path:
        return self.top / "build"

    @property
    def out(self) -> Path:
        return self.top / "out"

    @property
    def lower(self) -> Path:
        return self.top / "host"

    def do(self, action: Callable[[], Any]) -> Any:
        return as_nobody(action) if self.who == "nobody" else action()

    def fork(self, action: Callable[[], Any]) -> int:
        """Do `action` in a child process that is meant to be killed; its pid."""
        pid = os.fork()
        if pid == 0:
            try:
                if self.who == "nobody":
                    become_nobody()
                action()
            finally:
                os._exit(0)
        return pid

    def own(self, *places: Path) -> None:
        """Give files made by the test to whoever runs the sandbox."""
        for place in places if self.who == "nobody" else ():
            for folder, _, names in os.walk(place):
                os.chown(folder, NOBODY, NOBODY)
                for name in names:
                    os.chown(Path(folder, name), NOBODY, NOBODY, follow_symlinks=False)

    def spec(self, script: str, **fields: Any) -> Spec:
        """bash runs `script` with the host's programs as its input, /build and /out writable."""
        fields.setdefault("environment", (("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),))
        lowers = (*fields.pop("over", ()), self.lower)
        binds = (
            *self.binds,
            Bind(host=self.build, inside="/build", writable=True),
            Bind(host=self.out, inside="/out", writable=True),
            *fields.pop("binds", ()),
        )
        return Spec(lowers=lowers, binds=binds, command=("/bin/bash", "-c", script, "--"), **fields)

    def bash(self, script: str, **fields: Any) -> Said:
        """Run `script` inside, to its end."""
        return self.run(self.spec(script, **fields))

    def run(self, spec: Spec) -> Said:
        lines: list[str] = []
        log = self.top / "log"

        def act() -> tuple[Outcome, list[str]]:
            log.unlink(missing_ok=True)
            return run(spec, work=self.top, log=log, on_line=lines.append), lines

        outcome, handed = self.do(act)
        return Said(outcome=outcome, text=log.read_text(errors="replace"), lines=tuple(handed))


@contextmanager
def box(who: str) -> Iterator[Box]:
    """A Box, after the probe said that sandboxes work here; a laptop without them skips, CI fails."""
    try:
        probe()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{error.what}: {error.why}")
    top = Path(tempfile.mkdtemp(prefix="orch-box-"))
    made = Box(who=who, top=top)
    try:
        for place in (made.build, made.out, made.lower):
            place.mkdir()
        made.binds.extend(host_programs(made.lower))
        made.own(top)
        yield made
        assert not [entry.name for entry in top.iterdir() if entry.name.startswith("sandbox-")], (
            "scratch was left behind"
        )
    finally:
        shutil.rmtree(top)


def processes_with(marker: str) -> list[int]:
    """Processes, other than this one, whose command line holds the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line:
                found.append(int(entry.name))
    return found


def mounts() -> list[str]:
    """What is mounted in the tests' own mount namespace."""
    return Path("/proc/self/mountinfo").read_text().splitlines()
