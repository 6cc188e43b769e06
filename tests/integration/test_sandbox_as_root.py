"""A writable root and uid 0 inside: what the bases' second stage runs in. On disk all stays the caller's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_box import CALLERS, Box, box

from orchestrator.errors import MachineError
from orchestrator.frozen import replace
from orchestrator.sandbox.spec import Bind, Spec

pytestmark = pytest.mark.integration


@pytest.fixture(params=CALLERS)
def inside(request: pytest.FixtureRequest) -> Iterator[Box]:
    with box(request.param) as made:
        yield made


def root(inside: Box, script: str) -> Spec:
    """A small root of its own kind: the host's programs, bound; the rest can be written."""
    tree = inside.top / "root"
    if not tree.exists():
        shutil.copytree(inside.lower, tree, symlinks=True)
        for name in ("proc", "dev", "tmp", "etc", *(bind.inside.lstrip("/") for bind in inside.binds)):
            (tree / name).mkdir()
        (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/bash\nman:x:6:12::/:/bin/bash\n")
        (tree / "etc/group").write_text("root:x:0:\nman:x:12:\nshadow:x:42:\n")
        inside.own(tree)
    return Spec(
        writable_root=tree,
        binds=tuple(inside.binds),
        command=("/bin/bash", "-c", script),
        environment=(("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),),
        directory="/",
        as_root=True,
    )


def test_it_is_root_without_power(inside: Box) -> None:
    said = inside.run(
        root(inside, "id -u; id -g; grep CapEff /proc/self/status; mount -t tmpfs t /tmp 2>&1; unshare -m true 2>&1")
    )
    assert said.text.split()[:4] == ["0", "0", "CapEff:", "0000000000000000"]
    assert "mount:" in said.text
    assert "unshare failed" in said.text


def test_giving_away_succeeds_and_does_nothing(inside: Box) -> None:
    said = inside.run(
        root(
            inside,
            "set -e; umask 022; echo x >/etc/file; ln -s file /etc/link; "
            "chown man:shadow /etc/file; chown -h 6:12 /etc/link; chgrp 42 /etc/file; "
            "install -o man -g shadow -m 640 /etc/file /etc/other; mkdir -p /var/lib; chmod 2755 /var/lib; "
            "stat -c '%u %g %a' /etc/file /etc/other",
        )
    )
    assert said.outcome.passed, said.text
    assert said.text == "0 0 644\n0 0 640\n"
    owner = inside.top.stat().st_uid
    for path in (inside.top / "root").rglob("*"):
        assert path.lstat().st_uid == owner, path
    assert (inside.top / "root/etc/other").read_text() == "x\n"


def test_becoming_somebody_succeeds_and_does_nothing(inside: Box) -> None:
    said = inside.run(root(inside, "setpriv --reuid 6 --regid 12 --clear-groups id -u"))
    assert said.text == "0\n"


def test_only_its_root_and_tmp_are_written(inside: Box) -> None:
    said = inside.run(root(inside, "echo a >/new; echo b >/tmp/new; echo c >/usr/new; echo d >/dev/new; ls /"))
    assert said.text.count("Read-only file system") == 2
    assert (inside.top / "root/new").read_text() == "a\n"
    assert list((inside.top / "root/tmp").iterdir()) == []


def test_the_hosts_device_nodes_are_safe_from_its_root(inside: Box) -> None:
    before = Path("/dev/null").stat()
    said = inside.run(
        root(inside, "chmod 600 /dev/null; rm -f /dev/null; chown 6 /dev/null; echo still >/dev/null; cat /dev/null")
    )
    after = Path("/dev/null").stat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)
    assert "Permission denied" not in said.text


def test_no_network_there_either(inside: Box) -> None:
    said = inside.run(root(inside, "cut -d: -f1 /proc/net/dev | tail -n +3"))
    assert said.text.split() == ["lo"]


def test_caller_is_who_the_test_says(inside: Box) -> None:
    assert inside.do(os.geteuid) == inside.top.stat().st_uid


@pytest.mark.parametrize("place", ["tmp", "dev", "proc", "build/deep"])
def test_a_link_where_something_is_mounted_is_refused(inside: Box, place: str) -> None:
    """What is mounted there would lie on whatever the link leads to, outside of the root too."""
    spec = root(inside, "echo ran")
    elsewhere = inside.top / "elsewhere"
    elsewhere.mkdir()
    link = inside.top / "root" / place.partition("/")[0]
    if link.exists():
        link.rmdir()
    link.symlink_to(elsewhere)
    inside.own(inside.top)
    binds = (*spec.binds, Bind(host=inside.build, inside=f"/{place}", writable=True)) if "/" in place else spec.binds
    with pytest.raises((MachineError, AssertionError), match=f"nothing can be bound at /{place}"):
        inside.run(replace(spec, binds=binds))
    assert list(elsewhere.iterdir()) == []


def test_missing_mount_points_are_made(inside: Box) -> None:
    spec = root(inside, "echo kept >/var/build/deep/file; ls -d /dev/null /tmp")
    (inside.top / "root/tmp").rmdir()
    binds = (*spec.binds, Bind(host=inside.build, inside="/var/build/deep", writable=True))
    said = inside.run(replace(spec, binds=binds))
    assert said.outcome.passed, said.text
    assert (inside.build / "file").read_text() == "kept\n"
