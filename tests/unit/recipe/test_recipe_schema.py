"""The schemas that editors use: made from the types, described like the docs, and true of every recipe here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.recipe.model import Document
from orchestrator.recipe.parse import parse
from orchestrator.recipe.schema import Kind, schema, undescribed
from orchestrator.recipe.schema_texts import RECIPE

ROOT = Path(__file__).parents[3]
SHA = "ab" * 32
RECIPES = sorted(ROOT.glob("recipes/*/recipe.toml"))
IMAGES = sorted(ROOT.glob("recipes/images/*/image.toml"))


def wrong(kind: Kind, text: str) -> list[str]:
    """Where and what the schema finds wrong in a file's text."""
    found = Draft202012Validator(schema(kind)).iter_errors(tomllib.loads(text))
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("kind", ["recipe", "image"])
def test_the_committed_copy_is_what_is_made(kind: Kind) -> None:
    committed = (ROOT / f"docs/schema/{kind}.json").read_text()
    made = json.dumps(schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert committed == made, f"make it again: orch schema {kind} > docs/schema/{kind}.json"


@pytest.mark.parametrize("kind", ["recipe", "image"])
def test_every_field_has_a_text(kind: Kind) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert undescribed(kind) == [], "say in orchestrator/recipe/schema_texts.py what these fields mean"


@pytest.mark.parametrize("path", [*RECIPES, *IMAGES], ids=lambda path: path.parent.name)
def test_every_recipe_here_passes(path: Path) -> None:
    assert wrong("recipe" if path.name == "recipe.toml" else "image", path.read_text()) == []


RIGHT = f"""\
name = "lib"
[inputs]
build = ["base"]
[options.fast]
default = "off"
[options.fast.values.off]
[options.fast.values.on]
flags = ["--fast"]
[versions."1.0"]
origin = "source"
reads = ["fast"]
requires = [{{ recipe = "a", reason = "b", version = ">=1" }}]
[[versions."1.0".sources]]
from = "https://example.org/lib-1.0.tar.gz"
sha256 = "{SHA}"
size = 5
unpack = ""
when = {{ fast = "on" }}
[runtime]
env = {{ LIB_HOME = "/usr/local/lib" }}
ldconf = ["/usr/local/lib/lib"]
[vendor.build]
script = "true"
[build]
script = "make"
"""


def test_a_right_one_passes_both() -> None:
    assert wrong("recipe", RIGHT) == []
    assert parse(RIGHT, Document, "recipe.toml").name == "lib"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('name = "lib"', "", "$: 'name' is a required property"),
        ('name = "lib"', 'name = "Lib"', "$.name: "),
        ('name = "lib"', 'name = "lib"\nsumary = "x"', "$: Additional properties are not allowed"),
        ('build = ["base"]', 'build = "base"', "$.inputs.build: "),
        ('build = ["base"]', "build = [1]", "$.inputs.build[0]: "),
        ('default = "off"', "", "$.options.fast: 'default' is a required property"),
        ('origin = "source"', 'origin = "sauce"', "$.versions['1.0'].origin: "),
        ('origin = "source"', "", "$.versions['1.0']: 'origin' is a required property"),
        ('reads = ["fast"]', 'flag = ["-x"]', "$.versions['1.0']: Additional properties"),
        ('reason = "b", ', "", "$.versions['1.0'].requires[0]: 'reason' is a required property"),
        ("https://example.org/lib", "ftp://example.org/lib", "$.versions['1.0'].sources[0].from: "),
        ("https://example.org/lib-1.0.tar.gz", "pypi:lib", "$.versions['1.0'].sources[0].from: "),
        (SHA, SHA[1:], "$.versions['1.0'].sources[0].sha256: "),
        ("size = 5", 'size = "5"', "$.versions['1.0'].sources[0].size: "),
        ("size = 5", "size = -5", "$.versions['1.0'].sources[0].size: "),
        ('"/usr/local/lib/lib"', '"lib"', "$.runtime.ldconf[0]: "),
        ("LIB_HOME", '"LIB-HOME"', "$.runtime.env: "),
        ('[vendor.build]\nscript = "true"', '[vendor.build]\nfiles = ["x"]', "$.vendor.build: 'script' is a required"),
        ('[versions."1.0"]', '[versions."1 0"]', "$.versions: "),
    ],
)  # fmt: skip
def test_a_wrong_one_fails(old: str, new: str, where: str) -> None:
    assert old in RIGHT
    text = RIGHT.replace(old, new)
    if old.startswith('[versions."1.0"]'):
        text = text.replace('[[versions."1.0"', '[[versions."1 0"')
    assert [said for said in wrong("recipe", text) if said.startswith(where)], wrong("recipe", text)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('summary = "x"', "", "$: 'summary' is a required property"),
        ('check = "needed"', 'check = "neded"', "$.checks.waive[0].check: "),
        ('glibc = "why"', 'libc = "why"', "$.checks.off: "),
        ("uid = 1000", 'uid = "1000"', "$.config.uid: "),
        ('directories = ["/w"]', 'directories = ["w"]', "$.config.directories[0]: "),
        ('[run]\nscript = "true"', "[run]", "$.run: 'script' is a required property"),
    ],
)
def test_a_wrong_image_fails(old: str, new: str, where: str) -> None:
    right = (
        'name = "i"\nsummary = "x"\nversion = "1"\n[config]\nuid = 1000\ndirectories = ["/w"]\n[checks]\n'
        'off = { glibc = "why" }\n[[checks.waive]]\ncheck = "needed"\nreason = "r"\n[run]\nscript = "true"\n'
    )
    assert wrong("image", right) == []
    assert old in right
    assert [said for said in wrong("image", right.replace(old, new)) if said.startswith(where)]


def test_the_table_of_the_docs_says_the_same() -> None:
    text = (ROOT / "docs/recipes.md").read_text()
    table = text.partition("| field | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table == "\n".join(f"| `{path}` | {meaning} |" for path, meaning in RECIPE.items())
