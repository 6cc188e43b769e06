"""The filter, interpreted for both architectures, and loaded into a process on this one."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox.seccomp import filter_program

ALLOW = "allow"
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}
CHOWN = {"x86_64": (92, 93, 94, 260), "aarch64": (54, 55)}
KEYCTL = {"x86_64": 250, "aarch64": 219}
READ = {"x86_64": 0, "aarch64": 63}


def ask(program: bytes, architecture: int, number: int, first: int = 0) -> str | int:
    """What the kernel would do: "allow", or the error number."""
    steps = list(struct.iter_unpack("=HBBI", program))
    word, at = 0, 0
    while True:
        code, then, otherwise, value = steps[at]
        at += 1
        if code == 0x20:
            word = {0: number, 4: architecture, 16: first}[value]
        elif code == 0x15:
            at += then if word == value else otherwise
        elif code == 0x35:
            at += then if word >= value else otherwise
        elif code == 0x06:
            return ALLOW if value == 0x7FFF0000 else value - 0x00050000
        else:
            raise AssertionError(code)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_keyrings_and_foreign_calls_do_not_exist(machine: str) -> None:
    for as_root in (False, True):
        program = filter_program(machine, as_root=as_root)
        assert ask(program, AUDIT[machine], KEYCTL[machine]) == errno.ENOSYS
        assert ask(program, AUDIT["i386"], 0) == errno.ENOSYS
        assert ask(program, AUDIT[machine], READ[machine]) == ALLOW
    assert ask(filter_program("x86_64", as_root=False), AUDIT["x86_64"], 0x40000000) == errno.ENOSYS


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_ownership_is_pretended_for_root_only(machine: str) -> None:
    for number in CHOWN[machine]:
        assert ask(filter_program(machine, as_root=True), AUDIT[machine], number) == 0
        assert ask(filter_program(machine, as_root=False), AUDIT[machine], number) == ALLOW


@pytest.mark.parametrize(("machine", "prlimit"), [("x86_64", 302), ("aarch64", 261)])
def test_only_the_first_process_keeps_its_limits(machine: str, prlimit: int) -> None:
    for as_root in (False, True):
        program = filter_program(machine, as_root=as_root)
        assert ask(program, AUDIT[machine], prlimit, 1) == errno.EPERM
        assert [ask(program, AUDIT[machine], prlimit, pid) for pid in (0, 2, 11)] == [ALLOW] * 3
        assert ask(program, AUDIT[machine], READ[machine], 1) == ALLOW


def test_golden_length() -> None:
    assert {name: len(filter_program(name, as_root=True)) // 8 for name in ("x86_64", "aarch64")} == {
        "x86_64": 43,
        "aarch64": 37,
    }


def test_an_unknown_machine() -> None:
    with pytest.raises(MachineError, match="no sandbox for riscv64"):
        filter_program("riscv64", as_root=False)


LOADED = """
import ctypes, os, sys
program = bytes.fromhex(sys.argv[1])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0) == 0
os.chown(sys.argv[2], 12345, 12345)
os.lchown(sys.argv[2], 12345, 12345)
os.setgroups([7])
print(os.stat(sys.argv[2]).st_uid, libc.syscall(int(sys.argv[3]), 0, 0, 0, 0, 0), ctypes.get_errno())
"""


@pytest.mark.skipif(os.uname().machine not in KEYCTL, reason="no filter for this machine")
def test_loaded(tmp_path: Path) -> None:
    machine = os.uname().machine
    file = tmp_path / "file"
    file.touch()
    program = filter_program(machine, as_root=True).hex()
    done = subprocess.run(
        [sys.executable, "-c", LOADED, program, str(file), str(KEYCTL[machine])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == [str(os.geteuid()), "-1", str(errno.ENOSYS)]
