"""From inside a sandbox: no network, no host, no privilege, nothing to write but the declared places."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sandbox_box import CALLERS, Box, box

from orchestrator.sandbox.spec import Bind

pytestmark = pytest.mark.integration


@pytest.fixture(params=CALLERS)
def inside(request: pytest.FixtureRequest) -> Iterator[Box]:
    with box(request.param) as made:
        yield made


@pytest.fixture
def listener() -> Iterator[tuple[int, int, list[bytes]]]:
    """TCP and UDP on the host's loopback, and what reached them."""
    heard: list[bytes] = []
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        tcp.settimeout(0.2)
        udp.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                for take in (lambda: tcp.accept()[0].recv(9), lambda: udp.recv(9)):
                    try:
                        heard.append(take())
                    except TimeoutError:
                        continue

        thread = threading.Thread(target=listen)
        thread.start()
        yield tcp.getsockname()[1], udp.getsockname()[1], heard
        done.set()
        thread.join()


def test_host_loopback_is_out_of_reach(inside: Box, listener: tuple[int, int, list[bytes]]) -> None:
    tcp, udp, heard = listener
    with socket.create_connection(("127.0.0.1", tcp)) as own, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        own.sendall(b"control")
        datagram.sendto(b"control", ("127.0.0.1", udp))
    said = inside.bash(
        f"(echo leak >/dev/tcp/127.0.0.1/{tcp}) 2>&1; echo tcp $?; echo leak >/dev/udp/127.0.0.1/{udp}; sleep 0.5"
    )
    assert "Connection refused" in said.text
    assert "tcp 1" in said.text
    assert heard.count(b"control") == 2
    assert set(heard) == {b"control"}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="making a network namespace needs root and ip"
)
def test_another_network_namespace_is_out_of_reach(inside: Box) -> None:
    mark = secrets.token_hex(4)  # a namespace's devices go some time after it
    name, near, far = f"orch{mark}", f"oa{mark}", f"ob{mark}"
    try:
        for line in (
            f"netns add {name}",
            f"link add {near} type veth peer name {far} netns {name}",
            f"addr add 198.51.100.1/30 dev {near}",
            f"link set {near} up",
            f"-n {name} addr add 198.51.100.2/30 dev {far}",
            f"-n {name} link set {far} up",
            f"-n {name} link set lo up",
        ):
            made = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
            if made.returncode and not os.environ.get("CI"):
                pytest.skip(f"ip {line}: {made.stderr.strip()}")
            assert made.returncode == 0, made.stderr
        reply = "import socket,sys; s=socket.create_server(('198.51.100.2',7777)); print('up',flush=True); s.accept()"
        with subprocess.Popen(
            ["ip", "netns", "exec", name, shutil.which("python3") or "python3", "-c", reply], stdout=subprocess.PIPE
        ) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"up\n"
                said = inside.bash(
                    "(echo leak >/dev/tcp/198.51.100.2/7777) 2>&1; (echo x >/dev/udp/198.51.100.2/53) 2>&1"
                )
                assert [line.endswith("Network is unreachable") for line in said.lines] == [True] * 4
                assert server.poll() is None
                with socket.create_connection(("198.51.100.2", 7777), timeout=5):
                    pass  # from the host it can be reached
                assert server.wait(5) == 0
            finally:
                server.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_no_names_but_its_own(inside: Box) -> None:
    said = inside.bash(
        "getent hosts example.com; echo $?; getent hosts localhost; hostname; cat /etc/resolv.conf; uname -n"
    )
    assert said.text.split() == ["2", "::1", "localhost", "build", "build"]


def test_interfaces(inside: Box) -> None:
    assert inside.bash("ls /sys /sys/class/net/ /sys/class/net/lo/").text.split() == [
        *("/sys:", "class", "devices"),
        *("/sys/class/net/:", "lo"),
        "/sys/class/net/lo/:",
    ]
    said = inside.bash(
        "cut -d: -f1 /proc/net/dev | tail -n +3; cat /proc/net/route | wc -l; echo x | cat >/dev/tcp/localhost/1"
    )
    assert said.text.split()[:2] == ["lo", "1"]


