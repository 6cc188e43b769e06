"""`orch lock`: what it writes and says; what apt would resolve is made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from cli_project import Cli, InProcess

from orchestrator.errors import RecipeError
from orchestrator.fetch import debian_lock, uv_lock
from orchestrator.recipe import Deb, Lock, PythonLock, Wheel, lock_input
from orchestrator.recipe.image import Python

NEW = Deb(name="libc6", version="2.36-10", path="pool/libc6_2.36-10_amd64.deb", size=2_000_000, sha256="ef" * 32)
MORE = Deb(name="libgcc", version="12", path="pool/libgcc_12_amd64.deb", size=1_000_000, sha256="01" * 32)


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The archives that were asked."""
    asked: list[str] = []

    def lock_base(
        suite: str, packages: Sequence[str], architecture: str, mirror: str, *, made: str, security: str | None = None
    ) -> Lock:
        asked.extend([mirror, security] if security else [mirror])
        suite = f"{suite}-security" if security else suite
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


def test_a_lock_that_cannot_be_written_stays_as_it_was(cli: Cli, in_process: InProcess) -> None:
    cli.mirrors(debian=["http://127.0.0.1:1/debian"])
    lock = cli.root / "recipes/base/base.lock"
    before = lock.read_text()
    (lock.parent / ".base.lock.new").mkdir()  # so that nothing can be written there
    status, out = in_process("lock", "base", "--json")
    assert (status, json.loads(out)["error"]["what"]) == (4, "the lock cannot be written, and is as it was")
    assert lock.read_text() == before


SECURITY = """
[versions.bookworm-security]
origin = "vendor"
locked = false
lock = "security.lock"
"""
IMAGE = """\
name = "small"
summary = "A small image"
version = "1"
[base]
recipe = "base"
[python]
requirements = ["app"]
exclude_newer = "2026-03-05"
"""


def with_security(cli: Cli) -> None:
    recipe = cli.root / "recipes/base/recipe.toml"
    recipe.write_text(recipe.read_text() + SECURITY)


def test_a_security_lock_makes_its_version_usable(cli: Cli, in_process: InProcess, resolved: list[str]) -> None:
    with_security(cli)
    choice = ("build", "lib", "--dry-run", "--set", "base.version=bookworm-security")
    assert in_process(*choice)[0] == RecipeError.exit_status
    cli.mirrors(debian=["http://127.0.0.1:1/debian-security", "http://127.0.0.1:1/debian"])
    status, out = in_process("lock", "base", "--security")
    assert (status, resolved) == (0, ["http://127.0.0.1:1/debian", "http://127.0.0.1:1/debian-security"])
    assert cli.shown(out).startswith("ROOT/recipes/base/security.lock: 2 packages, 3.0 MB, 2 changed\n")
    assert (cli.root / "recipes/base/security.lock").read_text().splitlines()[1] == "# suite bookworm-security"
    assert "2.36-9_amd64" in (cli.root / "recipes/base/base.lock").read_text()  # the suite's own is left alone
    assert in_process(*choice)[0] == 0


def test_without_an_archive_of_security_updates_nothing_is_asked(
    cli: Cli, in_process: InProcess, resolved: list[str]
) -> None:
    with_security(cli)
    cli.mirrors(debian=["http://127.0.0.1:1/debian"])
    assert in_process("lock", "base", "--security") == (4, "")
    assert resolved == []


def test_a_base_whose_lock_is_missing_or_of_other_packages_is_locked(cli: Cli, in_process: InProcess) -> None:
    cli.mirrors(debian=["http://127.0.0.1:1/debian"])
    recipe = cli.root / "recipes/base/recipe.toml"
    recipe.write_text(recipe.read_text().replace('["libc6"]', '["libc6", "libgcc"]'))
    assert in_process("build", "base", "--dry-run")[0] == RecipeError.exit_status
    assert in_process("lock", "base")[0] == 0
    assert in_process("build", "base", "--dry-run")[0] == 0
    (cli.root / "recipes/base/base.lock").unlink()
    assert in_process("lock", "base")[0] == 0


def test_an_image_is_locked_and_the_difference_told(
    cli: Cli, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write("recipes/images/small/image.toml", IMAGE)
    versions = ["1.0"]

    def lock_environment(python: Python, *, made: str, where: str, **how: Any) -> PythonLock:
        assert where == "recipes/images/small/image.toml"
        name = f"app-{versions[-1]}-py3-none-any.whl"
        app = Wheel(name="app", version=versions[-1], file_name=name, size=2_000_000, sha256="ab" * 32)
        return PythonLock(
            python=python.version,
            platform=python.platform,
            exclude_newer=python.exclude_newer,
            input=lock_input(python),
            made=made,
            wheels=(app,),
        )

    monkeypatch.setattr(uv_lock, "lock_environment", lock_environment)
    status, out = in_process("lock", "small")
    path = "ROOT/recipes/images/small/python.lock"
    assert (status, cli.shown(out)) == (0, f"{path}: 1 wheels, 2.0 MB, 1 changed\n  app: absent -> 1.0\n")
    lock = cli.root / "recipes/images/small/python.lock"
    before = lock.stat()
    assert in_process("lock", "small")[0] == 0
    assert lock.stat() == before
    versions.append("1.1")
    status, out = in_process("lock", "small", "--json")
    document = {"schema": 1, "command": "lock", "path": str(lock), "packages": 1, "changes": {"app": ["1.0", "1.1"]}}
    assert (status, json.loads(out)) == (0, {**document})
    assert in_process("lock", "small", "--security")[0] == 2
    assert in_process("lock", "lib")[0] == 2
