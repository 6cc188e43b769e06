"""Help that teaches: every verb says what it is and shows examples, which are command lines that it takes."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_project import Cli

from orchestrator.cli import main
from orchestrator.cli.parser import Parser, fill

VERBS = sorted(main.VERBS)


def parser_of(verb: str) -> Parser:
    module = importlib.import_module(f"orchestrator.cli.{verb}")
    parser = Parser(prog=f"orch {verb}", description=module.__doc__, epilog=getattr(module, "EPILOG", None))
    module.arguments(parser)
    return parser


def all_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A verb's parser and those of its own verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def examples(text: str) -> list[list[str]]:
    """The orch command lines of an epilog, without what is said of them and without what is piped elsewhere."""
    found = []
    for line in text.partition("examples:\n")[2].splitlines():
        if match := re.search(r"\borch (?:(?! {2,}).)*", line):
            command = re.split(r"[|>)]|\"?\$\(", match[0])[0]
            command = command.rstrip()
            found.append(shlex.split(command[:-1] if command.count('"') % 2 else command))
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_what_it_is_and_shows_how(verb: str) -> None:
    whole = parser_of(verb)
    for parser in all_of(whole):
        assert (parser.description or "").strip(), parser.prog
        words = parser.prog.split()
        shown = [*examples(parser.epilog or ""), *examples(whole.epilog or "")]
        assert any(example[: len(words)] == words for example in shown), f"{parser.prog} has no examples"
        for action in parser._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction), (
                f"{parser.prog}: nothing is said of {action.option_strings or action.dest}"
            )


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_are_taken(verb: str) -> None:
    for parser in all_of(parser_of(verb)):
        for words in examples(parser.epilog or ""):
            parser_of(words[1]).parse_args(words[2:])


def test_the_examples_of_the_overview_are_taken() -> None:
    shown = [line.split("   ")[0].split() for line in main.EPILOG.splitlines() if line.startswith("  orch ")]
    assert len(shown) >= 4
    for words in shown:
        parser_of(words[1]).parse_args(words[2:])


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_the_terminal(verb: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    texts = [parser.format_help() for parser in all_of(parser_of(verb))] if verb else [main._overview()]
    if not verb and columns < 80:
        return  # the list of verbs is a line each
    for text in texts:
        for line in text.splitlines():
            is_command = line.startswith("  ") and not re.search(r"\S {2,}\S", line)  # it is not broken
            assert len(line) <= columns or is_command, line


@pytest.mark.parametrize(
    ("text", "width", "filled"),
    [
        ("One two\nthree.\n\nFour.\n", 40, "One two three.\n\nFour."),
        ("One two three four\n", 9, "One two\nthree\nfour"),
        ("examples:\n  orch a    short\n", 40, "examples:\n  orch a    short"),
        ("  orch a      what it is\n  orch bb     more\n", 20, "  orch a   what it\n           is\n  orch bb  more"),
        ("  orch a-long-command   said\n", 20, "  orch a-long-command\n            said"),
    ],
)
def test_fill(text: str, width: int, filled: str) -> None:
    assert fill(text, width) == filled


def test_the_manual_page_is_sound(cli: Cli, tmp_path: Path) -> None:
    page = cli.run("man").out
    for verb in VERBS:
        assert f".SS orch {verb}\n" in page
    # No line of it is taken for a request that is none.
    known = {".TH", ".SH", ".SS", ".P", ".TP", ".B", ".I", ".EX", ".EE"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith(".")} <= known
    mandoc = shutil.which("mandoc")
    assert mandoc, "mandoc is not installed: make test installs it"
    (tmp_path / "orch.1").write_text(page)
    done = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning", str(tmp_path / "orch.1")], capture_output=True, text=True, check=False
    )
    # A date would have to be that of the texts, which nobody keeps.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    read = subprocess.run([mandoc, "-T", "utf8", str(tmp_path / "orch.1")], capture_output=True, text=True, check=True)
    assert "orch build nixl --set cuda=13" in re.sub(".\b", "", read.stdout)
