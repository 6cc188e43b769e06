"""Carries out a Spec with bubblewrap: prepares a scratch directory, starts the chain, watches it, says how it ended."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO

from orchestrator.errors import MachineError
from orchestrator.process import Ended, Ending, find_program, stream
from orchestrator.sandbox import bubblewrap
from orchestrator.sandbox.cgroup import Cage, cage
from orchestrator.sandbox.diagnosis import check_limits, diagnose
from orchestrator.sandbox.output import Output
from orchestrator.sandbox.seccomp import filter_program
from orchestrator.sandbox.skeleton import write_skeleton
from orchestrator.sandbox.spec import Outcome, Spec

_NOT_FOUND = "bwrap: execvp "  # said when the command itself is not in the root
_KILLED = 137


class Stopped(MachineError):
    """The run was ended because `stop` was set: it says nothing about the command."""

    code = "stopped"


def run(
    spec: Spec, *, work: Path, log: BinaryIO | Path, on_line: Callable[[str], None], stop: Event | None = None
) -> Outcome:
    """Run the Spec's command to its end; nothing of it runs or is mounted afterwards.

    `work`: a directory of the caller's for scratch, left as it was. `log`: gets every byte of stdout and stderr, merged
    and appended. `on_line`: gets each line, readable. `stop`: when set, everything is killed and Stopped raised.
    MachineError: the command was never started, or was killed from outside.
    """
    bubblewrap.check(spec)
    check_limits()
    with ExitStack() as stack:
        scratch = stack.enter_context(_scratch(work))
        limits = stack.enter_context(cage(spec.limits))
        file = stack.enter_context(log.open("ab", buffering=0)) if isinstance(log, Path) else log
        argv = _prepare(spec, scratch, limits)
        output = Output(file, on_line)
        ended = stream(
            argv,
            env=bubblewrap.CHAIN_ENVIRONMENT,
            cwd=scratch,
            on_bytes=output,
            timeout=spec.limits.seconds,
            stop=stop,
        )
        output.close()
        return _outcome(ended, _exit_status(scratch / "status"), limits, list(output.last))


@contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sandbox-", dir=work.resolve()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs() -> bubblewrap.Programs:
    """Where the chain's programs are; MachineError names the first that is missing and its package."""
    find_program("mount", path=bubblewrap.CHAIN_ENVIRONMENT["PATH"])  # START calls it by name
    names = bubblewrap.Programs.__dataclass_fields__
    return bubblewrap.Programs(**{name: find_program(name) for name in names})


def _prepare(spec: Spec, scratch: Path, limits: Cage) -> tuple[str, ...]:
    """Write all that the chain reads; its command line."""
    lowers = tuple(dict.fromkeys(spec.lowers))  # a tree named twice is refused by the kernel
    names: tuple[str, ...] = ()
    if lowers:
        names = bubblewrap.short_names(len(lowers) + 1)
        for folder in ("root", "lower"):  # write_skeleton makes its own
            (scratch / folder).mkdir()
        own_users = spec.user is not None
        write_skeleton(scratch / "skeleton", binds=spec.binds, lowers=lowers, own_users=own_users)
        for name, target in zip(names, (scratch / "skeleton", *lowers), strict=True):
            (scratch / "lower" / name).symlink_to(target.absolute())
    releases = bubblewrap.RELEASES if spec.old_kernel_release else ()
    masks = tuple(mask for mask in (*bubblewrap.MASKED, bubblewrap.BOOT_ID, *releases) if Path(mask).exists())
    options = bubblewrap.options(spec, run=scratch, masks=masks)
    (scratch / "options").write_bytes(b"".join(os.fsencode(option) + b"\0" for option in options))
    (scratch / "filter").write_bytes(filter_program(os.uname().machine, as_root=spec.as_root))
    (scratch / "joins").write_text("".join(f"{join}\n" for join in limits.joins), encoding="utf-8")
    (scratch / "boot_id").write_text(bubblewrap.NO_BOOT_ID, encoding="ascii")
    (scratch / "release").write_text(bubblewrap.OLD_RELEASE, encoding="ascii")
    (scratch / "empty").touch()
    return bubblewrap.chain(
        spec,
        programs(),
        orch=os.getpid(),
        run=scratch,
        lower_names=names,
        processes=_process_rlimit(spec, limits),
    )


def _process_rlimit(spec: Spec, limits: Cage) -> int | None:
    """Where no cgroup can be had: since Linux 5.14 RLIMIT_NPROC counts by user namespace, but not for the real root."""
    if "processes" not in limits.unenforced or os.geteuid() == 0 or _kernel() < (5, 14):
        return None
    limits.unenforced = tuple(name for name in limits.unenforced if name != "processes")
    return spec.limits.processes


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdecimal())


def _exit_status(report: Path) -> int | None:
    """What bubblewrap reported of the command; None when it was never started, or bubblewrap itself was killed."""
    if not report.exists():
        return None
    for line in report.read_text(encoding="ascii", errors="replace").splitlines():
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
