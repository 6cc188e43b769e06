"""The golden order and options: a change here is a change of what builds see, or shows that it is none."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox.bubblewrap import BOOT_ID, MAX_LOWERS, check, options, order, short_names
from orchestrator.sandbox.spec import Bind, Spec

SPEC = Spec(
    lowers=(Path("/store/a"), Path("/store/b")),
    binds=(
        Bind(host=Path("/stage/build"), inside="/build", writable=True),
        Bind(host=Path("/stage/stub.so"), inside="/opt/stub.so"),
    ),
    command=("/bin/bash", "/build/script"),
    environment=(("HOME", "/build"), ("TZ", "UTC")),
    directory="/build/src",
)


def test_golden_options() -> None:
    assert " ".join(options(SPEC, place=Path("/run"), masks=("/proc/cmdline", BOOT_ID))) == (
        "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try "
        "--die-with-parent --new-session --cap-drop ALL --uid 1000 --gid 1000 --hostname build "
        "--ro-bind /run/root / "
        "--proc /proc --ro-bind /run/empty /proc/cmdline --ro-bind /run/boot_id /proc/sys/kernel/random/boot_id "
        "--remount-ro /proc --dev /dev --perms 1777 --tmpfs /dev/shm --remount-ro /dev --perms 1777 --tmpfs /tmp "
        "--bind /stage/build /build --ro-bind /stage/stub.so /opt/stub.so "
        "--clearenv --setenv HOME /build --setenv TZ UTC --chdir /build/src"
    )


def test_golden_options_of_a_writable_root() -> None:
    spec = Spec(writable_root=Path("/stage/root"), command=("/bin/sh",), directory="/", as_root=True)
    found = options(spec, place=Path("/run"), masks=())
    assert "--uid 0 --gid 0 --hostname build --bind /stage/root / --proc" in " ".join(found)
    assert "/run/root" not in found


def test_golden_order() -> None:
    found = order(SPEC, bwrap=Path("/bin/bwrap"), place=Path("/run"), lower_names=("0", "1", "2"), processes=None)
    assert found == {
        "place": "/run",
        "lowers": "0:1:2",
        "users": 2,
        "cpus": [],
        "old_kernel_release": False,
        "processes": None,
        "bwrap": "/bin/bwrap",
        "command": ["/bin/bash", "/build/script"],
        "environment": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    }


def test_an_order_with_all_there_is() -> None:
    spec = Spec(
        writable_root=Path("/r"), command=("/c",), as_root=True, cpus=(0, 3), old_kernel_release=True, directory="/"
    )
    found = order(spec, bwrap=Path("/bin/bwrap"), place=Path("/run"), lower_names=(), processes=9)
    assert (found["lowers"], found["users"], found["cpus"]) == ("", 1, [0, 3])
    assert (found["old_kernel_release"], found["processes"]) == (True, 9)


def test_short_names_are_different_and_fit() -> None:
    names = list(islice(short_names(), 100_000))
    assert len(set(names)) == len(names)
    assert len(":".join(names[-MAX_LOWERS - 1 :])) < 4000  # one page holds all mount options


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Spec(command=("/c",)), "either lowers or a writable_root"),
        (Spec(lowers=(Path("/a"),), writable_root=Path("/b"), command=("/c",)), "either lowers or a writable_root"),
        (Spec(lowers=(Path("/a"),), command=()), "has a command"),
        (Spec(lowers=(Path("/a"),), command=("/c",), environment=(("A=B", ""),)), "not an environment variable"),
        (Spec(lowers=(Path("/a"),), command=("/c",), environment=(("A", "\0"),)), "not an environment variable"),
        (Spec(lowers=(Path("/a"),), command=("/c",), directory="build"), "not an absolute path"),
        (Spec(lowers=(Path("/a"),), command=("/c",), binds=(Bind(host=Path("/h"), inside="/a/../b"),)), "without '..'"),
    ],
)
def test_a_wrong_spec_is_refused(spec: Spec, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(spec)


def test_too_many_inputs() -> None:
    lowers = tuple(Path(f"/{number}") for number in range(MAX_LOWERS + 1))
    with pytest.raises(MachineError) as caught:
        check(Spec(lowers=lowers, command=("/c",)))
    assert caught.value.hint == "let fewer recipes be inputs of one build"
    check(Spec(lowers=lowers[1:] * 2, command=("/c",)))  # the same tree twice is one
