"""A team's cache as two people use it: one pushes, another's empty store gets it without building."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from image_project import IMAGE, supply, write_image
from projects import BASE, Project, copy_store, empty_project, unlock, write_stack
from team_cache import drop_archives, hang, push, serving, trust
from test_image_small import a_project, wheels

pytestmark = pytest.mark.integration

CLOSURE = {BASE, "rdma", "cuda", "ucx", "fabric", "nixl"}


@pytest.fixture(scope="module")
def cache(stack_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache with the whole stack, and the key that signed it."""
    room = tmp_path_factory.mktemp("cache")
    pusher = empty_project(room / "project", stack_store)
    write_stack(pusher)
    return room / "cache", push(pusher, room / "cache", "nixl", "consumer")


@pytest.fixture
def puller(tmp_path: Path, cache: tuple[Path, str]) -> Iterator[Project]:
    """Another machine: an empty store without any source."""
    project = empty_project(tmp_path / "puller", tmp_path / "puller-store")
    write_stack(project)
    trust(project, cache[1])
    yield project
    unlock(project.store)
    assert not list(project.store.glob("stage/*"))
    assert not list(project.store.glob("sources/partial/*"))


def outcomes(project: Project, *arguments: str) -> dict[str, set[str]]:
    document = project.done("build", *arguments, "--json").document
    return {outcome: set(names) for outcome, names in document["outcomes"].items()}


def test_a_second_machine_builds_nothing(stack: Project, puller: Project, cache: tuple[Path, str]) -> None:
    with serving(cache[0]) as served:
        plan = puller.done("plan", "nixl", "--substitute", served.url, "--json").document
        assert {step["name"] for step in plan["steps"]} == CLOSURE
        assert {step["action"] for step in plan["steps"]} == {"substitute"}
        assert "6 to copy, " in puller.done("plan", "nixl", "--substitute", served.url).out
        did = outcomes(puller, "nixl", "--substitute", served.url)
        assert did == {"copied": CLOSURE}
        assert served.archives == plan["copy_bytes"]  # nothing was moved twice, nothing that is not needed
        asked = len(served.asked)
        assert puller.done("build", "nixl", "--substitute", served.url).out == f"{puller.path('nixl')}\n"
        assert len(served.asked) == asked
    assert puller.object("nixl").name == stack.object("nixl").name
    assert puller.done("plan", "nixl").out.startswith("nixl: nothing to do")
    assert puller.done("plan", "fabric").out.startswith("fabric: 4 there already")


def test_an_input_of_a_build_is_copied_when_something_is_built_with_it(
    puller: Project, cache: tuple[Path, str]
) -> None:
    puller.edit("consumer", "mkdir -p ", "mkdir --parents ")
    did = outcomes(puller, "consumer", "--substitute", str(cache[0]))
    assert did["built"] == {"consumer"}
    assert did["copied"] == {BASE, "rdma", "cuda", "fabric"}
    assert "checked" not in did  # it came out the same, and that has passed its check elsewhere


def test_a_build_whose_inputs_come_out_the_same_is_copied(puller: Project, cache: tuple[Path, str]) -> None:
    """Early cutoff, with what another machine has built."""
    puller.edit("rdma", "mkdir -p ", "mkdir --parents ")
    did = outcomes(puller, "fabric", "--substitute", str(cache[0]))
    assert did["built"] == {"rdma"}
    assert did["copied"] == {BASE, "cuda", "fabric"}


def test_the_project_names_its_caches(puller: Project, cache: tuple[Path, str]) -> None:
    trust(puller, cache[1], substituters=(str(cache[0]),))
    assert "to copy" in puller.done("plan", "nixl").out
    assert "to copy" not in puller.done("plan", "nixl", "--no-substitute").out
    assert outcomes(puller, "rdma") == {"copied": {BASE, "rdma"}}


def test_nobody_trusted_is_an_error_that_says_so(puller: Project, cache: tuple[Path, str]) -> None:
    trust(puller)
    result = puller.orch("plan", "nixl", "--substitute", str(cache[0]))
    assert result.status == 3
    assert "orch.toml: store.trusted_keys" in result.err
    trust(puller, "team-1:nonsense")
    result = puller.orch("plan", "nixl", "--substitute", str(cache[0]))
    assert result.status == 3
    assert "store.trusted_keys[0]" in result.err


# -- a cache is a hint ------------------------------------------------------------------------------------------------


@pytest.fixture
def builder(fresh: Project, cache: tuple[Path, str]) -> Project:
    """Another machine that could build it all by itself."""
    trust(fresh, cache[1])
    return fresh


def test_an_unknown_key_is_a_reason_and_it_is_built(builder: Project, cache: tuple[Path, str]) -> None:
    other = builder.done("cache", "keygen", "else", str(builder.root / "else.key")).out.strip()
    trust(builder, other, substituters=(str(cache[0]),))
    plan = builder.done("plan", "rdma").out
    assert "not substituted: signature by an unknown key 'team-1'" in plan
    assert outcomes(builder, "rdma") == {"built": {BASE, "rdma"}}
    assert "not substituted: tiny-base, rdma: signature by an unknown key 'team-1'" in builder.done("why", "rdma").out


