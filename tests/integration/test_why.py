"""`orch why` and `orch affected` on a real stack: what is said of a rebuild is what the rebuild then does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image_project import BASE as SNAKE
from image_project import IMAGE, edit_image, made, make_wheel, write_base, write_image
from projects import BASE, Project, copy_store, empty_project, listing, remove, unlock

pytestmark = pytest.mark.integration


def why(project: Project, *words: str) -> Any:
    """What `orch why` says, as data; that it changes nothing is asserted, and that the words come too."""
    before = listing(project.store)
    document = project.done("why", *words, "--json").document
    assert project.done("why", *words).out
    assert listing(project.store) == before
    return document


def causes(document: Any) -> dict[str, list[str]]:
    """What is said of each cause."""
    moved = [*document["moved"], *document["checks"]]
    told = ((one["name"], one["changes"]) for one in moved if one["changes"])
    return {name: [text for change in changes for text in change["text"]] for name, changes in told}


def folded(document: Any) -> dict[str, list[str]]:
    return {one["name"]: one["because"] for one in document["moved"] if one["because"]}


def test_a_flag_is_the_cause_before_and_after_the_rebuild(stack: Project) -> None:
    assert why(stack, "nixl")["done"]
    stack.edit("fabric", '"--enable-efa"', '"--enable-efa", "--with-lanes=4"')
    coming = why(stack, "nixl")
    assert (coming["done"], coming["compared_with"]["same_options"]) == (False, True)
    assert causes(coming) == {"fabric": ["flags: + --with-lanes=4"]}
    assert coming["run"]["build"] == ["fabric"]
    assert {one["name"]: one["because"] for one in coming["checks"]} == {"fabric": ["fabric"], "nixl": ["fabric"]}
    did = stack.build("nixl")
    assert did.built == {"fabric"}
    last = why(stack, "nixl")
    assert last["done"]
    assert causes(last) == causes(coming)
    assert last["compared_with"] == coming["compared_with"]
    assert last["run"]["recorded"]
    assert last["run"]["build"] == ["fabric"]


def test_a_line_of_a_script_is_shown_and_what_it_reaches_is_folded_and_cut_off(stack: Project) -> None:
    why(stack, "consumer")
    stack.edit("rdma", 'mkdir -p "$OUT/usr/lib/rdma"', '# the same bytes\nmkdir -p "$OUT/usr/lib/rdma"')
    coming = why(stack, "consumer")
    assert causes(coming) == {"rdma": ["script line 1 added"]}
    assert folded(coming) == {"fabric": ["rdma"], "consumer": ["rdma"]}
    assert set(coming["run"]["cut_off"]) == {"fabric", "consumer"}
    out = stack.done("why", "consumer").out
    assert "    +# the same bytes\n" in out
    assert "fabric, consumer: because of rdma\n" in out
    assert stack.build("consumer").same == {"fabric", "consumer"}
    last = why(stack, "consumer")
    assert set(last["run"]["cut_off"]) == {"fabric", "consumer"}
    assert set(last["run"]["checks_cut_off"]) == {"fabric", "consumer"}
    assert "check of" not in stack.done("why", "consumer").out
    assert "its check was cut off" in stack.done("why", "consumer", "fabric").out
    assert last["run"]["saved_seconds"] > 0
    assert last["run"]["saved_unknown"] == 0
    assert "cut off then: fabric, consumer: their inputs came out the same" in stack.done("why", "consumer").out


def test_only_what_a_goal_runs_with_or_is_checked_by(stack: Project) -> None:
    stack.edit("fabric", "env = { FABRIC_HOME", 'env = { FABRIC_LOG = "warn", FABRIC_HOME')
    stack.build("nixl")
    stack.edit("fabric", 'FABRIC_LOG = "warn"', 'FABRIC_LOG = "info"')
    found = why(stack, "nixl")
    assert causes(found) == {"fabric": ["environment FABRIC_LOG: warn -> info"]}
    assert [one["kind"] for one in found["moved"]] == ["runtime"]
    assert stack.build("nixl").built == frozenset()
    stack.edit("nixl", 'grep -F "nixl $version"', 'grep -qF "nixl $version"')
    assert causes(why(stack, "nixl")) == {"nixl": ["script line 1 changed"]}
    assert "check of nixl changed:\n" in stack.done("why", "nixl").out
    stack.build("nixl")
    stack.edit("ucx", f'build = ["{BASE}"]\nruntime = ["{BASE}", "rdma"]', f'build = ["{BASE}"]\nruntime = ["{BASE}"]')
    stack.edit("cuda", f'runtime = ["{BASE}"]', f'runtime = ["{BASE}", "hwloc"]')
    stack.simple("hwloc", 'mkdir -p "$OUT/opt"; echo hwloc > "$OUT/opt/hwloc"')
    found = why(stack, "nixl")
    assert causes(found) == {"cuda": ["runtime input hwloc added"]}
    assert [one["name"] for one in found["moved"] if one["kind"] == "new"] == ["hwloc"]
    assert folded(found) == {"fabric": ["cuda"]}


def test_a_plan_is_certain_of_a_check_that_changed(stack: Project) -> None:
    stack.edit("nixl", 'grep -F "nixl $version"', 'grep -qF "nixl $version"')
    (only,) = [step for step in stack.done("plan", "nixl", "--json").document["steps"] if step["action"] != "reuse"]
    assert (only["action"], only["maybe"], only["reason"]) == ("check", False, "check script line 1 changed")
    stack.edit("cuda", "mkdir -p", "mkdir  -p")
    steps = stack.done("plan", "nixl", "--json").document["steps"]
    assert ("check", "nixl", False) in {(step["action"], step["name"], step["maybe"]) for step in steps}
    assert stack.build("nixl").checked == {"nixl"}


def test_not_rebuilt_because(stack: Project) -> None:
    stack.edit("rdma", 'echo "rdma $version"', 'echo "rdma: $version"')
    stack.build("nixl")
    stack.edit("cuda", "The CUDA runtime", "CUDA's runtime")
    future = time.time() + 60
    os.utime(stack.recipe("cuda"), (future, future))
    found = why(stack, "nixl")
    assert found["done"]
    assert {one["name"]: one["newer"] for one in found["not_rebuilt"]} == {"cuda": "recipes/cuda/recipe.toml"}
    one = why(stack, "nixl", "cuda")
    assert (one["rebuilt"], one["newer"]) == (False, "recipes/cuda/recipe.toml")
    assert "cuda 12.9: not rebuilt, because its key is the same" in stack.done("why", "nixl", "cuda").out
    through = why(stack, "nixl", "fabric")
    assert (through["rebuilt"], through["moved"]["because"]) == (True, ["rdma"])
    assert stack.orch("why", "nixl", "consumer").status == 2


def test_other_options_have_a_nearest_success(stack: Project) -> None:
    out = stack.done("why", "nixl", "--set", "cuda=13").out
    assert "nixl: never built with cuda=13; nearest success: with the default options\n" in out
    assert "  version: 12.9 -> 13.0\n" in out
    assert "  option cuda: 12 -> 13\n" in out
    assert "nothing to rebuild" in stack.done("why", "nixl", "--set", "cuda=12").out  # which is the default


def test_what_is_not_recorded_is_unknown(stack: Project) -> None:
    stack.edit("rdma", 'echo "rdma $version"', 'echo "rdma: $version"')
    coming = why(stack, "nixl")
    was = coming["compared_with"]["key"].partition(":")[2]
    for record in (stack.store / "realisations").glob("*.json"):
        if b'"name":"rdma"' in record.read_bytes():
            record.unlink()
    for record in (stack.store / "goals/documents").glob(f"{was}*"):
        record.unlink()
    found = why(stack, "nixl")
    assert {one["name"]: one["kind"] for one in found["moved"]} == {"rdma": "unknown", "fabric": "inputs"}
    assert found["checks_unknown"] == ["nixl"]
    out = stack.done("why", "nixl").out
    assert "unknown: rdma: what they were made of is not recorded" in out
    assert why(stack, "nixl", "rdma")["rebuilt"] is None


def test_what_is_lost_is_said(stack: Project) -> None:
    stack.object("cuda").rename(stack.store / "cuda-away")
    found = why(stack, "nixl")
    assert (found["done"], found["moved"]) == (False, [])
    assert found["lost"] == [{"name": "cuda", "why": "its output is no longer in the store"}]
    assert "nothing changed since its last success" in stack.done("why", "nixl").out
    stack.done("build", "nixl")
    stack.done("build", BASE)
    remove(stack.store / "cuda-away")


def test_affected_is_what_a_rebuild_then_does(stack: Project) -> None:
    found = stack.done("affected", "rdma", "--json").document
    assert (found["edited"], set(found["above"])) == (["rdma"], {"fabric", "consumer"})
    assert set(found["checks"]) == {"fabric", "nixl", "consumer"}
    assert (found["builds"], found["seconds_unknown"]) == (3, 0)
    stack.edit("rdma", 'echo "rdma $version"', 'echo "rdma: $version"')
    did = stack.build("nixl", "consumer")
    assert did.built | did.same == {"rdma", "fabric", "consumer"}
    assert did.checked <= set(found["checks"])
    tarball = stack.done("affected", "recipes/fabric/fabric-2.1.0.tar", "--json").document
    assert tarball["edited"] == ["fabric"]
    assert stack.orch("affected", "nobody").status == 2


@pytest.fixture
def image(snake_store: Path, tmp_path: Path) -> Iterator[Project]:
    """An image of one recipe and one wheel, which is made."""
    copy_store(snake_store, tmp_path / "store")
    project = empty_project(tmp_path / "project", tmp_path / "store")
    write_base(project)
    project.write(
        "plain",
        f'name = "plain"\nsummary = "plain"\n[inputs]\nbuild = ["{SNAKE}"]\nruntime = ["{SNAKE}"]\n'
        '[versions."1.0"]\norigin = "source"\n[build]\n'
        """script = "mkdir -p $OUT/usr/share/plain; echo $version > $OUT/usr/share/plain/version"\n""",
    )
    write_image(project, make_wheel(tmp_path, "one", {"one.py": b"VALUE = 1\n"}))
    made(project)
    yield project
    unlock(project.store)


def test_an_image(image: Project, tmp_path: Path) -> None:
    assert why(image, IMAGE)["done"]
    image.edit("plain", "echo $version >", "echo v$version >")
    found = why(image, IMAGE)
    assert (found["done"], found["image"], found["run"]["build"]) == (False, True, ["plain"])
    assert causes(found) == {"plain": ["script line 1 changed"]}
    assert found["compared_with"]["finished"] is not None
    affected = image.done("affected", "plain", "--json").document["images"]
    assert [(one["components"], one["layers"]) for one in affected] == [(["plain"], ["plain"])]
    made(image)
    last = why(image, IMAGE)
    assert (last["done"], causes(last), last["run"]["build"]) == (True, causes(found), ["plain"])

    write_image(image, make_wheel(tmp_path, "one", {"one.py": b"VALUE = 2\n"}))
    found = why(image, IMAGE)
    kinds = {one["name"]: one["kind"] for one in found["moved"]}
    assert kinds == {"wheel:one": "changed", "bytecode": "inputs"}
    made(image)
    edit_image(image, 'GREETING = "hello"', 'GREETING = "hallo"')
    found = why(image, IMAGE)
    assert (found["done"], found["moved"]) == (False, [])
    assert "which is not recorded" in found["notes"][0]
