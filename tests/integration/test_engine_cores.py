"""Which step is started first, and how builds that run at once share the cores: real make and ninja, sandboxed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import BASE, BASE_RECIPE, PACKAGES, REPOSITORY, Project, copy_store, empty_project, unlock

from orchestrator.digest import sha256_file

pytestmark = pytest.mark.integration

TOOLS = ("gcc-12-base", "libgcc-s1", "libstdc++6", "make", "ninja-build")
JOB = 'echo "began $$(date +%s%N)"; sleep 0.25; echo "ended $$(date +%s%N)"'
Jobs = list[tuple[int, int]]  # when each began and ended, in nanoseconds


@pytest.fixture(scope="module")
def maker_store(base_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a base that has make and ninja, those of the real one."""
    directory = tmp_path_factory.mktemp("maker")
    copy_store(base_store, directory / "store")
    project = maker_project(directory)
    cache = os.environ.get("ORCH_TEST_STORE")
    wanted = project.done("source", "ls", "--json").document["sources"]
    files = [Path(cache, "sources/sha256", source["sha256"]) for source in wanted] if cache else []
    there = [str(file) for file in files if file.is_file() and sha256_file(file).hex == file.name]
    if there:
        project.done("source", "add", *there)
    project.done("build", BASE)
    yield project.store
    unlock(project.store)


def maker_project(directory: Path) -> Project:
    project = empty_project(directory / "project", directory / "store")
    packages = sorted([*PACKAGES, *TOOLS])
    project.write(BASE, BASE_RECIPE.replace(json.dumps(PACKAGES), json.dumps(packages)))
    lines = (REPOSITORY / "recipes/debian-build/bookworm.lock").read_text().splitlines()
    header = [f"# packages {' '.join(packages)}" if line.startswith("# packages ") else line for line in lines[:5]]
    debs = [line for line in lines[5:] if line.split(" ")[0] in packages]
    (project.recipe(BASE).parent / "bookworm.lock").write_text("\n".join([*header, *debs]) + "\n")
    return project


@pytest.fixture
def maker(maker_store: Path, tmp_path: Path) -> Iterator[Project]:
    copy_store(maker_store, tmp_path / "store")
    project = maker_project(tmp_path)
    yield project
    unlock(project.store)


def jobs_of(project: Project, name: str) -> Jobs:
    """What the log of a build says of its jobs; that it ran on a jobserver without complaint."""
    lines = project.log(name)
    assert not [line for line in lines if "jobserver" in line], lines
    began, ended = (
        [int(n) for n in re.findall(rf"^{word} (\d+)$", "\n".join(lines), re.M)] for word in ("began", "ended")
    )
    return list(zip(sorted(began), sorted(ended), strict=True))


def most_at_once(jobs: Jobs, since: int = 0) -> int:
    changes = sorted([(began, 1) for began, _ in jobs] + [(ended, -1) for _, ended in jobs])
    running, most = 0, 0
    for moment, change in changes:
        running += change
        most = max(most, running if moment >= since else 0)
    return most


def makes(project: Project, name: str, count: int, command: str = "share-cores make") -> None:
    """A recipe whose build runs `count` jobs of a quarter of a second by make or by ninja."""
    targets = " ".join(f"t{number}" for number in range(count))
    makefile = f"all: {targets}\n{targets}:\n\t@{JOB}\n"
    ninja = f"rule job\n  command = {JOB}\n" + "".join(f"build t{number}: job\n" for number in range(count))
    script = (
        f"cat >Makefile <<'END'\n{makefile}END\ncat >build.ninja <<'END'\n{ninja}END\n"
        f'{command}\nmkdir -p "$OUT/opt/{name}"\necho {name} >"$OUT/opt/{name}/file"'
    )
    project.simple(name, script)


def test_two_makes_share_the_cores_and_the_one_that_is_left_uses_them_all(maker: Project) -> None:
    makes(maker, "few", 4)
    makes(maker, "many", 24)
    maker.done("build", "few", "many", "-j", "2", "--cores", "4")
    few, many = jobs_of(maker, "few"), jobs_of(maker, "many")
    assert (len(few), len(many)) == (4, 24)
    assert most_at_once(few + many) <= 4
    assert most_at_once(many, since=max(ended for _, ended in few)) == 4


