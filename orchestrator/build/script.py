"""The text that bash runs in a sandbox: a fixed prelude, then the recipe's script. Pure.

The prelude is part of what a build sees: a change to it raises SANDBOX_SCHEMA.
"""

from __future__ import annotations

import shlex

from orchestrator.graph.derivation import Node
from orchestrator.sandbox.spec import BUILD_DIR, OUT_DIR, SOURCE_DATE_EPOCH
from orchestrator.sandbox.step import PHASE_MARK

_PRELUDE = """\
set -euo pipefail
umask 022
phase() {{ printf '{mark}%s\\n' "$1"; }}
version={version}
flags=({flags})
declare -A option=({options})
"""

ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", BUILD_DIR),
    ("USER", "build"),
    ("LOGNAME", "build"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
    ("SOURCE_DATE_EPOCH", str(SOURCE_DATE_EPOCH)),
)


def _prelude(node: Node) -> str:
    return _PRELUDE.format(
        mark=PHASE_MARK,
        version=shlex.quote(node.version),
        flags=" ".join(shlex.quote(flag) for flag in node.flags),
        options=" ".join(f"[{name}]={shlex.quote(value)}" for name, value in node.options),
    )


def build_script(node: Node) -> str:
    """The script of a build: patches first, then the recipe's own, started in the first unpacked source."""
    lines = [_prelude(node), f"export OUT={OUT_DIR}"]
    start = next((source.unpack for source in node.sources if source.unpack is not None), None)
    if start is not None:
        lines.append(f"cd {shlex.quote(f'{BUILD_DIR}/{start}')}")
    if node.patches:
        lines.append("phase patch")
    lines += [f"patch -p1 --no-backup-if-mismatch < {shlex.quote(f'{BUILD_DIR}/{p.name}')}" for p in node.patches]
    return "\n".join([*lines, node.script])


def check_script(node: Node, script: str) -> str:
    """The script of a check, started in /build."""
    return "\n".join([_prelude(node), script])


def build_environment(cores: int) -> tuple[tuple[str, str], ...]:
    """The whole environment of a build. The core count is given, never hashed: no output may depend on it."""
    return (*ENVIRONMENT, ("OUT", OUT_DIR), ("ORCH_CORES", str(cores)))
