"""Hashes are written into a recipe's text without a change to anything else of it."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RecipeError
from orchestrator.recipe.complete import Pin, complete
from orchestrator.recipe.model import Document
from orchestrator.recipe.parse import parse

SHA, TREE = "ab" * 32, "cd" * 32
TEXT = f'''\
# what lib is
name = "lib"

[versions."1.0"]   # the old one
origin = "source"
locked = false     # until a host answers
sources = [
    {{ from = "https://example.org/a.tar.gz", unpack = "a" }},   # the first
    {{ from = "https://example.org/b.tar.gz", sha256 = "{SHA}" }},
    {{ unpack = "c", from = 'https://example.org/a.tar.gz', when = {{ fast = "on" }} }},
]

[versions.2]
origin = "source"
locked = false
[[versions.2.sources]]
from = "https://example.org/a.tar.gz"
unpack = "a"       # here
[[versions.2.sources]]
  # deeper
  from = "git:https://example.org/c@{"0" * 40}"  # a commit
size = 7

[build]
script = """
locked = false
from = "https://example.org/a.tar.gz"
"""
'''


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def test_entries_of_a_list() -> None:
    new = complete(TEXT, "1.0", {0: Pin(sha256=SHA, size=10), 2: Pin(tree=TREE, size=11)}, "recipe.toml")
    assert changed(TEXT, new) == [
        "-locked = false     # until a host answers",
        "+locked = true     # until a host answers",
        '-    { from = "https://example.org/a.tar.gz", unpack = "a" },   # the first',
        f'+    {{ from = "https://example.org/a.tar.gz", sha256 = "{SHA}", size = 10, unpack = "a" }},   # the first',
        """-    { unpack = "c", from = 'https://example.org/a.tar.gz', when = { fast = "on" } },""",
        f"""+    {{ unpack = "c", from = 'https://example.org/a.tar.gz', tree = "{TREE}", size = 11, """
        'when = { fast = "on" } },',
    ]


def test_tables() -> None:
    new = complete(TEXT, "2", {0: Pin(sha256=SHA, size=10), 1: Pin(tree=TREE, size=99)}, "recipe.toml")
    assert changed(TEXT, new) == [
        "-locked = false",
        "+locked = true",
        f'+sha256 = "{SHA}"',
        "+size = 10",
        f'+  tree = "{TREE}"',
    ]
    assert parse(new, Document, "x").versions["2"].sources[1].size == 7, "what stood there stays"


def test_what_is_still_unknown_keeps_it_unlocked() -> None:
    new = complete(TEXT, "1.0", {0: Pin(sha256=SHA, size=10)}, "recipe.toml")
    assert not parse(new, Document, "x").versions["1.0"].locked
    assert len(changed(TEXT, new)) == 2
    assert complete(complete(TEXT, "2", {}, "x"), "2", {}, "x") == TEXT


def test_nothing_left_to_find_is_locked() -> None:
    text = TEXT.replace(
        "[[versions.2.sources]]\n  # deeper", f'sha256 = "{SHA}"\n[[versions.2.sources]]\nsha256 = "{SHA}"'
    )
    assert changed(text, complete(text, "2", {}, "x")) == ["-locked = false", "+locked = true"]


@pytest.mark.parametrize(
    "spelling",
    [
        r'"from" = "https://example.org/a.tar.gz"',
        r'from = "https://example.org/\u0061.tar.gz"',
    ],
)
def test_a_form_that_is_not_understood_is_left_alone(spelling: str) -> None:
    text = f'name = "lib"\n[versions.1]\norigin = "source"\nlocked = false\n[[versions.1.sources]]\n{spelling}\n'
    with pytest.raises(RecipeError, match="could not be written into its recipe") as raised:
        complete(text, "1", {0: Pin(sha256=SHA, size=10)}, "recipe.toml")
    assert f'https://example.org/a.tar.gz: sha256 = "{SHA}", size = 10' in raised.value.why


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_whatever_the_entries_are(rows: list[tuple[str, bool, bool]]) -> None:
    """Same names, known ones between unknown ones, lists and tables."""
    lists = ", ".join(
        f'{{ from = "file:{name}"{f", sha256 = {SHA!r}" if known else ""}, unpack = "{index}" }}'
        for index, (name, known, _) in enumerate(rows)
    )
    tables = "".join(
        f'[[versions.2.sources]]\nunpack = "{index}"\nfrom = "file:{name}"\n' + (f'sha256 = "{SHA}"\n' if known else "")
        for index, (name, known, _) in enumerate(rows)
    )
    text = (
        f'name = "x"\n[versions.1]\norigin = "source"\nlocked = false\nsources = [{lists}]\n'
        f'[versions.2]\norigin = "source"\nlocked = false\n{tables}'
    )
    pins = {
        index: Pin(tree=f"{index:064x}", size=index)
        for index, (_, known, found) in enumerate(rows)
        if found and not known
    }
    for version in ("1", "2"):
        entries = parse(complete(text, version, pins, "x"), Document, "x").versions[version].sources
        for index, entry in enumerate(entries):
            assert entry.tree == (f"{index:064x}" if index in pins else None)
