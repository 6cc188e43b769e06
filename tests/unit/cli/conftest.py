"""What the command line's tests start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_project import FILES, LIB_TEXT, REPOSITORY, Cli, InProcess

from orchestrator.cli import main


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """base, lib, app on lib, tool alone; nothing is built."""
    cli = Cli(root=tmp_path / "project", store=tmp_path / "store")
    for path, text in FILES.items():
        cli.write(path, text)
    (cli.root / "recipes/lib/lib.txt").write_bytes(LIB_TEXT)
    return cli


@pytest.fixture
def in_process(cli: Cli, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """Runs a command line in this process, which is quicker: its status and its stdout."""
    monkeypatch.chdir(cli.root)
    monkeypatch.setenv("ORCH_STORE", str(cli.store))

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        status = main.exit_status(list(arguments))
        return status, capfd.readouterr().out

    return run


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of orch that nobody edits meanwhile."""
    place = tmp_path_factory.mktemp("code")
    shutil.copytree(REPOSITORY / "orchestrator", place / "orchestrator")
    return place
