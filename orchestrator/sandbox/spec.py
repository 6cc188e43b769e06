"""What a sandbox is, as a value that any backend can carry out. Pure: nothing here touches the machine."""

from __future__ import annotations

from pathlib import Path

from orchestrator.frozen import frozen

# Raised only when what a build sees changes (environment, mounts, user, prelude), never by a release: in every key.
SANDBOX_SCHEMA = 1

BUILD_UID = 1000
BUILD_GID = 1000
HOST_NAME = "build"
BUILD_DIR = "/build"
OUT_DIR = "/out"
SOURCE_DATE_EPOCH = 315532800  # 1980-01-01, the first date that a zip archive can hold


@frozen
class Bind:
    """A host file or directory seen inside at `inside`."""

    host: Path
    inside: str
    writable: bool = False


@frozen
class Limits:
    """Bounds on one run; None means no bound. Where the machine cannot enforce one, the Outcome says so."""

    memory_bytes: int | None = None
    processes: int | None = None
    seconds: float | None = None


@frozen
class Spec:
    """One run of one command.

    The root is either `lowers`, read-only trees merged with the first on top, or `writable_root`, one host directory
    that the command may change (the bases' second stage). /proc, /dev, a private /tmp and /dev/shm are always there;
    there is no network but a loopback interface of its own, no host environment, and no capability.
    """

    lowers: tuple[Path, ...] = ()
    writable_root: Path | None = None
    binds: tuple[Bind, ...] = ()
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    directory: str = BUILD_DIR
    as_root: bool = False  # uid 0 of its own user namespace; chown is accepted and does nothing
    user: tuple[int, int] | None = None  # uid, gid of an image's own user, with the image's passwd; None: the build's
    limits: Limits = Limits()
    cpus: tuple[int, ...] | None = None  # the processors it may run on; None: all of the caller's
    old_kernel_release: bool = False  # personality UNAME26, for --rebuild


@frozen
class Outcome:
    """How a run ended. Seconds are wall time."""

    status: int  # exit status; 128+N when a signal N ended it
    seconds: float
    timed_out: bool = False
    out_of_memory: bool = False
    unenforced: tuple[str, ...] = ()  # names of limits that this machine could not enforce

    @property
    def passed(self) -> bool:
        return self.status == 0 and not self.timed_out
