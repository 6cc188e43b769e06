"""Does a sandbox work on this machine? Asked by running one."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.process import find_program
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import Bind, Spec

# What a host keeps its programs and their libraries in: on most, all but /usr are links into it.
_HOST_TOP = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu")


def probe(work: Path | None = None) -> None:
    """Run the host's `true` in a sandbox; MachineError says what is missing or forbidden, and the remedy.

    `work`: where scratch may be written; best on the store's file system, which must be able to be merged.
    """
    with tempfile.TemporaryDirectory(prefix="orch-probe-", dir=work) as folder:
        top = Path(folder, "top")
        top.mkdir()
        binds = host_programs(top)
        command = str(find_program("true"))
        outcome = run(
            Spec(lowers=(top,), binds=binds, command=(command,), directory="/"),
            work=Path(folder),
            log=io.BytesIO(),
            on_line=lambda line: None,
        )
    if not outcome.passed:
        raise MachineError("the sandbox does not work here", why=f"`{command}` ended with {outcome.status} in it")


def host_programs(top: Path, *, host: Path = Path("/")) -> tuple[Bind, ...]:
    """Make `top` a root in which the host's own programs run: its links are copied, its directories bound read-only."""
    binds = []
    for name in _HOST_TOP:
        place = host / name
        if place.is_symlink():
            (top / name).symlink_to(place.readlink())
        elif place.is_dir():
            binds.append(Bind(host=place, inside=f"/{name}"))
    return tuple(binds)
