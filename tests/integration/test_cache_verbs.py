"""`orch cache` on what was really built: it says what builds did, what they need, and what gc would free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from projects import BASE, Project, write_stack

pytestmark = pytest.mark.integration

CLOSURE = {BASE, "rdma", "cuda", "fabric", "ucx", "nixl"}


def asked(project: Project, *words: str) -> Any:
    return project.done("cache", *words, "--json").document


def test_the_store_is_seen_as_it_was_built(project: Project) -> None:
    write_stack(project)
    project.done("build", "nixl", "consumer")

    entries = {one["name"]: one for one in asked(project, "ls")["entries"]}
    assert set(entries) == CLOSURE | {"consumer"}
    assert entries[BASE]["kind"] == "base"
    assert {name: one["origin"] for name, one in entries.items() if name in ("fabric", "nixl")} == {
        "fabric": "source",
        "nixl": "vendor",
    }
    assert "goal nixl" in entries["fabric"]["kept"]
    for name in entries.keys() - {"ucx"}:  # nixl brings another ucx than it would be by itself
        one = entries[name]
        shown = project.done("show", name, "--json").document
        assert (shown["key"], shown["path"], shown["bytes"]) == (one["key"], one["path"], one["bytes"])
        files = [path for path in Path(one["path"]).rglob("*") if path.is_file() and not path.is_symlink()]
        assert shown["files"] == one["files"] == len(files)

    assert {one["name"] for one in asked(project, "closure", "nixl")["components"]} == CLOSURE
    references = asked(project, "references", "nixl")
    assert references["known"]
    assert {(one["reason"], one["name"]) for one in references["references"]} == {
        ("runtime", "ucx"),
        ("runtime", "fabric"),
        ("build", BASE),
    }
    way = asked(project, "why-depends", "consumer", "rdma")["way"]
    assert [(one["reason"], one["name"]) for one in way] == [("runtime", "fabric"), ("runtime", "rdma")]
    referrers = {(one["reason"], one["name"]) for one in asked(project, "referrers", "fabric")["referrers"]}
    assert referrers == {("runtime", "nixl"), ("runtime", "consumer"), ("build", "consumer")}

    shown = asked(project, "show", "fabric")
    assert {one["name"] for one in shown["inputs"]} == {BASE, "rdma", "cuda"}
    assert all(one["here"] for one in [*shown["inputs"], *shown["runtime"], *shown["sources"]])
    assert shown["log_there"]
    assert shown["checks"]
    assert shown["sandbox"]["kernel"]
    assert project.done("cache", "cat", "fabric", "/usr/local/fabric/flags").out.splitlines() == [
        "--prefix=/usr/local/fabric",
        "--enable-efa",
        "--disable-verbs",
    ]


def test_an_edit_is_a_difference_and_counts_as_hits_and_misses(project: Project) -> None:
    write_stack(project)
    start = asked(project, "stats")
    assert (start["runs"], start["misses"], start["hits"]) == (1, 1, 0)  # the base, which was built
    project.done("build", "consumer")
    first = asked(project, "stats")
    assert (first["runs"], first["unclear_runs"]) == (2, 0)
    built = {one["name"] for one in asked(project, "ls")["entries"]}
    assert (first["misses"], first["hits"]) == (len(built), 1)  # the base was there
    before = asked(project, "show", "fabric")["object"]

    project.edit("fabric", "--enable-efa", "--enable-efa=yes")
    project.done("build", "consumer")
    after = asked(project, "show", "fabric")["object"]
    different = project.orch("cache", "diff", before, after, "--json")
    assert different.status == 5
    assert [one["path"] for one in different.document["changed"]] == ["/usr/local/fabric/flags"]

    second = asked(project, "stats")
    assert second["misses"] == first["misses"] + 2  # fabric and consumer
    assert second["hits"] == first["hits"] + 3  # the base, rdma and cuda
    assert second["spared_seconds"] > first["spared_seconds"] > 0


def test_a_rebuild_is_shown(project: Project) -> None:
    write_stack(project)
    project.done("build", "rdma")
    project.done("build", "rdma", "--rebuild")
    again = asked(project, "show", "rdma")["rebuilds"]
    assert [one["outcome"] for one in again] == ["identical"]
    assert (project.store / again[0]["log"]).is_file()


def test_alone_is_what_gc_frees_without_that_root(project: Project) -> None:
    write_stack(project)
    project.done("build", "nixl", "consumer")
    project.done("gc")
    shares = {one["label"]: one["alone_bytes"] for one in asked(project, "du")["shares"]}
    assert shares["goal consumer"] > 0
    for record in (project.store / "goals").glob("*.json"):
        if '"goal":"consumer"' in record.read_text():
            record.unlink()
    assert asked(project, "du")["unkept_bytes"] == shares["goal consumer"]
    assert [one["name"] for one in asked(project, "ls", "--unkept")["entries"]] == ["consumer"]
    assert project.done("gc", "--json").document["freed_bytes"] == shares["goal consumer"]
    assert {one["name"] for one in asked(project, "ls")["entries"]} == CLOSURE
