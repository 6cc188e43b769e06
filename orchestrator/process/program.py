"""Short programs: run to the end, what they print kept in memory. `sh` runs them, imported on the first use (50 ms)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import MachineError
from orchestrator.frozen import frozen

# Which Debian or Ubuntu package brings a program, where the two names differ.
_PACKAGES = {
    "bwrap": "bubblewrap",
    "mount": "mount",
    "prlimit": "util-linux",
    "setarch": "util-linux",
    "setpriv": "util-linux",
    "sh": "dash",
    "taskset": "util-linux",
    "unshare": "util-linux",
}


@frozen
class Completed:
    """What a program said and how it ended; 128+N when a signal N ended it."""

    stdout: bytes
    stderr: bytes
    status: int


def find_program(name: str, *, path: str | None = None) -> Path:
    """The program's place on the caller's PATH (or `path`); MachineError names it and the package that brings it."""
    # As shutil.which does, without the compressors that shutil imports.
    directories = os.get_exec_path() if path is None else path.split(os.pathsep)
    places = (Path(directory or ".", name) for directory in directories)
    found = next((place for place in places if os.access(place, os.X_OK) and place.is_file()), None)
    if found is None:
        raise MachineError(
            f"the program {name} is not installed",
            why="no directory of PATH has it",
            hint=f"on Debian or Ubuntu: apt-get install {_PACKAGES.get(name, name)}",
        )
    return found


def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float | None = None,
    input: bytes = b"",
) -> Completed:
    """Run `argv` to its end without a terminal. Any exit status is a result; only the machine's failures raise."""
    import sh

    program = find_program(argv[0])
    how: dict[str, Any] = {
        "_cwd": str(cwd) if cwd else None,
        "_env": dict(env),
        "_in": input,
        "_new_session": True,
        "_return_cmd": True,
        "_timeout": timeout,
        "_tty_out": False,  # sh gives children a terminal unless told not to
    }
    try:
        done = sh.Command(str(program))(*argv[1:], **how)
    except sh.ErrorReturnCode as error:
        return Completed(stdout=error.stdout, stderr=error.stderr, status=_status(error.exit_code))
    except sh.TimeoutException as error:
        raise MachineError(
            f"{program.name} took longer than {timeout:g} s and was ended", where=str(program)
        ) from error
    except (sh.ForkException, OSError) as error:
        why = str(error).strip().splitlines()[-1]
        raise MachineError(f"{program.name} could not be started", where=str(program), why=why) from error
    return Completed(stdout=done.stdout, stderr=done.stderr, status=os.EX_OK)


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code
