"""What a build hands back: paths, links; what a dry run foretells; how cores are shared."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from projects import BASE, Project, interval, listing, outcomes

pytestmark = pytest.mark.integration


def test_stdout_is_one_path_a_goal_in_the_order_given(stack: Project) -> None:
    for goals in (("nixl", "consumer", "rdma"), ("rdma", "nixl")):
        result = stack.done("build", *goals)
        paths = [Path(line) for line in result.out.splitlines()]
        assert result.out == "".join(f"{path}\n" for path in paths)
        assert paths == [stack.object(goal) / "tree" for goal in goals]
    assert (paths[0] / "usr/lib/rdma/librdma").read_text() == "rdma 56.1\n"


def test_stdout_has_nothing_else_when_much_is_built(fresh: Project) -> None:
    result = fresh.done("build", "nixl", "consumer")
    assert [Path(line).is_dir() for line in result.out.splitlines()] == [True, True]
    assert "build fabric: install" in result.err.splitlines()
    assert "\x1b" not in result.err


def test_outputs_are_read_only(stack: Project) -> None:
    tree = stack.path("nixl")
    for path in (tree, *tree.rglob("*")):
        assert path.is_symlink() or path.stat().st_mode & 0o222 == 0, path


def test_a_link_is_made_turned_and_survives(stack: Project) -> None:
    link = stack.root / "result"
    twelve = stack.path("cuda", "-o", "result")
    assert link.readlink() == twelve
    before = listing(stack.store / "roots")
    thirteen = stack.path("cuda", "--set", "cuda=13")
    assert link.readlink() == twelve
    assert stack.path("cuda", "--set", "cuda=13", "-o", "result") == thirteen
    assert link.readlink() == thirteen
    assert (link / "usr/local/cuda/version").read_text() == "cuda 13.0 13\n"
    assert set(listing(stack.store / "roots")) == set(before)
    link.unlink()
    assert stack.path("cuda", "-o", str(link)) == twelve
    assert link.readlink() == twelve


def test_a_link_replaces_no_file(stack: Project) -> None:
    precious = stack.root / "result"
    precious.write_text("mine")
    stack.edit("nixl", "mkdir -p ", "mkdir --parents ")
    result = stack.orch("build", "nixl", "-o", "result")
    assert result.status == 2
    assert f"error: {precious} is there already and is no symbolic link" in result.err
    assert precious.read_text() == "mine"
    assert "build nixl ..." not in result.err  # said before the work, not after it
    assert stack.orch("build", "nixl", "consumer", "-o", "other").status == 2


@pytest.mark.parametrize("verb", [("plan",), ("build", "--dry-run")])
def test_a_dry_run_changes_nothing_and_comes_true(fresh: Project, verb: tuple[str, ...]) -> None:
    before = listing(fresh.store)
    document = fresh.done(*verb, "nixl", "consumer", "--json").document
    text = fresh.done(*verb, "nixl", "consumer").out
    assert listing(fresh.store) == before
    assert "7 to build" in text.splitlines()[0]
    assert "3 to check" in text.splitlines()[0]
    steps = {action: {s["name"] for s in document["steps"] if s["action"] == action} for action in ("build", "check")}
    assert not any(step["maybe"] for step in document["steps"])
    assert [source["source"] for source in document["fetch"]] == ["file:fabric-2.1.0.tar"]
    did = outcomes(fresh.done("build", "nixl", "consumer", "--json").document)
    assert {"build": did.built, "check": did.checked} == steps


def test_a_dry_run_of_what_is_there(stack: Project) -> None:
    assert stack.done("plan", "nixl").out.startswith("nixl: nothing to do\n")
    stack.edit("fabric", "mkdir -p ", "mkdir --parents ")
    steps = stack.done("build", "--dry-run", "consumer", "--json").document["steps"]
    reasons = {f"{step['action']} {step['name']}": (step["maybe"], step["reason"]) for step in steps}
    assert reasons["build fabric"] == (False, reasons["build fabric"][1])
    assert "script" in reasons["build fabric"][1]
    assert reasons["build consumer"][0] is True


TIMED = """\
echo "cores $ORCH_CORES"
echo "began $(date +%s%N)"
sleep 0.5
echo "ended $(date +%s%N)"
mkdir -p "$OUT/opt/NAME"
echo NAME > "$OUT/opt/NAME/file"
"""


def timed(project: Project, count: int) -> list[str]:
    names = [f"timed-{number}" for number in range(count)]
    for name in names:
        project.simple(name, TIMED.replace("NAME", name))
    return names


def test_two_builds_run_side_by_side_on_half_the_cores_each(project: Project) -> None:
    names = timed(project, 2)
    project.done("build", *names, "-j", "2", "--cores", "6")
    first, second = (interval(project.log(name)) for name in names)
    assert max(first[0], second[0]) < min(first[1], second[1])
    assert (first[2], second[2]) == (3, 3)


def test_a_build_that_is_alone_gets_all_cores(project: Project) -> None:
    names = timed(project, 2)
    project.done("build", *names, "-j", "1", "--cores", "6")
    first, second = sorted(interval(project.log(name)) for name in names)
    assert first[1] <= second[0]
    assert (first[2], second[2]) == (6, 6)


def test_shares_never_sum_to_more_than_the_cores(project: Project) -> None:
    names = timed(project, 6)
    project.done("build", *names, "-j", "3", "--cores", "4")
    spans = [interval(project.log(name)) for name in names]
    for moment, _, _ in spans:
        running = [cores for began, end, cores in spans if began <= moment < end]
        assert sum(running) <= 4, spans
        assert len(running) <= 3, spans
    assert any(max(a[0], b[0]) < min(a[1], b[1]) for a, b in combinations(spans, 2)), "nothing ran side by side"


def test_fewer_cores_than_jobs_are_fewer_jobs(project: Project) -> None:
    names = timed(project, 2)
    project.done("build", *names, "-j", "8", "--cores", "1")
    first, second = sorted(interval(project.log(name)) for name in names)
    assert first[1] <= second[0]
    assert (first[2], second[2]) == (1, 1)


def test_the_base_is_a_goal_like_any(project: Project) -> None:
    tree = project.path(BASE)
    assert (tree / "usr/bin/sh").readlink() == Path("bash")
    assert not (tree / "build").exists() or not list((tree / "build").iterdir())
