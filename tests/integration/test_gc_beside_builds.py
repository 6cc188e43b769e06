"""Collecting while builders work, and killed at any moment: nothing that anyone needs goes."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from projects import NOTHING, Project, ended, wait_for

pytestmark = pytest.mark.integration

BUILDERS = 8
PART = 'mkdir -p "$OUT/opt/part"; echo "part {0}" > "$OUT/opt/part/{0}"; sleep 0.2'
WHOLE = (
    'sleep 0.3; mkdir -p "$OUT/opt/whole"; cat /opt/part/{0} > "$OUT/opt/whole/{0}"; echo {1} >> "$OUT/opt/whole/{0}"'
)


def write_pair(project: Project, number: int, text: str) -> None:
    """A goal that needs, to be built, what nobody needs afterwards: only its builder keeps that meanwhile."""
    project.simple(f"part{number}", PART.format(number) + f"\n: {text}")
    project.simple(f"whole{number}", WHOLE.format(number, text), build=[f"part{number}"])


def test_eight_builders_never_miss_what_gc_takes(project: Project) -> None:
    for number in range(BUILDERS):
        write_pair(project, number, "first")
    for text in ("second", "third"):
        builders = [project.start("build", f"whole{number}", "--json") for number in range(BUILDERS)]
        while any(builder.poll() is None for builder in builders):
            collected = project.orch("gc", "--json")
            assert collected.status == 0, collected.err
        results = [ended(builder) for builder in builders]
        assert [result.status for result in results] == [0] * BUILDERS, [result.err for result in results]
        for number, result in enumerate(results):
            assert result.document["outcomes"]["built"] == [f"part{number}", f"whole{number}"]
        for number in range(BUILDERS):
            write_pair(project, number, text)


def test_an_orphan_goes_while_a_builder_works_and_what_it_made_stays(project: Project) -> None:
    write_pair(project, 0, "first")
    project.simple("orphan", 'mkdir "$OUT/opt"; echo 1 > "$OUT/opt/orphan"')
    project.simple("failing", "sleep 1; false", build=["orphan"])
    assert project.orch("build", "failing").status == 1  # the orphan is made, no goal needs it
    slow = project.start("build", "whole0")
    gone: list[str] = []
    while slow.poll() is None:
        gone += [one["name"] for one in project.done("gc", "--json").document["removed"]]
    assert ended(slow).status == 0
    assert gone == ["orphan"]


def test_killed_at_any_moment_it_takes_nothing_that_is_kept(project: Project) -> None:
    chance = random.Random(7)
    goals = [f"goal{number}" for number in range(3)]
    for goal in goals:
        project.simple(goal, f'mkdir -p "$OUT/opt"; echo {goal} > "$OUT/opt/{goal}"')
    project.done("build", *goals)
    for number in range(12):
        project.simple("junk", f'mkdir -p "$OUT/opt"; echo {number} > "$OUT/opt/junk"')
        project.simple("failing", "false", build=["junk"])
        assert project.orch("build", "failing").status == 1
        collecting = project.start("gc")
        time.sleep(chance.uniform(0.05, 0.25))
        collecting.send_signal(signal.SIGKILL)
        collecting.communicate()
    assert project.build(*goals) == NOTHING
    project.done("gc")
    assert not list((project.store / "stage").iterdir())
    assert project.done("gc", "--json").document["removed"] == []
    for goal in goals:
        assert (project.path(goal) / "opt" / goal).read_text() == f"{goal}\n"


def test_max_size_that_roots_alone_exceed_is_a_no_with_the_largest_roots(project: Project) -> None:
    project.simple("big", 'mkdir -p "$OUT/opt"; head -c 3000000 /dev/zero > "$OUT/opt/big"')
    project.done("build", "big")
    refused = project.orch("gc", "--max-size", "1MB")
    assert refused.status == 5
    assert "goal big: " in refused.err
    assert project.build("big") == NOTHING


def test_the_floor_frees_what_no_root_keeps_before_a_build(project: Project) -> None:
    project.simple("junk", 'mkdir -p "$OUT/opt"; echo junk > "$OUT/opt/junk"')
    project.simple("failing", "false", build=["junk"])
    assert project.orch("build", "failing").status == 1
    junk = project.object("junk")
    write_pair(project, 0, "first")
    settings = project.root / "orch.toml"
    settings.write_text(f'{settings.read_text()}\n[store]\nkeep_free = "900TB"\n')
    result = project.done("build", "whole0")
    assert "note: freed " in result.err
    assert "less is free than orch.toml's store.keep_free asks for" in result.err
    assert not junk.exists()
    settings.write_text(settings.read_text().replace("900TB", "a lot"))
    refused = project.orch("build", "whole0")
    assert (refused.status, "store.keep_free" in refused.err) == (3, True), refused.err


def test_a_pin_by_name(project: Project) -> None:
    project.simple("lib", 'mkdir -p "$OUT/opt"; echo lib > "$OUT/opt/lib"')
    refused = project.orch("pin", "lib")
    assert (refused.status, "orch build lib" in refused.err) == (2, True)
    project.done("build", "lib")
    project.done("pin", "lib")
    assert project.done("pin").out == "lib\n"
    for record in (project.store / "goals").glob("*.json"):
        record.unlink()
    assert project.done("gc", "--json").document["removed"] == []
    project.done("unpin", "lib")
    assert "lib" in {one["name"] for one in project.done("gc", "--json").document["removed"]}


def test_a_pin_of_what_was_built_for_another_goal(project: Project) -> None:
    project.simple("lib", 'mkdir -p "$OUT/opt"; echo lib > "$OUT/opt/lib"')
    project.simple("app", 'mkdir -p "$OUT/opt"; echo app > "$OUT/opt/app"', build=("lib",))
    project.done("build", "app")
    document = project.done("pin", "lib", "--json").document
    assert "lib" in document["objects"].values()


def test_a_root_that_is_dropped_keeps_nothing(project: Project) -> None:
    project.simple("lib", 'mkdir -p "$OUT/opt"; echo lib > "$OUT/opt/lib"')
    for text in ("one", "two"):
        project.edit("lib", f"echo {'lib' if text == 'one' else 'one'} ", f"echo {text} ")
        project.done("build", "lib")
    refused = project.orch("gc", "--drop", "goal lob")
    assert (refused.status, "goal lib" in refused.err) == (2, True), refused.err
    gone = project.done("gc", "--drop", "goal lib", "--json").document["removed"]
    assert [one["name"] for one in gone].count("lib") == 2
    assert project.build("lib").built == {"lib"}


def test_a_source_that_a_running_build_will_need_stays(project: Project) -> None:
    """It was supplied long ago, nothing that is kept was made of it, and its step has not begun."""
    project.simple("slow", 'sleep 1.5; mkdir -p "$OUT/opt"; echo slow > "$OUT/opt/slow"')
    sha256 = project.tarball("late", "late.tar", {"late-1/file": b"late"})
    source = f'[[versions."1.0".sources]]\nfrom = "file:late.tar"\nsha256 = "{sha256}"'
    project.simple(
        "late", 'mkdir -p "$OUT/opt"; cp "$(find /build -name file)" "$OUT/opt/late"', build=["slow"], extra=source
    )
    project.done("source", "fetch", "late")
    os.utime(project.store / "sources" / "sha256" / sha256, (1, 1))
    (project.recipe("late").parent / "late.tar").unlink()
    building = project.start("build", "late")
    wait_for(lambda: (project.store / "logs" / "slow").is_dir(), seconds=20, what="the first step")
    for _ in range(3):
        project.done("gc")
    result = ended(building)
    assert result.status == 0, result.err


def test_the_floor_leaves_the_builds_own_sources(project: Project) -> None:
    sha256 = project.tarball("lib", "lib.tar", {"lib-1/file": b"lib"})
    source = f'[[versions."1.0".sources]]\nfrom = "file:lib.tar"\nsha256 = "{sha256}"'
    project.simple("lib", 'mkdir -p "$OUT/opt"; cp "$(find /build -name file)" "$OUT/opt/lib"', extra=source)
    project.done("source", "fetch", "lib")
    os.utime(project.store / "sources" / "sha256" / sha256, (1, 1))
    (project.recipe("lib").parent / "lib.tar").unlink()
    settings = project.root / "orch.toml"
    settings.write_text(f'{settings.read_text()}\n[store]\nkeep_free = "900TB"\n')
    project.done("build", "lib")


def test_what_was_just_printed_stays(project: Project) -> None:
    for number in [*range(12), 0]:
        project.simple("lib", f'mkdir -p "$OUT/opt"; echo {number} > "$OUT/opt/lib"')
        place = project.path("lib")
    project.done("gc")
    assert (place / "opt" / "lib").read_text() == "0\n"


def test_gc_makes_no_store(project: Project) -> None:
    refused = project.orch("gc", "--store", str(project.root / "typo"))
    assert (refused.status, "there is no store at" in refused.err) == (2, True)
    assert not (project.root / "typo").exists()