def test_a_fixed_share_beside_a_jobserver_is_kept(maker: Project) -> None:
    makes(maker, "fixed", 8, command='echo "cores $ORCH_CORES"; make -j"$ORCH_CORES"')
    makes(maker, "shared", 16)
    maker.done("build", "fixed", "shared", "-j", "2", "--cores", "4")
    fixed, shared = jobs_of(maker, "fixed"), jobs_of(maker, "shared")
    assert most_at_once(fixed + shared) <= 4
    assert "cores 3" in maker.log("fixed")
    assert most_at_once(shared, since=max(ended for _, ended in fixed)) == 4


def test_an_old_ninja_takes_what_is_free(maker: Project) -> None:
    """Ninja 1.11 knows nothing of a jobserver: it would run as many jobs as there are processors, and two more."""
    makes(maker, "lonely", 12, command="share-cores ninja -v")
    maker.done("build", "lonely", "-j", "2", "--cores", "3")
    assert most_at_once(jobs_of(maker, "lonely")) == 3
    makes(maker, "ninja", 12, command="share-cores ninja -v")
    makes(maker, "make", 12)
    maker.done("build", "ninja", "make", "-j", "2", "--cores", "3")
    assert most_at_once(jobs_of(maker, "ninja") + jobs_of(maker, "make")) <= 3


def test_tokens_of_a_build_that_fails_are_not_lost(maker: Project) -> None:
    makes(maker, "bad", 8, command="share-cores make & sleep 0.6; kill -9 $(< /proc/$!/task/$!/children); exit 1")
    makes(maker, "good", 24)
    result = maker.orch("build", "bad", "good", "-j", "2", "--cores", "4", "--keep-going", "--keep-failed")
    assert result.status == 1
    assert most_at_once(jobs_of(maker, "good")[-10:]) == 4
    assert not [path for path in (maker.store / "failed").rglob("*") if path.is_fifo()]


def test_a_build_cannot_lead_orch_out_of_its_directory(maker: Project, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    for name in ("cores-free", "cores-back"):
        (host / name).write_text("precious")
    makes(maker, "link", 1, command=f"share-cores make; mv /build/.orch /build/x; ln -s {host} /build/.orch")
    makes(maker, "folder", 1, command="share-cores make; rm .orch/cores-free; mkdir .orch/cores-free")
    maker.done("build", "link", "folder")
    assert sorted(path.name for path in host.iterdir()) == ["cores-back", "cores-free"]


def test_the_same_bytes_with_and_without_a_jobserver(maker: Project) -> None:
    makes(maker, "same", 3)
    maker.done("build", "same")
    result = maker.done("build", "same", "--rebuild")
    assert "identical again same" in re.sub(" +", " ", result.err)


# -- order ------------------------------------------------------------------------------------------------------------

STEP = 'echo "began $(date +%s%N)"; sleep SECONDS; mkdir -p "$OUT/opt/NAME"; echo NAME > "$OUT/opt/NAME/file" # 1'
SECONDS = {"short": "0.1", "middle": "0.3", "first": "0.2", "second": "0.4"}


def write_steps(project: Project, edit: str) -> None:
    for name, seconds in SECONDS.items():
        script = STEP.replace("SECONDS", seconds).replace("NAME", name).replace("# 1", f"# {edit}")
        project.simple(name, script, build=["first"] if name == "second" else [])


def started(project: Project) -> list[str]:
    """The recipes in the order in which their last builds began."""
    found = {name: next(line for line in project.log(name) if line.startswith("began ")) for name in SECONDS}
    return sorted(found, key=found.__getitem__)


def test_the_longest_path_is_first(project: Project) -> None:
    goals = ("short", "middle", "second")
    write_steps(project, "1")
    plan = project.done("plan", *goals)
    assert "4 to build, time unknown\n" in plan.out.replace("; 1 there already", "")
    project.done("build", *goals, "-j", "1")
    write_steps(project, "2")
    document = project.done("build", "--dry-run", *goals, "-j", "1", "--json").document
    certain = [step for step in document["steps"] if step["action"] == "build" and not step["maybe"]]
    assert {step["name"] for step in certain} == set(SECONDS)
    assert document["expected_seconds"] == pytest.approx(sum(step["expected_seconds"] for step in certain), abs=0.01)
    project.done("build", *goals, "-j", "1")
    assert started(project) == ["first", "second", "middle", "short"]
