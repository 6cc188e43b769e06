"""The golden order and options: a change here is a change of what builds see, or shows that it is none."""

from __future__ import annotations

import marshal
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox.bubblewrap import MAX_LOWERS, check, options, order
from orchestrator.sandbox.launcher import short_names
from orchestrator.sandbox.mounts import BOOT_ID, shared
from orchestrator.sandbox.skeleton import skeleton
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
    assert " ".join(options(SPEC, place=Path("/run"))) == (
        "--unshare-user --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try "
        "--die-with-parent --new-session --cap-drop ALL --uid 1000 --gid 1000 --hostname build "
        "--dev-bind /run/root / "
        "--clearenv --setenv HOME /build --setenv TZ UTC --chdir /build/src"
    )


def test_golden_options_of_root() -> None:
    spec = Spec(writable_root=Path("/stage/root"), command=("/bin/sh",), directory="/", as_root=True)
    found = options(spec, place=Path("/run"))
    assert "--uid 0 --gid 0 --hostname build --dev-bind /run/root / --clearenv" in " ".join(found)


REST = [
    ["/run/memory/fixed/dev", "/run/root/dev", "bind", 0, None],
    ["devpts", "/run/root/dev/pts", "devpts", 10, "newinstance,ptmxmode=0666,mode=620"],
    ["tmpfs", "/run/root/dev/shm", "tmpfs", 6, "mode=1777"],
    ["tmpfs", "/run/root/tmp", "tmpfs", 6, "mode=1777"],
]


def test_golden_order() -> None:
    masks = ("/proc/cmdline", BOOT_ID)
    found = order(SPEC, bwrap=Path("/bin/bwrap"), place=Path("/run"), lowers=SPEC.lowers, masks=masks, processes=None)
    assert found.pop("mounts") == [
        ["overlay", "/run/root", "overlay", 7, None],
        ["proc", "/run/root/proc", "proc", 15, None],
        ["/run/memory/fixed/empty", "/run/root/proc/cmdline", "bind", 0, None],
        ["/run/memory/fixed/boot_id", "/run/root/proc/sys/kernel/random/boot_id", "bind", 0, None],
        *REST,
        ["/stage/build", "/run/root/build", "bind", 6, None],
        ["/stage/stub.so", "/run/root/opt/stub.so", "bind", 7, None],
    ]
    assert found == {
        "skeleton": skeleton(SPEC.binds),
        "lowers": ["/store/a", "/store/b"],
        "place": "/run",
        "cpus": [],
        "old_kernel_release": False,
        "processes": None,
        "bwrap": "/bin/bwrap",
        "command": ["/bin/bash", "/build/script"],
        "environment": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    }


def test_an_order_with_all_there_is() -> None:
    spec = Spec(
        writable_root=Path("/r"),
        binds=(Bind(host=Path("/h"), inside="/build", writable=True),),
        command=("/c",),
        as_root=True,
        cpus=(0, 3),
        old_kernel_release=True,
        directory="/",
    )
    found = order(spec, bwrap=Path("/bin/bwrap"), place=Path("/run"), lowers=(), masks=(), processes=9)
    assert (found["skeleton"], found["lowers"]) == ({}, [])
    assert found["mounts"][0] == ["/r", "/run/root", "bind", 6, None]
    assert (found["old_kernel_release"], found["processes"], found["cpus"]) == (True, 9, [0, 3])


def test_golden_shared() -> None:
    found = shared()
    assert marshal.loads(marshal.dumps(found)) == found
    devices = [f"/dev/{one}" for one in ("full", "null", "random", "tty", "urandom", "zero")]
    assert found.pop("devices") == devices
    assert found.pop("tree") == {
        "folders": ["", "/dev", "/dev/pts", "/dev/shm"],
        "files": {
            "/boot_id": "0100807f-0000-4000-8000-000000000000\n",
            "/release": "2.6.40\n",
            "/empty": "",
            **dict.fromkeys(devices, ""),
        },
        "links": {
            "/dev/core": "/proc/kcore",
            "/dev/fd": "/proc/self/fd",
            "/dev/ptmx": "pts/ptmx",
            "/dev/stderr": "/proc/self/fd/2",
            "/dev/stdin": "/proc/self/fd/0",
            "/dev/stdout": "/proc/self/fd/1",
        },
    }
    assert found == {}


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
        *(
            (Spec(lowers=(Path("/a"),), command=("/c",), binds=(Bind(host=Path("/h"), inside=inside),)), "can be bound")
            for inside in ("/", "//a", "/a//b", "/./a", "/a/", "/dev", "/tmp/x", "/proc/x", "/dev/shm/x")
        ),
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
