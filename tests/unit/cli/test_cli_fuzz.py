"""Whatever a file or a command line holds: an answer or a message, never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_project import FILES, LIB_TEXT, Cli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli.main import run
from orchestrator.errors import OrchError

QUESTIONS = (
    ["plan", "app"],
    ["build", "app", "tool", "--dry-run", "--json"],
    ["list", "--json"],
    ["show", "lib"],
    ["source", "ls"],
)
FILE_NAMES = sorted(FILES)
# Values of every kind that TOML has, at home nowhere; some that would be at home elsewhere.
VALUES = st.sampled_from(
    [
        "1", "-1", "1e400", "nan", "true", '""', '"x"', '"../x"', '"/"', '"base"', '"app"', "[]", "[[]]", '["lib"]',
        '["", "app", "app"]', "{}", '{ cuda = "13" }', '{ app = "1.1" }', "1979-05-27", "07:32:00", '"\\u0000"',
        '"\\uD800"', '[{ recipe = "lib", reason = "r" }]', '[{ recipe = "lib", reason = "r", version = ">=x" }]',
        "9223372036854775808", '"a\\nb"', '"file:lib.txt"', '"https://[::1/x"', '"pypi:a/../b"', '"debian:"',
        '["\\u0000"]', '{ path = "\\u0000" }', '{ path = "~nobody-of-that-name/x" }', '["fix\\u0000.patch"]', '["."]',
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "name", "versions", "options", "inputs", "build", "runtime", "check", "base", "vendor", "source", "origin",
        "when", "reads", "brings", "requires", "locked", "lock", "sources", "from", "sha256", "tree", "unpack", "files",
        "script", "env", "ldconf", "flags", "platforms", "link_only", "setuid", "packages", "suite", '"1.0"', "values",
        "default", "mirrors", "store", "path", "patches", "cuda", "fast",
    ]
)  # fmt: skip


@st.composite
def wrong(draw: st.DrawFn, text: str) -> bytes:
    """A file with something done to it: lines that go, come twice, move or get another value; bytes that change."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 6)):
            case 0:
                lines[at : at + draw(st.integers(1, 4))] = [""]
            case 1:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 2:
                key = lines[at].partition("=")[0] if "=" in lines[at] else draw(KEYS)
                lines[at] = f"{key} = {draw(VALUES)}"
            case 3:
                lines.insert(at, f"{draw(KEYS)} = {draw(VALUES)}")
            case 4:
                lines.insert(at, draw(st.sampled_from(["[{}]", "[[{}]]", '[versions."2.0".{}]'])).format(draw(KEYS)))
            case 5:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.text(max_size=5)) + lines[at][cut:]
            case _:
                data = "\n".join(lines).encode()
                cut = draw(st.integers(0, len(data)))
                return data[:cut] + draw(st.binary(max_size=4)) + data[cut + draw(st.integers(0, 9)) :]
    return "\n".join([*lines, ""]).encode()


@contextlib.contextmanager
def project(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.chdir(before)


def answer(*arguments: str) -> None:
    """Run a command line: a status, an OrchError or help are answers, everything else fails the test."""
    try:
        status = run(list(arguments))
    except OrchError as error:
        assert error.what.strip()
    except SystemExit as end:
        assert end.code == 0
    else:
        assert status in (0, 2, 3, 5)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_file_may_be_wrong(data: st.DataObject, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_STORE", raising=False)  # so that orch.toml says where it is
    for path, text in FILES.items():
        cli.write(path, text)
    (cli.root / "recipes/lib/lib.txt").write_bytes(LIB_TEXT)
    file = data.draw(st.sampled_from(FILE_NAMES), label="file")
    (cli.root / file).write_bytes(data.draw(wrong(FILES[file]), label="content"))
    with project(cli.root):
        for question in QUESTIONS:
            answer(*question)


WORDS = st.one_of(
    st.sampled_from(
        [
            "plan", "list", "show", "log", "source", "ls", "verify", "add", "app", "lib", "base", "tool", "orch.toml",
            "--set", "cuda=13", "cuda", "=", "lib.version=1.0", "lib.version=3.0", "lib.fast=on", "app.version=1.0",
            "origin=vendor", "origin=source", ".=x", "lib.=x", ".version=1", "--json", "--dry-run", "--check", "--path",
            "--repair", "--rebuild", "--store", "--", "-", "--help", "-h", "-j", "0", "8", "-o", "/", "",
            "--set=cuda=12", "--json=1", "--=", "\x00", "a\nb", "recipes",
        ]
    ),
    st.text(st.characters(codec=None, categories=None), max_size=6),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(["plan", "list", "show", "log", "source ls", "source verify", "source add", "frob"]),
       words=st.lists(WORDS, max_size=6))  # fmt: skip
def test_any_command_line_may_be_wrong(verb: str, words: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_STORE", str(cli.store))
    with project(cli.root):
        answer(*verb.split(" "), *words)
        answer("build", "--dry-run", *words)
