"""The repository's recipes of the upstream images' versions: what chooses them, what they leave alone, what is known of
their sources."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.graph.derivation import Graph
from orchestrator.graph.options import parse_settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import Project, Recipes, find_project, load_recipes

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = {
    "gdrcopy": ("2.5.1", "2.5.2"),
    "libfabric": ("2.4.0", "2.3.0"),
    "ucx": ("1.21.0", "1.20.0"),
    "nixl": ("1.3.2", "1.2.0"),
}


@cache
def project() -> tuple[Project, Recipes]:
    found = find_project(ROOT)
    return found, load_recipes(found)


def graph(goal: str, *settings: str) -> Graph:
    found, recipes = project()
    parsed = parse_settings(settings, recipes, found.options)
    return resolve(recipes, found.options, (goal,), parsed, "x86_64-linux", allow_unlocked=True)


def versions(graph: Graph) -> dict[str, str]:
    return {name: graph[name].version for name in UPSTREAM if name in graph}


def test_they_are_no_default() -> None:
    assert versions(graph("nixl")) == {"nixl": "1.4.1", "ucx": "1.22.0+nixl1.4.1", "libfabric": "2.1.0"}
    assert versions(graph("libfabric")) == {"libfabric": "2.1.0"}


def test_origin_source_chooses_them_with_gdrcopy() -> None:
    found = graph("nixl", "origin=source", "cuda=13")
    assert versions(found) == {"nixl": "1.3.2", "ucx": "1.21.0", "libfabric": "2.4.0", "gdrcopy": "2.5.2"}
    for name in ("ucx", "libfabric"):
        assert "--with-gdrcopy=/usr/local" in found[name].flags
        assert "gdrcopy" in found[name].build
        assert "gdrcopy" in found[name].runtime
    older = graph("nixl", "nixl.version=1.2.0", "cuda=13")
    assert versions(older) == {"nixl": "1.2.0", "ucx": "1.20.0", "libfabric": "2.3.0", "gdrcopy": "2.5.1"}
    without = graph("ucx", "origin=source", "ucx.gdrcopy=off")
    assert versions(without) == {"ucx": "1.21.0"}
    assert "--without-gdrcopy" in without["ucx"].flags


def test_older_versions_have_nothing_of_it() -> None:
    for name, version in (("ucx", "1.13.1"), ("libfabric", "2.1.0")):
        found = graph(name, f"{name}.version={version}")
        assert "gdrcopy" not in found
        assert not [
            flag
            for flag in found[name].flags
            if "gdrcopy" in flag and flag not in ("--without-gdrcopy", "--with-gdrcopy=no")
        ]
        assert "gdrcopy" not in dict(found[name].options)


def test_nixl_from_source_needs_a_compiler_for_the_device() -> None:
    with pytest.raises(RecipeError, match=r"nixl 1\.3\.2 needs cuda with nvcc: nixl from source compiles device code"):
        graph("nixl", "origin=source", "cuda=12")


@pytest.mark.parametrize("name", UPSTREAM)
def test_what_is_known_of_them_is_said(name: str) -> None:
    """A version is locked exactly if every hash is known, says why it is unproven, and docs/upstream.md says from where
    each hash is."""
    _, recipes = project()
    page = (ROOT / "docs/upstream.md").read_text()
    for version in UPSTREAM[name]:
        entry = recipes[name].versions[version]
        unknown = [source for source in entry.sources if source.sha256 is None and source.tree is None]
        assert entry.locked == (not unknown)
        assert entry.unproven
        for source in entry.sources:
            if source.from_.startswith(("https:", "git:")) and source.sha256 is not None:
                assert source.sha256 in page, source.from_


def test_the_patch_brings_a_program_that_can_be_run(tmp_path: Path) -> None:
    patch = (ROOT / "recipes/ucx/autogen.patch").read_bytes()
    subprocess.run(["patch", "-p1", "--no-backup-if-mismatch"], input=patch, cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["autogen.sh"]
    assert (tmp_path / "autogen.sh").stat().st_mode & 0o111
