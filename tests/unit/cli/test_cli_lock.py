"""`orch lock`: what it writes and says; what apt would resolve is made up."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cli_project import Cli, InProcess

from orchestrator.fetch import debian_lock
from orchestrator.recipe import Deb, Lock

NEW = Deb(name="libc6", version="2.36-10", path="pool/libc6_2.36-10_amd64.deb", size=2_000_000, sha256="ef" * 32)
MORE = Deb(name="libgcc", version="12", path="pool/libgcc_12_amd64.deb", size=1_000_000, sha256="01" * 32)


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives that were asked."""
    asked: list[str] = []

    def lock_base(suite: str, packages: Sequence[str], architecture: str, mirror: str, *, made: str) -> Lock:
        asked.append(mirror)
        return Lock(suite=suite, architecture=architecture, packages=tuple(packages), made=made, debs=(NEW, MORE))

    monkeypatch.setattr(debian_lock, "lock_base", lock_base)
    return asked


def test_a_new_lock_is_written_and_the_difference_told(cli: Cli, in_process: InProcess, resolved: list[str]) -> None:
    cli.mirrors(debian=["http://127.0.0.1:1/debian"])
    status, out = in_process("lock", "base")
    assert (status, resolved) == (0, ["http://127.0.0.1:1/debian"])
    assert (
        cli.shown(out)
        == """\
ROOT/recipes/base/base.lock: 2 packages, 3.0 MB, 2 changed
  libc6: 2.36-9 -> 2.36-10
  libgcc: absent -> 12
"""
    )
    lock = cli.root / "recipes/base/base.lock"
    assert lock.read_text().endswith(f"libgcc 12 {MORE.path} {MORE.size} {MORE.sha256}\n")
    before = lock.stat()
    status, out = in_process("lock", "base", "--mirror", "http://127.0.0.1:2/debian", "--json")
    assert (status, resolved[1:]) == (0, ["http://127.0.0.1:2/debian"])
    assert json.loads(out) == {"schema": 1, "command": "lock", "path": str(lock), "packages": 2, "changes": {}}
    assert lock.stat() == before  # the same packages: the file is not touched, whatever the day
