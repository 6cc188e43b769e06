"""The golden order and options: a change here is a change of what builds see, or shows that it is none."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox.bubblewrap import MAX_LOWERS, check, options, order, short_names
from orchestrator.sandbox.mounts import BOOT_ID, write_devices
from orchestrator.sandbox.mounts import DEVICES as DEVICE_NAMES
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


DEVICES = [
    ["/run/dev", "/run/root/dev", "bind", 7, None],
    *([f"/dev/{one}", f"/run/root/dev/{one}", "bind", 10, None] for one in DEVICE_NAMES),
    ["devpts", "/run/root/dev/pts", "devpts", 10, "newinstance,ptmxmode=0666,mode=620"],
    ["tmpfs", "/run/root/dev/shm", "tmpfs", 6, "mode=1777"],
    ["tmpfs", "/run/root/tmp", "tmpfs", 6, "mode=1777"],
]


def test_golden_order() -> None:
    masks = ("/proc/cmdline", BOOT_ID)
    names = ("0", "1", "2")
    found = order(SPEC, bwrap=Path("/bin/bwrap"), place=Path("/run"), lower_names=names, masks=masks, processes=None)
    assert found.pop("mounts") == [
        ["overlay", "/run/root", "overlay", 7, "lowerdir=0:1:2"],
        ["proc", "/run/root/proc", "proc", 15, None],
        ["/run/empty", "/run/root/proc/cmdline", "bind", 7, None],
        ["/run/boot_id", "/run/root/proc/sys/kernel/random/boot_id", "bind", 7, None],
        *DEVICES,
        ["/stage/build", "/run/root/build", "bind", 6, None],
        ["/stage/stub.so", "/run/root/opt/stub.so", "bind", 7, None],
    ]
    assert found == {
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
    found = order(spec, bwrap=Path("/bin/bwrap"), place=Path("/run"), lower_names=(), masks=(), processes=9)
    assert found["mounts"][0] == ["/r", "/run/root", "bind", 6, None]
    assert (found["old_kernel_release"], found["processes"], found["cpus"]) == (True, 9, [0, 3])


def test_devices(tmp_path: Path) -> None:
    write_devices(tmp_path / "dev")
    links = {path.name for path in (tmp_path / "dev").iterdir() if path.is_symlink()}
    assert links == {"core", "fd", "ptmx", "stderr", "stdin", "stdout"}
    assert {path.name for path in (tmp_path / "dev").iterdir()} == {*links, *DEVICE_NAMES, "pts", "shm"}


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
