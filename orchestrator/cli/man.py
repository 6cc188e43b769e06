"""Print the manual page orch(1), made of the same texts as --help."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

from orchestrator.cli.opening import add_place_arguments

EPILOG = """\
examples:
  orch man | man -l -                                        read it
  orch man > /usr/local/share/man/man1/orch.1                keep it
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    text = "\n".join(_page()) + "\n"
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("man", {"roff": text})
    else:
        print(text, end="")
    return 0


def _page() -> Iterator[str]:
    from orchestrator import __version__
    from orchestrator.cli.main import EPILOG as OVERVIEW
    from orchestrator.cli.main import GROUPS, SUMMARY

    yield from (f'.TH ORCH 1 "" "orch {__version__}" "User Commands"', ".SH NAME", f"orch \\- {_plain(SUMMARY)}")
    yield from (".SH SYNOPSIS", ".B orch", ".I VERB", "[...]", ".SH DESCRIPTION")
    yield from _prose(OVERVIEW)
    for group, verbs in GROUPS.items():
        yield f".SH {_plain(f'VERBS: {group}').upper()}"
        for verb in verbs:
            yield from _verb(verb)
    yield from (
        ".SH FILES",
        ".TP",
        ".I orch.toml",
        "the project; its directory holds recipes/ and, unless said, store/",
    )
    yield from (".SH ENVIRONMENT", ".TP", ".B ORCH_STORE", "the store, unless \\-\\-store says another")


def _verb(verb: str) -> Iterator[str]:
    from orchestrator.cli.parser import Parser

    module = importlib.import_module(f"orchestrator.cli.{verb}")
    parser = Parser(prog=f"orch {verb}", description=module.__doc__, epilog=getattr(module, "EPILOG", None))
    module.arguments(parser)
    yield f".SS orch {_plain(verb)}"
    yield from list(_parser(parser))[1:]


def _parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A verb's synopsis, what it is, its arguments, those of its own verbs, and its examples."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    yield from (".P", f".B {_plain(usage)}", ".P", *_prose(parser.description or ""))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from _parser(sub)
        elif action.help not in (None, argparse.SUPPRESS) and "--help" not in action.option_strings:
            choices = "|".join(map(str, action.choices or ()))
            value = "" if action.nargs == 0 else f" {action.metavar or choices}"
            label = ", ".join(action.option_strings) + value if action.option_strings else str(action.metavar)
            yield from (".TP", f".B {_plain(label)}", _plain(str(action.help).replace("%%", "%")))
    if parser.epilog:
        yield from (".P", *_prose(parser.epilog))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; lines that begin with spaces, such as examples, are not filled."""
    literal = False
    for line in text.strip("\n").split("\n"):
        if line.strip() and line.startswith("  ") != literal:
            literal = not literal
            yield ".EX" if literal else ".EE"
        yield _plain(line) if line.strip() else ".P"
    if literal:
        yield ".EE"


def _plain(text: str) -> str:
    """`text` as roff prints it: nothing of it is a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text)
