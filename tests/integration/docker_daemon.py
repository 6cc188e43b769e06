"""A Docker daemon of a test's own (Debian's docker.io, started by hand): no network, no bridge, its own places."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def docker_daemon() -> Iterator[list[str]]:
    """The beginning of a docker command line that talks to a daemon of this test's own."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None or shutil.which("docker") is None:
        pytest.skip("docker.io is not installed, or this is not root")
    directory = Path(tempfile.mkdtemp(prefix="orch-docker-"))  # short: a socket's path has 107 bytes at most
    socket = f"unix://{directory}/socket"
    options = ("--iptables=false", "--bridge=none", "--ip-forward=false")
    places = ("--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid")
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", "-H", socket, *places, *options], stdout=log, stderr=log)
    try:
        docker = ["docker", "-H", socket]
        until = time.monotonic() + 60
        while subprocess.run([*docker, "info"], capture_output=True, check=False).returncode != 0:
            assert daemon.poll() is None and time.monotonic() < until, (directory / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield docker
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(directory)
