"""Carries out a Spec with bubblewrap: prepares what it reads, starts the chain, watches it, says how it ended."""

from __future__ import annotations

import json
import marshal
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import BinaryIO

from orchestrator.errors import MachineError
from orchestrator.process import Ended, Ending
from orchestrator.sandbox import bubblewrap
from orchestrator.sandbox.cgroup import Cage
from orchestrator.sandbox.diagnosis import diagnose
from orchestrator.sandbox.mounts import mount_points
from orchestrator.sandbox.output import Output
from orchestrator.sandbox.seccomp import filter_program
from orchestrator.sandbox.skeleton import make_mount_points
from orchestrator.sandbox.spec import Outcome, Spec
from orchestrator.sandbox.workplace import Workplace, workplace

_NOT_FOUND = "bwrap: execvp "  # said when the command itself is not in the root
_KILLED = 137


class Stopped(MachineError):
    """The run was ended because `stop` was set: it says nothing about the command."""

    code = "stopped"


def run(
    spec: Spec,
    *,
    work: Path | Workplace,
    log: BinaryIO | Path,
    on_line: Callable[[str], None],
    stop: Event | None = None,
) -> Outcome:
    """Run the Spec's command to its end; nothing of it runs or is mounted afterwards.

    `work`: what runs share, or for one run alone a directory of the caller's for scratch, left as it was. `log`: gets
    every byte of stdout and stderr, merged and appended. `on_line`: gets each line, readable. `stop`: when set,
    everything is killed and Stopped raised. MachineError: the command was never started, or was killed from outside.
    """
    bubblewrap.check(spec)
    if spec.writable_root is not None:
        make_mount_points(spec.writable_root, mount_points(spec))
    with ExitStack() as stack:
        if isinstance(work, Path):
            work = stack.enter_context(workplace(work.resolve() / f"sandbox-{os.urandom(6).hex()}"))
        launcher = stack.enter_context(work.launcher(spec.limits))
        file = stack.enter_context(log.open("ab", buffering=0)) if isinstance(log, Path) else log
        options = bubblewrap.options(spec, place=work.folder)
        order = bubblewrap.order(
            spec,
            bwrap=work.bwrap,
            place=work.folder,
            lowers=work.lowers(spec),
            masks=work.masks(spec),
            processes=_process_rlimit(spec, launcher.cage),
        )
        status = _memory(stack, b"")
        descriptors = (
            _memory(stack, marshal.dumps(order)),
            _memory(stack, b"".join(os.fsencode(option) + b"\0" for option in options)),
            _memory(stack, filter_program(os.uname().machine, as_root=spec.as_root)),
            status,
        )
        output = Output(file, on_line)
        ended = launcher.relay.run(descriptors, on_bytes=output, timeout=spec.limits.seconds, stop=stop)
        output.close()
        return _outcome(ended, _exit_status(status), launcher.cage, list(output.last))


def _memory(stack: ExitStack, data: bytes) -> int:
    """A file without a name that holds `data`; a descriptor that reads it from its start."""
    descriptor = os.memfd_create("orch-sandbox")
    stack.callback(os.close, descriptor)
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _process_rlimit(spec: Spec, limits: Cage) -> int | None:
    """Where no cgroup can be had: since Linux 5.14 RLIMIT_NPROC counts by user namespace, but not for the real root."""
    if "processes" not in limits.unenforced or os.geteuid() == 0 or _kernel() < (5, 14):
        return None
    limits.unenforced = tuple(name for name in limits.unenforced if name != "processes")
    return spec.limits.processes


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdecimal())


def _exit_status(report: int) -> int | None:
    """What bubblewrap reported of the command; None when it was never started, or bubblewrap itself was killed."""
    said = os.pread(report, 1 << 16, 0).decode("utf-8", "replace")
    for line in said.splitlines():
        try:
            status = json.loads(line).get("exit-code")
        except ValueError:  # cut short by a kill
            continue
        if isinstance(status, int):
            return status
    return None


def _outcome(ended: Ended, status: int | None, limits: Cage, last: list[str]) -> Outcome:
    memory = limits.out_of_memory()
    timed_out = ended.ending is Ending.TIMEOUT
    if ended.ending is Ending.STOPPED:
        raise Stopped("stopped before it was done", hint="run the same command again")
    if status is None and not timed_out and not memory:
        if last and last[-1].startswith(_NOT_FOUND):
            status = 127  # as a shell says it
        else:
            raise _never_started(ended, last)
    return Outcome(
        status=_KILLED if status is None or timed_out else status,
        seconds=ended.seconds,
        timed_out=timed_out,
        out_of_memory=memory,
        unenforced=limits.unenforced,
    )


def _never_started(ended: Ended, last: list[str]) -> MachineError:
    if ended.status == _KILLED:
        return MachineError("the sandbox was killed from outside", hint="run the same command again")
    said = "\n".join(line for line in last if line)
    why, hint = diagnose(said)
    return MachineError("the sandbox could not be started", why=f"{why} ({said})" if why else said, hint=hint)
