"""What could stand next on a command line: for the scripts that `orch completions` prints, on every press of a key.

So it answers from the parsers, from names of directories and, for `--set NAME.`, from the one recipe that is meant. It
imports no validator, reads no more of a store than its pins, and says nothing at all where something is wrong.
"""

# pathlib takes longer to import than the answer
# ruff: noqa: PTH109, PTH112, PTH113, PTH118, PTH120, PTH123
from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

Found = Iterator[tuple[str, str]]  # a word, and a few words about it

# Anything else would be typed into a shell as it stands, and mean something there.
_WORD = re.compile(r"[A-Za-z0-9+._:@%,/=-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9+._-]*")  # as a recipe must be called
_NAMES = {"GOAL", "NAME", "NODE", "IMAGE"}  # what arguments are called that name a recipe or an image
_OF_IMAGES = ("image",)  # verbs whose NAME is an image's
_OF_RECIPES = ("build", "plan", "show")  # and a recipe's; that of all others is either


def complete(line: str) -> Iterator[str]:
    """One candidate a line, with a tab before its text. `line` is the command line up to the cursor."""
    words = _words(line)
    current = words[-1]
    seen = set()
    for word, text in _candidates(words[1:]):
        if word.startswith(current) and word not in seen and _WORD.fullmatch(word):
            seen.add(word)
            yield f"{word}\t{' '.join(text.split())}" if text else word


def _words(line: str) -> list[str]:
    """The words of a line whose last one, perhaps empty, is being typed."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # a quote is still open
        words = line.split()
    return [*words, ""] if not words or line[-1:].isspace() else words


def _candidates(words: Sequence[str]) -> Found:
    from orchestrator.cli.main import VERBS

    if len(words) <= 1:
        yield from VERBS.items()
        yield from (("--help", "what orch can do"), ("--version", "which orch this is"))
        return
    verb, *before, current = words
    if verb not in VERBS:
        return
    parser = _parser(verb)
    while (choices := _subparsers(parser)) is not None:
        chosen = next((word for word in before if word in choices), None)
        if chosen is None:
            yield from ((name, _first_line(choices[name].description)) for name in choices)
            return
        before = before[before.index(chosen) + 1 :]
        parser = choices[chosen]
    yield from _arguments(parser, verb, before, current)


def _parser(verb: str) -> argparse.ArgumentParser:
    import importlib

    from orchestrator.cli.parser import Parser

    module = importlib.import_module(f"orchestrator.cli.{verb}")
    parser = Parser(prog=f"orch {verb}", description=module.__doc__)
    module.arguments(parser)
    return parser


def _subparsers(parser: argparse.ArgumentParser) -> Any:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return found[0].choices if found else None


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _arguments(parser: argparse.ArgumentParser, verb: str, before: Sequence[str], current: str) -> Found:
    options = {name: action for action in parser._actions for name in action.option_strings}
    name, equals, _ = current.partition("=")
    if equals and name.startswith("--"):
        if name in options:
            yield from (
                (f"{name}={word}", text) for word, text in _values(options[name], verb, current[len(name) + 1 :])
            )
        return
    if before and (asked := options.get(before[-1])) is not None and asked.nargs != 0:
        yield from _values(asked, verb, current)
        return
    if current.startswith("-") and "--" not in before:
        yield from ((name, _plain(action)) for name, action in options.items() if name.startswith("--"))
        return
    taken = {word for word in before if not word.startswith("-")}
    for action in parser._actions:
        if not action.option_strings:
            yield from ((word, text) for word, text in _values(action, verb, current) if word not in taken)


def _plain(action: argparse.Action) -> str:
    return "" if action.help in (None, argparse.SUPPRESS) else str(action.help).replace("%%", "%")


def _values(action: argparse.Action, verb: str, current: str) -> Found:
    """What an argument can be; nothing where only the shell knows, such as a file."""
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.dest == "settings":
        yield from _settings(current)
    elif verb == "unpin":
        yield from ((label.partition(" ")[0], "pinned") for label in _pins())
    elif kinds := _NAMES & set(re.split(r"[|_]", str(action.metavar))):
        if verb not in _OF_IMAGES and kinds != {"IMAGE"}:
            yield from ((name, "recipe") for name in _directories("recipes") if name != "images")
        if verb not in _OF_RECIPES and kinds != {"NODE"}:
            yield from ((name, "image") for name in _directories("recipes/images"))


def _settings(current: str) -> Found:
    """`--set OPTION=VALUE`: first the name, then its values."""
    name, equals, _ = current.partition("=")
    recipe, dot, option = name.partition(".")
    if not dot:
        options: dict[str, Any] = {
            "origin": {"values": ["source", "vendor"], "doc": "which versions are preferred"},
            **_toml("orch.toml").get("options", {}),
        }
        for known, table in options.items():
            if not equals:
                yield f"{known}=", str(table.get("doc", ""))
            elif known == name:
                yield from ((f"{known}={value}", "") for value in table.get("values", ()))
        if not equals:
            yield from (
                (f"{known}.", "an option of this recipe") for known in _directories("recipes") if known != "images"
            )
        return
    document = _toml(f"recipes/{recipe}/recipe.toml")
    values = {"version": list(document.get("versions", {}))}
    texts = {"version": "which version of it"}
    for known, table in document.get("options", {}).items():
        values[known], texts[known] = list(table.get("values", ())), str(table.get("doc", ""))
    if equals:
        yield from ((f"{recipe}.{option}={value}", "") for value in values.get(option, ()))
    else:
        yield from ((f"{recipe}.{known}=", texts[known]) for known in values)


def _root() -> str:
    """The project's directory; OSError if there is none."""
    root = os.getcwd()
    while not os.path.isfile(os.path.join(root, "orch.toml")):
        if root == os.path.dirname(root):
            raise FileNotFoundError("orch.toml")
        root = os.path.dirname(root)
    return root


def _directories(place: str) -> list[str]:
    if not os.path.isdir(os.path.join(_root(), place)):
        return []
    with os.scandir(os.path.join(_root(), place)) as entries:
        return sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name) and entry.is_dir())


def _pins() -> list[str]:
    """What is pinned in the store that is meant without --store."""
    import json

    place = os.environ.get("ORCH_STORE")
    place = place or os.path.join(_root(), str(_toml("orch.toml").get("store", {}).get("path", "store")))
    labels = []
    with os.scandir(os.path.join(place, "roots")) as entries:
        for entry in entries:
            if entry.name.startswith("pin-"):
                with open(entry.path, encoding="utf-8") as record:
                    labels.append(str(json.loads(record.readline())["pin"]))
    return sorted(labels)


def _toml(file: str) -> dict[str, Any]:
    import tomllib

    with open(os.path.join(_root(), file), "rb") as text:
        return tomllib.load(text)


def run(arguments: Sequence[str]) -> int:
    """Print the candidates for the command line that is the last of `arguments`."""
    import sys

    try:
        text = "".join(f"{candidate}\n" for candidate in complete(arguments[-1]))
    except Exception:  # whatever is wrong, a key was pressed: the line stays as it is
        return 0
    sys.stdout.write(text)
    return 0
