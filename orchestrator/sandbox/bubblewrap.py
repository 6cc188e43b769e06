"""From a Spec to the programs that carry it out: the chain that starts a run, and bubblewrap's options. Pure.

    [taskset] [setarch] unshare (user, mount) > setpriv (die with orch) > [prlimit] > unshare (pid) > sh START
    > bwrap > command

The outer user namespace mounts the merged root, in a mount namespace that ends with the run: nothing can stay mounted.
The outer pid namespace has bubblewrap as its first process: when that is gone the kernel has killed and reaped all in
it, before orch hears of the end. Whether orch is root or not, the chain is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import ascii_lowercase, ascii_uppercase, digits

from orchestrator.errors import MachineError
from orchestrator.sandbox.spec import BUILD_GID, BUILD_UID, HOST_NAME, Bind, Spec

MAX_LOWERS = 499  # the kernel merges 500 trees, and one is the skeleton

# What the chain itself has: it can be read inside, in /proc/1/environ. The last tells newer mount programs to pass all
# lower directories at once; their other way takes 255 characters.
CHAIN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "LIBMOUNT_FORCE_MOUNT2": "always",
}

# $1 orch's pid, $2 the run's directory, $3 user namespaces left, $4 lower directories, $5 bwrap; then the command.
# The hard limits allow for these ones: diagnosis.check_limits was asked.
# First: is orch still there? It can die before the parent-death signals are set, and nobody would be told.
# /dev is read-only first because a build started by the real root owns the host's device nodes and could chmod them.
START = """\
set -eu
orch=$1 run=$2 users=$3 lowers=$4 bwrap=$5
shift 5
read -r _ _ _ parent _ </proc/self/stat
read -r _ _ _ grandparent _ </proc/"$parent"/stat
[ "$grandparent" = "$orch" ] || exit 125
umask 022
ulimit -c 0
ulimit -S -n 1024
ulimit -S -s 8192
ulimit -S -f unlimited
ulimit -S -t unlimited
ulimit -S -d unlimited
ulimit -S -v unlimited
while read -r procs; do echo 0 >"$procs"; done <"$run"/joins
if [ -w /proc/sys/user/max_user_namespaces ]; then echo "$users" >/proc/sys/user/max_user_namespaces; fi
mount --rbind -o ro /dev /dev
if [ -n "$lowers" ]; then
    cd "$run"/lower
    mount -t overlay overlay -o "ro,lowerdir=$lowers" "$run"/root
fi
cd "$run"
unset PWD OLDPWD
exec "$bwrap" --args 3 --seccomp 4 --json-status-fd 5 -- "$@" 3<options 4<filter 5>status
"""

# Files of /proc that tell about the host's start, disks, keys or other processes: empty inside. Each costs a mount,
# so what tells only the kernel's version (that cannot be hidden), or nothing without a capability, is not here.
MASKED = (
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/diskstats",
    "/proc/keys",
    "/proc/modules",
    "/proc/partitions",
    "/proc/swaps",
    "/proc/timer_list",
)
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Its first eight digits, xor the fourth group, are 127.0.0.1 (little-endian): UCX 1.20 takes them for the address of a
# peer on the loopback interface, and does without tcp when there is no route to it.
NO_BOOT_ID = "0100807f-0000-4000-8000-000000000000\n"
# The personality changes what uname says, not these: with an old kernel release they say OLD_RELEASE.
RELEASES = ("/proc/sys/kernel/osrelease", "/proc/version")
OLD_RELEASE = "2.6.40\n"
_STAND_INS = {BOOT_ID: "boot_id", **dict.fromkeys(RELEASES, "release")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the chain's programs are."""

    bwrap: Path
    prlimit: Path
    setarch: Path
    setpriv: Path
    sh: Path
    taskset: Path
    unshare: Path


def check(spec: Spec) -> None:
    """Raise ValueError when the Spec says something that no backend can carry out."""
    if bool(spec.lowers) == (spec.writable_root is not None):
        raise ValueError("a Spec has either lowers or a writable_root")
    if not spec.command:
        raise ValueError("a Spec has a command")
    if len(set(spec.lowers)) > MAX_LOWERS:
        raise MachineError(
            f"{len(set(spec.lowers))} trees cannot be merged into one root",
            why=f"the kernel's overlay takes {MAX_LOWERS} and the sandbox's own",
            hint="let fewer recipes be inputs of one build",
        )
    for name, value in spec.environment:
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"not an environment variable: {name!r}={value!r}")
    for inside in (spec.directory, *(bind.inside for bind in spec.binds)):
        if not inside.startswith("/") or ".." in PurePosixPath(inside).parts or "\0" in inside:
            raise ValueError(f"not an absolute path without '..': {inside!r}")


def chain(
    spec: Spec, programs: Programs, *, orch: int, run: Path, lower_names: tuple[str, ...], processes: int | None
) -> tuple[str, ...]:
    """The command line of a run. `processes`: a limit to set with prlimit, where no cgroup can."""
    # bubblewrap makes one user namespace, and one more when the user inside is not root; the command can make none.
    users = 1 if spec.as_root else 2
    pinned = (str(programs.taskset), "--cpu-list", ",".join(map(str, spec.cpus))) if spec.cpus else ()
    old = (str(programs.setarch), "--uname-2.6") if spec.old_kernel_release else ()
    capped = (str(programs.prlimit), f"--nproc={processes}", "--") if processes is not None else ()
    return (
        *pinned,
        *old,
        *(str(programs.unshare), "--user", "--map-root-user", "--mount", "--propagation", "private", "--"),
        *(str(programs.setpriv), "--pdeathsig", "KILL", "--"),
        *capped,
        *(str(programs.unshare), "--pid", "--fork", "--kill-child=KILL", "--"),
        *(str(programs.sh), "-c", START, "orch-sandbox"),
        *(str(orch), str(run), str(users), ":".join(lower_names), str(programs.bwrap)),
        *spec.command,
    )


def options(spec: Spec, *, run: Path, masks: tuple[str, ...]) -> tuple[str, ...]:
    """bubblewrap's options, read by it from a file: a command line could be seen inside, in /proc/1/cmdline."""
    uid, gid = (0, 0) if spec.as_root else spec.user or (BUILD_UID, BUILD_GID)
    root = ("--bind", str(spec.writable_root), "/") if spec.writable_root else ("--ro-bind", str(run / "root"), "/")
    masked = [part for mask in masks for part in ("--ro-bind", str(run / _STAND_INS.get(mask, "empty")), mask)]
    return (
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--uid", str(uid), "--gid", str(gid), "--hostname", HOST_NAME),
        *root,
        *("--proc", "/proc", *masked, "--remount-ro", "/proc"),
        *("--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *("--perms", "1777", "--tmpfs", "/tmp"),
        *(part for bind in spec.binds for part in _bind(bind)),
        "--clearenv",
        *(part for name, value in spec.environment for part in ("--setenv", name, value)),
        *("--chdir", spec.directory),
    )


def _bind(bind: Bind) -> tuple[str, str, str]:
    return ("--bind" if bind.writable else "--ro-bind", str(bind.host), bind.inside)


def short_names(count: int) -> tuple[str, ...]:
    """`count` different names as short as can be: all lower directories are named in one option string."""
    letters = digits + ascii_lowercase + ascii_uppercase
    names = [*letters, *(first + second for first in letters for second in letters)]
    return tuple(names[:count])
