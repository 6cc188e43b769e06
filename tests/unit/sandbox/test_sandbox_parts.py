"""The skeleton, the output, the groups and the diagnosis, without a sandbox."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.sandbox import launcher
from orchestrator.sandbox.cgroup import Hierarchy, hierarchies, make_cage
from orchestrator.sandbox.diagnosis import check_limits, diagnose
from orchestrator.sandbox.output import Output, readable
from orchestrator.sandbox.skeleton import refuse_link_on_the_way, skeleton
from orchestrator.sandbox.spec import SOURCE_DATE_EPOCH, Bind, Limits


def test_skeleton(tmp_path: Path) -> None:
    top, lower, file = tmp_path / "top", tmp_path / "lower", tmp_path / "file"
    lower.mkdir()
    file.touch()
    binds = (Bind(host=lower, inside="/opt/tree"), Bind(host=file, inside="/usr/lib/x.so"))
    launcher.make_tree(str(top), skeleton(binds))
    found = sorted(str(path.relative_to(top)) for path in top.rglob("*"))
    assert found == [
        *("build", "dev", "etc", "etc/group", "etc/hostname", "etc/hosts", "etc/nsswitch.conf", "etc/passwd"),
        *("etc/resolv.conf", "opt", "opt/tree", "out", "proc", "run"),
        *("sys", "sys/class", "sys/class/net", "sys/class/net/lo", "sys/devices", "sys/devices/virtual"),
        *("sys/devices/virtual/net", "sys/devices/virtual/net/lo", "tmp", "usr", "usr/lib", "usr/lib/x.so"),
    ]
    assert {path.stat().st_mtime for path in (top, *top.rglob("*"))} == {SOURCE_DATE_EPOCH}
    assert (top / "etc/resolv.conf").read_text() == ""
    assert [line.split(":")[0] for line in (top / "etc/passwd").read_text().splitlines()] == ["root", "build", "nobody"]


def test_a_mount_point_behind_a_link_is_refused(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "lib").symlink_to("usr/lib")
    with pytest.raises(MachineError) as caught:
        refuse_link_on_the_way("/lib/x", (lower,))
    assert caught.value.why == "/lib is a symbolic link there"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"plain", "plain"),
        (b"tab\tkept  ", "tab\tkept"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07on", "red on"),
        (b"10%\r 50%\r100%\r", "100%"),
        (b"bell\x07null\x00", "bellnull"),
        (b"\xff\xfe latin \xe9", "\ufffd\ufffd latin \ufffd"),
        ("ünï".encode(), "ünï"),
    ],
)
def test_readable(line: bytes, shown: str) -> None:
    assert readable(line) == shown


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_output_cut_anywhere(size: int) -> None:
    data = b"one\ntwo\n\n" + b"long" * 5000 + b"\nno end"
    log, lines = io.BytesIO(), list[str]()
    output = Output(log, lines.append)
    for at in range(0, len(data), size):
        output(data[at : at + size])
    output.close()
    output.close()
    assert log.getvalue() == data
    assert lines == ["one", "two", "", "long" * 1024, "no end"]
    assert list(output.last) == lines


MOUNTS = """\
23 1 8:1 / / rw - ext4 /dev/sda rw
32 31 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 31 0:30 /box /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_hierarchies_of_version_1_and_hybrid() -> None:
    found = hierarchies("8:pids:/box/a\n4:memory:/m\n0::/\n", MOUNTS)
    assert found == {
        "memory": (Hierarchy(version=1, folder=Path("/sys/fs/cgroup/memory/m")),),
        "pids": (Hierarchy(version=1, folder=Path("/sys/fs/cgroup/pids/a")),),
    }


def test_hierarchies_of_version_2() -> None:
    found = hierarchies("0::/user.slice/app.slice/x.scope\n", "26 25 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    folder = Path("/sys/fs/cgroup/user.slice/app.slice")
    both = (Hierarchy(version=2, folder=folder / "x.scope"), Hierarchy(version=2, folder=folder))
    assert found == {"memory": both, "pids": both}


def test_no_hierarchies() -> None:
    assert hierarchies("", "") == {}


def test_limits_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    """A directory that is no control group is not taken for one, and nothing is left in it."""
    folder = tmp_path / "groups"
    folder.mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "self/mountinfo").write_text(f"26 25 0:23 / {folder} rw - cgroup2 cgroup2 rw\n")
    made = make_cage(Limits(memory_bytes=1, processes=1), proc=tmp_path)
    assert made.unenforced == ("memory", "processes")
    assert made.folders == {}
    assert not made.out_of_memory()
    made.remove()
    assert list(folder.iterdir()) == []
    assert make_cage(Limits(), proc=tmp_path).unenforced == ()


@pytest.mark.parametrize(
    ("said", "settings", "why", "hint"),
    [
        (
            "unshare: unshare failed: No space left on device",
            {"user/max_user_namespaces": "0"},
            "user.max_user_namespaces is 0",
            "sysctl -w user.max_user_namespaces=10000",
        ),
        (
            "unshare: unshare failed: Operation not permitted",
            {"kernel/unprivileged_userns_clone": "0"},
            "kernel.unprivileged_userns_clone is 0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            "unshare: write failed /proc/self/uid_map: Operation not permitted",
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("unshare: unshare failed: Operation not permitted", {}, "user namespaces are forbidden", "in docker"),
        ("mount overlay on /x/root: Invalid argument", {}, "the kernel (", "Linux 5.11"),
        ("mount_setattr of /x/root/dev: Function not implemented", {}, "flags of a mount", "Linux 5.12"),
        ("mount proc on /x/root/proc: Operation not permitted", {}, "itself a container", "systempaths"),
        ("bwrap: Unknown option --perms", {}, "bubblewrap is too old", "0.6"),
        ("something else", {}, "", ""),
    ],
)
def test_diagnosis(said: str, settings: dict[str, str], why: str, hint: str) -> None:
    found = diagnose(said, setting=settings.get)
    assert found[0].startswith(why) or why in found[0]
    assert hint in found[1]


def test_a_hard_limit_that_is_too_low_is_named_with_its_remedy() -> None:
    without, low = resource.RLIM_INFINITY, {resource.RLIMIT_NOFILE: 512, resource.RLIMIT_FSIZE: 1 << 20}
    check_limits(get=lambda number: (1, 1024 if number == resource.RLIMIT_NOFILE else without))
    with pytest.raises(MachineError) as caught:
        check_limits(get=lambda number: (1, low.get(number, without)))
    assert caught.value.what == "the hard limit on open files is 512, and a build needs 1024"
    assert "ulimit -Hn" in caught.value.hint
    del low[resource.RLIMIT_NOFILE]
    with pytest.raises(MachineError, match="a file's size, in bytes is 1048576, and a build needs unlimited"):
        check_limits(get=lambda number: (1, low.get(number, without)))
