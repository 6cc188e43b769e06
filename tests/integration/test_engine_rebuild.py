"""`--rebuild`: a closure is made again in other surroundings; what differs is named and kept beside the stored one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from projects import BASE, Project, listing

pytestmark = pytest.mark.integration

# What a sandbox cannot hide, by the recipe that embeds it.
LEAKS = {
    "leak-nanoseconds": "date +%N",
    "leak-time": "date +%s%N",
    "leak-cores-given": 'echo "$ORCH_CORES"',
    "leak-kernel": "uname -r",
    "leak-release": "cat /proc/sys/kernel/osrelease",
    "leak-version": "cat /proc/version",
    "leak-chance": "od -An -tx1 -N16 /dev/urandom",
}
if len(os.sched_getaffinity(0)) > 1:  # where there is one processor, none can be taken away
    LEAKS["leak-processors"] = "nproc"
# What it does hide: the same whoever builds, wherever and whenever.
HIDDEN = {
    "same-host": "uname -n; echo $HOSTNAME",
    "same-user": "id -u; id -g; echo $HOME $USER $PWD",
    "same-environment": "env | grep -v ORCH_CORES | sort",
    "same-clock-zone": "date +%Z; echo $SOURCE_DATE_EPOCH",
    "same-umask": "umask; ulimit -n",
    "same-inputs": "ls -a /build /out /tmp; find /usr/bin | sort",
}


def writes(command: str) -> str:
    return f'mkdir -p "$OUT/opt/leak"\n{{ {command}; }} > "$OUT/opt/leak/what"\necho good > "$OUT/opt/leak/good"'


def objects(project: Project) -> dict[str, tuple[int, int, int]]:
    """What is in the store; an object's own directory is dated with its last use."""
    found = listing(project.store / "objects")
    return {path: (*facts[:2], facts[2] if "/" in path else 0) for path, facts in found.items()}


def test_a_good_closure_is_identical_again(stack: Project) -> None:
    before = objects(stack)
    records = {path: path.read_bytes() for path in (stack.store / "realisations").rglob("*") if path.is_file()}
    result = stack.done("build", "nixl", "consumer", "--rebuild")
    told = "identical again "
    said = [line.removeprefix(told).split() for line in result.err.splitlines() if line.startswith(told)]
    assert sorted(words[0] for words in said) == sorted([BASE, "rdma", "cuda", "fabric", "ucx", "nixl", "consumer"])
    assert len(result.out.splitlines()) == 2
    assert objects(stack) == before
    assert not list((stack.store / "failed").iterdir())
    # Nothing was looked for anew: who made an object, and when, stays as it was.
    assert {path: path.read_bytes() for path in (stack.store / "realisations").rglob("*") if path.is_file()} == records
    assert "same bytes" not in result.err
    assert "nothing to do" not in result.err


def test_what_the_sandbox_hides_is_the_same_again(project: Project) -> None:
    for name, command in HIDDEN.items():
        project.simple(name, writes(command).replace("/opt/leak", f"/opt/{name}"))
    project.done("build", *HIDDEN, "--rebuild", "-j", "3", "--cores", "3")


def test_every_leak_is_caught_and_named(project: Project) -> None:
    for name, command in LEAKS.items():
        project.simple(name, writes(command))
    stored = {name: project.path(name) for name in LEAKS}
    before = objects(project)
    result = project.orch("build", *LEAKS, "--rebuild", "--json")
    assert result.status == 5
    error = result.document["error"]
    assert error["code"] == "no"
    assert error["what"].startswith(f"built again, {len(LEAKS)} of {len(LEAKS) + 1} outputs are not the same: ")
    said = dict(part.split(": ", 1) for part in error["where"].split("; "))
    assert set(said) == set(LEAKS)
    for name, text in said.items():
        differences, _, kept = text.removesuffix(")").partition(" (the second tree: ")
        assert differences.startswith("opt/leak/what: content (")
        assert "good" not in differences
        second = Path(kept) / "opt/leak/what"
        assert second.read_bytes() != (stored[name] / "opt/leak/what").read_bytes()
        assert (Path(kept) / "opt/leak/good").read_text() == "good\n"
    assert objects(project) == before
    assert {name: project.path(name) for name in LEAKS} == stored
    assert project.done("log", "leak-time", "--rebuild").out == ""


def test_a_core_count_is_caught_even_if_both_builds_have_one_processor(project: Project) -> None:
    project.simple("leak", writes('echo "$ORCH_CORES"'))
    result = project.orch("build", "leak", "--rebuild", "-j", "1", "--cores", "1")
    assert result.status == 5
    assert "leak: opt/leak/what: content (2 bytes)" in result.err
    assert result.out == ""


def test_a_second_build_that_fails_is_not_the_same(project: Project) -> None:
    # Fails where the kernel calls itself 2.6, as old software does.
    project.simple("picky", writes("[[ $(uname -r) != 2.6.* ]]"))
    result = project.orch("build", "picky", "--rebuild")
    assert result.status == 5
    assert "picky: building picky 1.0 failed (" in result.err
    assert project.path("picky").is_dir()


def test_the_umask_of_who_builds_is_not_seen(project: Project) -> None:
    script = 'mkdir -p "$OUT/opt"\nfind /build / -xdev -printf "%m %p\\n" | sort > "$OUT/opt/modes"'
    project.simple("modes", script)
    project.edit("modes", "[build]\n", '[build]\nfiles = ["some/helper"]\n')
    helper = project.recipe("modes").parent / "some/helper"
    helper.parent.mkdir()
    helper.write_text("helps\n")
    before = os.umask(0o022)
    try:
        project.done("build", "modes")
        os.umask(0o077)
        project.done("build", "modes", "--rebuild")
    finally:
        os.umask(before)
    assert "644 /build/some/helper\n" in (project.path("modes") / "opt/modes").read_text()
