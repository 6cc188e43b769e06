"""Recipes written as TOML, in memory: the graph reads no file, so neither do its tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.graph.derivation import Graph, LocalFile
from orchestrator.graph.options import parse_settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import Deb, GlobalOption, Lock, Recipe
from orchestrator.recipe.check import parts_of
from orchestrator.recipe.model import Document
from orchestrator.recipe.parse import parse

CUDA = GlobalOption(name="cuda", doc="", values=("12", "13"), default="12")
SHA = "ab" * 32
LIBC = Deb(name="libc6", version="2.36", path="pool/l/libc6_2.36_amd64.deb", size=5, sha256="cd" * 32)
LOCKS = {"l": Lock(suite="bookworm", architecture="amd64", packages=("libc6",), made="2026-11-22", debs=(LIBC,))}

BASE = """
[base]
suite = "bookworm"
packages = ["libc6"]
setuid = [{ path = "/usr/bin/su", reason = "asked for" }]
[versions.bookworm]
origin = "vendor"
lock = "l"
"""
PLAIN = """
[inputs]
build = ["builder"]
runtime = ["base"]
[versions.1]
origin = "source"
[build]
script = "make"
"""


def _recipe(name: str, body: str) -> Recipe:
    document = parse(f'name = "{name}"\n{body}', Document, f"recipes/{name}/recipe.toml")
    named = [patch for version in document.versions.values() for patch in version.patches]
    for script in (document.build, document.check):
        named += script.files if script else ()
    files = {n: LocalFile(name=n, sha256=SHA, path=Path("/nowhere") / n) for n in named}
    return Recipe(
        name=name,
        where=f"recipes/{name}/recipe.toml",
        place=f"/project/recipes/{name}",
        summary=document.summary,
        licence=document.licence,
        homepage=document.homepage,
        options=document.options,
        versions=document.versions,
        parts={"source": parts_of(document, "source"), "vendor": parts_of(document, "vendor")},
        base=document.base,
        files=files,
        locks=LOCKS,
    )


@pytest.fixture(scope="session")
def plain() -> str:
    """The body of a recipe with a build base and a runtime base, one version, a script."""
    return PLAIN


@pytest.fixture(scope="session")
def cuda() -> GlobalOption:
    return CUDA


@pytest.fixture(scope="session")
def recipes_of() -> Callable[[Mapping[str, str]], dict[str, Recipe]]:
    """Recipes from bodies by name, with the two bases `builder` and `base` besides."""

    def made(bodies: Mapping[str, str]) -> dict[str, Recipe]:
        return {name: _recipe(name, body) for name, body in {"builder": BASE, "base": BASE, **bodies}.items()}

    return made


@pytest.fixture(scope="session")
def graph_of(recipes_of: Callable[[Mapping[str, str]], dict[str, Recipe]]) -> Callable[..., Graph]:
    """The graph of goals (one text, spaces between) over bodies by name."""

    def resolved(goals: str, bodies: Mapping[str, str], *settings: str, platform: str = "x86_64-linux") -> Graph:
        recipes = recipes_of(bodies)
        parsed = parse_settings(settings, recipes, [CUDA])
        return resolve(recipes, [CUDA], goals.split(), parsed, platform)

    return resolved
