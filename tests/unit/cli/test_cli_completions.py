"""What a shell offers when Tab is pressed: in real shells, and what it costs."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from cli_project import REPOSITORY, Cli
from test_cli_startup import WORK, imported

from orchestrator.store import open_store
from orchestrator.store.keep import pin

IMAGE = 'name = "demo"\nsummary = "s"\nversion = "1"\n'


def offered(cli: Cli, line: str) -> list[str]:
    """The words offered for a line that ends where it is being typed."""
    result = cli.run("complete", line)
    assert (result.status, result.err) == (0, "")
    return [row.partition("\t")[0] for row in result.out.splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("orch pla", ["plan"]),
        ("orch --ver", ["--version"]),
        ("orch build ", ["app", "base", "lib", "tool"]),
        ("orch build app ", ["base", "lib", "tool"]),
        ("orch build ap", ["app"]),
        ("orch image ", ["demo"]),
        ("orch lock ", ["app", "base", "lib", "tool", "demo"]),
        ("orch diff d", ["demo"]),
        ("orch build app --keep", ["--keep-going", "--keep-failed"]),
        ("orch source ", ["ls", "fetch", "add", "verify"]),
        ("orch source fetch a", ["app"]),
        ("orch source verify --rep", ["--repair"]),
        ("orch plan app --set ", ["origin=", "cuda=", "app.", "base.", "lib.", "tool."]),
        ("orch plan app --set cuda=", ["cuda=12", "cuda=13"]),
        ("orch plan app --set=cuda=1", ["--set=cuda=12", "--set=cuda=13"]),
        ("orch plan app --set origin=s", ["origin=source"]),
        ("orch plan app --set lib.", ["lib.version=", "lib.fast="]),
        ("orch plan app --set lib.version=", ["lib.version=2.0", "lib.version=1.0", "lib.version=3.0"]),
        ("orch plan app --set lib.fast=", ["lib.fast=off", "lib.fast=on"]),
        ("orch plan app --set nothing.", []),
        ("orch image demo --compression ", ["zstd", "gzip"]),
        ("orch completions f", ["fish"]),
        ("orch build -o ", []),  # a file: the shell's matter
        ("orch new ", []),
        ("orch nothing ", []),
        ("orch build 'ap", []),
    ],
)
def test_what_is_offered(cli: Cli, line: str, words: list[str]) -> None:
    cli.write("recipes/images/demo/image.toml", IMAGE)
    found = offered(cli, line)
    if line == "orch source ":
        assert set(words) <= set(found)  # others may come
    else:
        assert found == words


def test_what_would_mean_something_to_a_shell_is_not_offered(cli: Cli) -> None:
    for name in ("$(touch pwn)", "a;b", "Upper", "tab\tname", "line\nname"):
        (cli.root / "recipes" / name).mkdir()
        (cli.root / "recipes/images" / name).mkdir(parents=True)
    cli.edit("recipes/lib/recipe.toml", "[versions.", '[versions."$(touch pwn)"]\n[versions.')
    assert offered(cli, "orch build ") == ["app", "base", "lib", "tool"]
    assert offered(cli, "orch image ") == []
    assert "lib.version=2.0" in offered(cli, "orch plan app --set lib.version=")
    assert not [word for word in offered(cli, "orch plan app --set lib.version=") if "$" in word]


def test_a_recipe_is_offered_if_it_may_be_called_so() -> None:
    from orchestrator.cli.complete import _NAME
    from orchestrator.recipe.check import NAME

    assert _NAME.pattern == NAME.pattern


def test_what_can_be_unpinned(cli: Cli) -> None:
    assert offered(cli, "orch unpin ") == []
    layout = open_store(cli.store)
    pin(layout, "tool cuda=13", {}, {})
    pin(layout, "gone", {}, {})
    assert offered(cli, "orch unpin ") == ["gone", "tool"]


def test_each_has_a_few_words_about_it(cli: Cli) -> None:
    assert "plan\tsay what a build would do, and why\n" in cli.run("complete", "orch ").out
    assert "lib.fast=\tfaster\n" in cli.run("complete", "orch plan app --set lib.").out


def test_nothing_is_said_where_something_is_wrong(cli: Cli, tmp_path: Path) -> None:
    cli.write("recipes/lib/recipe.toml", "not TOML")
    assert offered(cli, "orch plan app --set lib.") == []
    result = cli.run("complete", "orch build ", cwd=tmp_path)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert cli.run("complete").status == 0


@pytest.mark.parametrize("line", ["orch build a", "orch plan app --set lib.fast="])
def test_it_imports_no_validator(cli: Cli, line: str) -> None:
    assert not imported(cli, "complete", line) & (WORK | {"pydantic", "packaging", "pathlib._local"})


# -- in real shells --------------------------------------------------------------------------------------------------

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    "bash": "source <(orch completions bash)",
    "zsh": "autoload -Uz compinit; compinit -u -D; source <(orch completions zsh)",
    "fish": "orch completions fish | source",
}


class Terminal:
    """A shell on a terminal, in a project, with an `orch` that answers Tab and writes down what else it is asked."""

    def __init__(self, shell: str, cli: Cli, tmp_path: Path) -> None:
        self.asked = tmp_path / "asked"
        self.asked.touch()
        program = tmp_path / "bin/orch"
        program.parent.mkdir()
        start = "from orchestrator.cli.main import entry; entry()"
        program.write_text(
            "#!/bin/sh\n"
            f'case "$1" in comple*) PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -c "{start}" "$@" ;; esac\n'
            f'echo "$*" >> "{self.asked}"\n'
        )
        program.chmod(0o755)
        home = tmp_path / "home"
        home.mkdir()
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "ORCH_STORE": str(cli.store),
            "PS1": "> ",
        }
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(cli.root)
            os.execvpe(START[shell][0], START[shell], environment)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def wait(self, text: str, *, seconds: float = 60) -> None:
        """Until orch was asked this."""
        until = time.monotonic() + seconds
        said = b""
        while text not in self.asked.read_text().splitlines():
            assert time.monotonic() < until, f"orch was asked {self.asked.read_text()!r}, not {text!r}\n{said!r}"
            if select.select([self.terminal], [], [], 0.05)[0]:
                said += os.read(self.terminal, 4096)

    def quiet(self) -> None:
        """Until the shell has said what it has to say."""
        while select.select([self.terminal], [], [], 0.7)[0]:
            os.read(self.terminal, 4096)

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_in_a_shell(shell: str, cli: Cli, tmp_path: Path) -> None:
    assert shutil.which(shell), f"{shell} is not installed: make test installs it"
    terminal = Terminal(shell, cli, tmp_path)
    try:
        terminal.quiet()
        terminal.type(SETUP[shell] + "\r")
        terminal.type("orch ready\r")
        terminal.wait("ready")
        for keys, asked in (
            ("orch build ap\t\r", "build app"),
            ("orch affec\ttoo\t\r", "affected tool"),
            ("orch plan app --set cu\t13\r", "plan app --set cuda=13"),
            ("orch plan app --set lib.fa\ton\r", "plan app --set lib.fast=on"),
            ("orch plan app --set lib.fast=of\t\r", "plan app --set lib.fast=off"),
            ("orch source ver\t--rep\t\r", "source verify --repair"),
            ("orch source add orch.to\t\r", "source add orch.toml"),
        ):
            terminal.quiet()
            for part in keys.replace("\t", "\t\0").split("\0"):  # what is typed after Tab waits for its answer
                terminal.type(part)
                terminal.quiet()
            terminal.wait(asked)
    finally:
        terminal.close()
