"""The text that bash runs in a sandbox: a fixed prelude, then the recipe's script. Pure.

The prelude is part of what a build sees: a change to it raises SANDBOX_SCHEMA, unless a build that passes cannot tell,
as with the trap that says which line failed.
"""

from __future__ import annotations

import shlex

from orchestrator.build.core_use import SHARE_CORES
from orchestrator.build.jobserver import GIVE, TAKE
from orchestrator.graph.derivation import Node
from orchestrator.sandbox.spec import BUILD_DIR, OUT_DIR, SOURCE_DATE_EPOCH
from orchestrator.sandbox.step import FAILED_MARK, PHASE_MARK

# Says where the shell is about to end: only there, so that it prints nothing in a build that passes. What failed in a
# function of the prelude is told as the line that calls it. The exit status stays what it was.
_TRAP = (  # one line: a line of a trap moves $LINENO
    "case $-:$BASH_SUBSHELL in *e*:0) "
    "if ((LINENO > @)); "
    f"then printf '{FAILED_MARK}script line %s: %s\\n' \"$((LINENO - @))\" \"${{BASH_COMMAND%%$'\\n'*}}\" >&2; "
    f'else printf \'{FAILED_MARK}script line %s: %s\\n\' "$((BASH_LINENO[0] - @))" "${{FUNCNAME[0]-}}" >&2; '
    "fi ;; esac"
)

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


# `share-cores make` runs make with the tokens of jobserver.py, and so all that speaks make's protocol. Ninja speaks it
# since 1.13, and only where both directions are one pipe. An older one is given what is free when it starts.
# Without pipes, as in a build that is made again to be compared, the cores are those that the step was given.
_SHARE_CORES = f"""\
{SHARE_CORES}() {{
    local free={BUILD_DIR}/.orch/{TAKE} back={BUILD_DIR}/.orch/{GIVE} taken='' status=0 in=0 out=0 ninja=''
    local name=${{1##*/}}
    [ "$name" != cmake ] || [ "${{2-}}" != --build ] || [ ! -e "${{3-}}/build.ninja" ] || name=ninja
    if [ "$name" = ninja ]; then
        ninja=old
        case $(ninja --version) in 1.1[3-9]*|1.[2-9][0-9]*|[2-9]*) ninja=new ;; esac
    fi
    if [ ! -p "$free" ]; then
        case $name in
            make|ninja) "$@" -j"$ORCH_CORES" ;;  # as cmake --build understands it
            *) CMAKE_BUILD_PARALLEL_LEVEL=$ORCH_CORES MAKEFLAGS=-j$ORCH_CORES "$@" ;;
        esac
        return
    fi
    exec {{in}}<>"$free" {{out}}<>"$back"
    case $ninja in
        new) MAKEFLAGS="-j --jobserver-auth=fifo:$free" "$@" || status=$? ;;
        old)
            read -r -N 4096 -t 0.2 -u "$in" taken || true
            set -- "$@" -j"$((${{#taken}} + 1))"
            "$@" || status=$?
            printf %s "$taken" >&"$out"
            ;;
        *) MAKEFLAGS="-j --jobserver-auth=$in,$out" "$@" || status=$? ;;
    esac
    exec {{in}}<&- {{out}}<&-
    return "$status"
}}
"""


def _prelude(node: Node, script: str) -> str:
    """Only a script that shares its cores sees the function for it: to all others nothing changed when it came."""
    fixed = _PRELUDE.format(
        mark=PHASE_MARK,
        version=shlex.quote(node.version),
        flags=" ".join(shlex.quote(flag) for flag in node.flags),
        options=" ".join(f"[{name}]={shlex.quote(value)}" for name, value in node.options),
    )
    return fixed + _SHARE_CORES if SHARE_CORES in script else fixed


def build_script(node: Node) -> str:
    """The script of a build: patches first, then the recipe's own, started in the first unpacked source."""
    lines = [_prelude(node, node.script), f"export OUT={OUT_DIR}"]
    start = next((source.unpack for source in node.sources if source.unpack is not None), None)
    if start is not None:
        lines.append(f"cd {shlex.quote(f'{BUILD_DIR}/{start}')}")
    if node.patches:
        lines.append("phase patch")
    lines += [f"patch -p1 --no-backup-if-mismatch < {shlex.quote(f'{BUILD_DIR}/{p.name}')}" for p in node.patches]
    return _whole(lines, node.script)


def check_script(node: Node, script: str) -> str:
    """The script of a check, started in /build."""
    return _whole([_prelude(node, script)], script)


def _whole(lines: list[str], script: str) -> str:
    """What comes before, and the script; `set -E` so that functions have the trap too."""
    before = "\n".join(lines)
    trap = f"set -E\ntrap {shlex.quote(_TRAP)} ERR"
    count = before.count("\n") + 1 + trap.count("\n") + 1
    return "\n".join([before, trap.replace("@", str(count)), script])


def build_environment(cores: int) -> tuple[tuple[str, str], ...]:
    """The whole environment of a build. The core count is given, never hashed: no output may depend on it."""
    return (*ENVIRONMENT, ("OUT", OUT_DIR), ("ORCH_CORES", str(cores)))