def test_nothing_of_the_host(inside: Box) -> None:
    os.environ["ORCH_TEST_SECRET"] = "leaked"
    home = os.environ.get("HOME")
    os.environ["HOME"] = "/host/home"  # a place that nothing else in there is called
    try:
        said = inside.bash(
            "env; echo --; ls /; echo --; cat /proc/1/environ | tr '\\0' '\\n'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        )
    finally:
        del os.environ["ORCH_TEST_SECRET"], os.environ["HOME"]
        if home is not None:
            os.environ["HOME"] = home
    environment, top, _ = said.text.split("--\n")
    assert {line.partition("=")[0] for line in environment.split("\n")[:-1]} <= {"PATH", "PWD", "SHLVL", "_"}
    assert not {"home", "root", "mnt", "srv", "var", "work"} & set(top.split())
    assert "leaked" not in said.text
    assert "/host/home" not in said.text
    assert str(inside.top) not in said.text


def test_own_processes_only(inside: Box) -> None:
    said = inside.bash(
        f"ls -d /proc/[0-9]* | wc -l; kill -9 {os.getpid()} 2>&1; kill -0 -- -1 && echo; cat /proc/1/comm"
    )
    count, *rest = said.text.splitlines()
    assert int(count) <= 5
    assert "No such process" in rest[0]
    assert rest[-1] == "bwrap"


def test_whoever_tells_the_status_cannot_be_silenced(inside: Box) -> None:
    said = inside.bash("prlimit --pid 1 --fsize=0:0 2>&1; prlimit --pid $$ --fsize=unlimited; ulimit -S -n 99; exit 3")
    assert said.outcome.status == 3
    assert "Operation not permitted" in said.text


def test_an_input_cannot_be_written(inside: Box) -> None:
    over = inside.top / "over"
    (over / "opt").mkdir(parents=True)
    (over / "opt/input").write_text("input\n")
    inside.own(over)
    tries = (
        *("echo x >/opt/input", "echo x >>/opt/input", "rm /opt/input", "chmod 700 /opt/input", "touch /opt/input"),
        *("mv /opt/input /opt/x", "ln /opt/input /opt/y", "touch /opt/new", "mkdir /new", "chmod 777 /"),
        *("touch /usr/bin/new", "touch /etc/passwd", "touch /run/x", "touch /dev/new", "chmod 600 /dev/null"),
    )
    said = inside.bash("\n".join(f"({line}) 2>&1 && echo DONE" for line in tries), over=(over,))
    assert "DONE" not in said.text
    assert len(said.lines) == len(tries)
    assert [line for line in said.lines if "Read-only file system" not in line] == []
    assert (over / "opt/input").read_text() == "input\n"


def test_the_declared_places_can_be_written(inside: Box) -> None:
    said = inside.bash(
        "for at in /build /out /tmp /dev/shm; do echo $at >$at/file; done; pwd; stat -c %a /tmp /dev/shm; umask"
    )
    assert said.text.split() == ["/build", "1777", "1777", "0022"]
    assert (inside.out / "file").read_text() == "/out\n"
    assert (inside.build / "file").stat().st_uid == inside.top.stat().st_uid
    assert inside.bash("ls /tmp /dev/shm").text.split() == ["/dev/shm:", "/tmp:"]


def test_a_read_only_bind_and_a_file_bind(inside: Box) -> None:
    (inside.top / "note").write_text("note")
    inside.own(inside.top)
    binds = (Bind(host=inside.top / "note", inside="/opt/deep/note"),)
    said = inside.bash("cat /opt/deep/note; echo x >/opt/deep/note", binds=binds)
    assert said.text.startswith("note")
    assert "Read-only file system" in said.text


def test_no_privilege(inside: Box) -> None:
    said = inside.bash(
        "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; id -u; id -g; id -un; "
        "unshare --user true 2>&1; mount -t tmpfs t /build 2>&1; chroot / true 2>&1"
    )
    for line in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{line}:\t0000000000000000" in said.text
    assert "NoNewPrivs:\t1" in said.text
    assert "Seccomp:\t2" in said.text
    assert "\n1000\n1000\nbuild\n" in said.text
    assert "unshare failed" in said.text
    assert "mount: " in said.text
    assert "cannot change root directory" in said.text


def test_devices(inside: Box) -> None:
    said = inside.bash(
        "ls /dev; ls /dev/pts; find /dev -type b; (: </dev/tty) 2>&1; : >/dev/null; head -c1 /dev/zero | od -An -c"
    )
    names = set(said.text.split("\n")[:-1])
    expected = {
        "core",
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    assert expected <= names
    assert [name for name in names - expected if name and "No such device" not in name] == ["  \\0"]


def test_the_kernel_cannot_be_tuned(inside: Box) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    said = inside.bash(
        "for f in $(find /proc -maxdepth 1 -type f) $(find /proc/sys /proc/irq /proc/bus /proc/fs -type f 2>/dev/null)"
        "; do [ -w $f ] && echo writable $f; done; (echo orch >/proc/sys/kernel/core_pattern) 2>&1; "
        "cat /proc/cmdline /proc/partitions /proc/keys; cat /proc/sys/kernel/random/boot_id"
    )
    assert "writable" not in said.text
    assert said.lines[-1] == "0100807f-0000-4000-8000-000000000000"
    assert len(said.lines) == 2
    assert "Read-only file system" in said.lines[0] or "Permission denied" in said.lines[0]
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_only_the_standard_descriptors(inside: Box) -> None:
    with (inside.top / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        said = inside.bash("echo /proc/self/fd/*; readlink /proc/self/fd/0")
    assert said.text.split() == [*(f"/proc/self/fd/{number}" for number in (0, 1, 2, 3)), "/dev/null"]