def test_damaged_archives_are_reasons_and_it_is_built(
    builder: Project, cache: tuple[Path, str], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    for path in cache[0].rglob("*"):
        target = damaged / path.relative_to(cache[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            data = bytearray(path.read_bytes())
            if path.suffix == ".zst":
                data[len(data) // 2] ^= 1
            target.write_bytes(data)
    result = builder.done("build", "rdma", "--substitute", str(damaged))
    assert "its archive is not the one that its entry was signed for" in result.err
    assert "built" in result.err
    assert builder.done("plan", "rdma").out.startswith("rdma: nothing to do")


@pytest.mark.parametrize("how", [hang, drop_archives])
def test_a_server_that_hangs_or_drops_is_given_up_on(builder: Project, cache: tuple[Path, str], how: object) -> None:
    with serving(cache[0], how) as served:  # type: ignore[arg-type]
        result = builder.done("build", "rdma", "cuda", "--substitute", served.url)
        assert served.url in result.err or how is hang
        entries = [path for path in served.asked if path.startswith("/keys")]
        archives = [path for path in served.asked if path.startswith("/archives")]
        assert len(entries) == 1 if how is hang else len(set(archives)) <= 3
    history = builder.done("why", "rdma").out
    assert "not substituted" in history
    assert served.url in history


def test_a_server_that_is_gone(builder: Project, cache: tuple[Path, str]) -> None:
    with serving(cache[0]) as served:
        pass
    plan = builder.done("plan", "rdma", "--substitute", served.url).out
    assert "not substituted: http://127.0.0.1" in plan
    assert outcomes(builder, "rdma", "--substitute", served.url) == {"built": {BASE, "rdma"}}


def test_what_is_made_of_an_own_directory_is_not_copied(builder: Project, cache: tuple[Path, str]) -> None:
    own = builder.root / "own"
    own.mkdir()
    (own / "fabric.c").write_text("int fabric(void);\n")
    did = outcomes(builder, "fabric", "--source", f"fabric={own}", "--substitute", str(cache[0]))
    assert did["built"] == {"fabric"}
    assert did["copied"] == {BASE, "rdma", "cuda"}


# -- pushing ----------------------------------------------------------------------------------------------------------


def test_pushing_again_writes_nothing(stack: Project, tmp_path: Path) -> None:
    cache, key = tmp_path / "cache", tmp_path / "k"
    stack.done("cache", "keygen", "k", str(key))
    first = stack.done("cache", "push", str(cache), "nixl", "--key", str(key), "--json").document
    assert {one["name"] for one in first["pushed"]} == CLOSURE
    assert {one["outcome"] for one in first["pushed"]} == {"pushed"}
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    again = stack.done("cache", "push", str(cache), "nixl", "--key", str(key), "--json").document
    assert {one["outcome"] for one in again["pushed"]} == {"there"}
    assert again["bytes"] == again["checks"] == 0
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == before


def test_what_cannot_be_pushed(stack: Project, tmp_path: Path) -> None:
    key = tmp_path / "k"
    stack.done("cache", "keygen", "k", str(key))
    assert key.stat().st_mode & 0o777 == 0o600
    result = stack.orch("cache", "push", "https://example.com/c", "nixl", "--key", str(key))
    assert (result.status, "static files is only read" in result.err) == (2, True)
    result = stack.orch("cache", "push", str(stack.root), "nixl", "--key", str(key))
    assert (result.status, "is not a cache" in result.err) == (2, True)
    result = stack.orch("cache", "push", str(tmp_path / "c"), "nixl", "--set", "cuda=13", "--key", str(key))
    assert (result.status, "orch build nixl" in result.err) == (4, True)
    result = stack.orch("cache", "push", str(tmp_path / "c"), "nixl", "--key", f"{key}.pub")
    assert (result.status, "holds no secret key" in result.err) == (2, True)
    result = stack.orch("cache", "keygen", "k", str(key))
    assert (result.status, "is there already" in result.err) == (2, True)


def test_an_image_takes_its_components_from_the_cache(snake_store: Path, tmp_path: Path) -> None:
    copy_store(snake_store, tmp_path / "store")
    here = a_project(tmp_path / "project", tmp_path / "store")
    both = wheels(tmp_path)
    write_image(here, *both)
    supply(here, *both)
    made = here.done("image", IMAGE, "--json").document
    trust(here, push(here, tmp_path / "cache", "plain"), substituters=(str(tmp_path / "cache"),))
    there = Project(root=here.root, store=tmp_path / "other-store")
    supply(there, *both)
    result = there.done("image", IMAGE, "--json")
    assert result.document["manifest"] == made["manifest"]
    assert "copied          plain" in result.err
    assert "build plain" not in result.err
    for project in (here, there):
        unlock(project.store)
