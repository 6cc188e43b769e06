"""The system call filter, as the bytes of a BPF program that bubblewrap loads. Pure.

Always: the kernel's keyrings do not exist (a session keyring would reach the build from the caller, and no namespace
hides it), nor do system calls of another architecture; and nobody sets the limits of the first process, which tells how
the command ended (they have one user, so the kernel would allow it). As root: giving a file away or becoming somebody
else succeeds and does nothing, because there is one user in the sandbox; that lets dpkg configure packages without
privilege.
"""

from __future__ import annotations

import errno
import struct
from functools import cache

from orchestrator.errors import MachineError
from orchestrator.frozen import frozen

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NOTHING = _ERRNO | 0  # "failed with error 0": returns 0 and does nothing
_ABSENT = _ERRNO | errno.ENOSYS
_REFUSED = _ERRNO | errno.EPERM
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT = 0, 4, 16  # offsets in struct seccomp_data; the first argument's lower half


@frozen
class _Machine:
    audit: int
    keyrings: tuple[int, ...]
    ownership: tuple[int, ...]
    limits: int  # prlimit64
    too_high: int | None = None  # from this number on it is another ABI: x32


# ownership: the chown, setuid, setgid and setgroups families; each architecture's list is in its own order of numbers.
_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        keyrings=(248, 249, 250),
        ownership=(92, 93, 94, 105, 106, 113, 114, 116, 117, 119, 122, 123, 260),
        limits=302,
        too_high=0x40000000,
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        keyrings=(217, 218, 219),
        ownership=(54, 55, 143, 144, 145, 146, 147, 149, 151, 152, 159),
        limits=261,
    ),
}


@cache
def filter_program(machine: str, *, as_root: bool) -> bytes:
    """The filter for `machine` (as `uname -m` says it)."""
    known = _MACHINES.get(machine)
    if known is None:
        raise MachineError(
            f"no sandbox for {machine}", why=f"only {', '.join(sorted(_MACHINES))} have a system call filter"
        )
    foreign = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, known.audit, then=1),
        _step(_RETURN, _ABSENT),
        _step(_LOAD, _NUMBER_AT),
    ]
    if known.too_high is not None:
        foreign += _answer(_AT_LEAST, known.too_high, _ABSENT)
    absent = [step for number in known.keyrings for step in _answer(_EQUAL, number, _ABSENT)]
    nothing = [step for number in known.ownership if as_root for step in _answer(_EQUAL, number, _NOTHING)]
    first = [_step(_EQUAL, known.limits, otherwise=3), _step(_LOAD, _FIRST_AT), *_answer(_EQUAL, 1, _REFUSED)]
    return b"".join([*foreign, *absent, *nothing, *first, _step(_RETURN, _ALLOW)])


def _answer(test: int, value: int, result: int) -> list[bytes]:
    """Return `result` when the loaded word passes `test` against `value`; else fall through."""
    return [_step(test, value, otherwise=1), _step(_RETURN, result)]


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One `struct sock_filter`: jumps count the instructions to leave out."""
    return struct.pack("=HBBI", code, then, otherwise, value)
