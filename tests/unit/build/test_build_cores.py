"""Who gets cores, in which order and how many; tokens that come and go, and that are lost with their holder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from orchestrator.build.core_use import SHARE_CORES, cores_use
from orchestrator.build.cores import Cores, Share, Use
from orchestrator.build.jobserver import GIVE, TAKE, Tokens
from orchestrator.build.loop import Cancelled, Future, Loop, gather
from orchestrator.build.script import build_script
from orchestrator.graph.derivation import Check, LocalFile, Node

T = TypeVar("T")


class Story:
    """The loop of the test that runs."""

    loop: Loop


def run(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    Story.loop = Loop(threads=8)
    return Story.loop.run(story())


async def sleep(seconds: float) -> None:
    woken: Future[None] = Future(Story.loop)
    Story.loop.call_later(seconds, lambda: woken.done() or woken.set_result(None))
    await woken


@pytest.mark.parametrize(("total", "jobs"), [(1, 1), (2, 2), (2, 8), (8, 3), (16, 2)])
def test_shares_never_pass_the_total(total: int, jobs: int) -> None:
    given_out: list[int] = []
    most = [0]

    async def step(cores: Cores, use: Use) -> None:
        async with cores.take(use=use) as share:
            given_out.append(share.cores)
            most[0] = max(most[0], sum(given_out))
            await sleep(0.001)
            given_out.remove(share.cores)

    async def everything() -> None:
        cores = Cores(Story.loop, total=total, jobs=jobs)
        uses: list[Use] = ["share", "one", "tokens", "share"]
        await gather(Story.loop, [step(cores, use) for use in uses * 5])

    run(everything)
    assert 0 < most[0] <= total


def shares(*uses: Use, total: int = 8, jobs: int = 4) -> list[int]:
    """What steps that become ready together are given."""

    async def all_of_them() -> list[int]:
        cores = Cores(Story.loop, total=total, jobs=jobs)
        seen: list[int] = []

        async def step(use: Use) -> None:
            async with cores.take(use=use) as share:
                seen.append(share.cores)
                await sleep(0.01)

        await gather(Story.loop, map(step, uses))
        return seen

    return run(all_of_them)


def test_who_is_alone_gets_all_and_two_share() -> None:
    assert shares("share") == [8]
    assert sorted(shares("share", "share")) == [4, 4]
    assert sorted(shares("share", "one", "share")) == [1, 3, 4]
    assert shares("one") == [1]


def test_the_most_urgent_is_first() -> None:
    async def order() -> list[int]:
        cores = Cores(Story.loop, total=1, jobs=1)
        began: list[int] = []

        async def step(urgency: int) -> None:
            async with cores.take(urgency):
                began.append(urgency)
                await sleep(0)

        await gather(Story.loop, [step(urgency) for urgency in (1, 5, 3, 4, 2)])
        return began

    assert run(order) == [5, 4, 3, 2, 1]


def test_one_that_is_cancelled_while_it_waits_takes_nothing() -> None:
    async def story() -> int:
        cores = Cores(Story.loop, total=2, jobs=1)

        async def step() -> None:
            async with cores.take():
                await sleep(60)

        first, second = Story.loop.task(step()), Story.loop.task(step())
        await sleep(0.01)
        for task in (second, first):
            task.cancel()
            with suppress(Cancelled):
                await task
        async with cores.take() as share:
            return share.cores

    assert run(story) == 2


# -- tokens -----------------------------------------------------------------------------------------------------------


class Client:
    """A build that takes tokens as make does."""

    def __init__(self, share: Share, directory: Path) -> None:
        directory.mkdir()
        assert share.tokens is not None
        share.tokens.place(directory)
        self.free = os.open(directory / TAKE, os.O_RDWR | os.O_NONBLOCK)
        self.back = os.open(directory / GIVE, os.O_RDWR | os.O_NONBLOCK)
        self.held = share.cores

    async def take(self, wanted: int) -> int:
        """All that can be had within some looks; what it has then."""
        for _ in range(12):
            with suppress(BlockingIOError):
                self.held += len(os.read(self.free, wanted - self.held)) if wanted > self.held else 0
            await sleep(0.02)
        return self.held

    async def give(self, count: int) -> None:
        self.held -= os.write(self.back, b"+" * count)
        await sleep(0.1)

    def close(self) -> None:
        os.close(self.free)
        os.close(self.back)


@contextmanager
def client(share: Share, directory: Path) -> Iterator[Client]:
    one = Client(share, directory)
    try:
        yield one
    finally:
        one.close()


def test_tokens_go_where_they_are_wanted(tmp_path: Path) -> None:
    async def story() -> None:
        cores = Cores(Story.loop, total=4, jobs=2)
        async with cores.take(use="tokens") as first:
            with client(first, tmp_path / "a") as a:
                assert await a.take(9) == 4  # alone: all
                waiting = Story.loop.task(second(cores))
                await sleep(0.15)
                await a.give(1)  # the other one begins with it
                assert await a.take(9) == 3
                await a.give(1)  # both want it, and the other has less
                assert await a.take(9) == 2
                await waiting
                assert await a.take(9) == 4  # it ended and had returned nothing

    async def second(cores: Cores) -> None:
        async with cores.take(use="tokens") as share:
            with client(share, tmp_path / "b") as b:
                assert await b.take(9) == 1
                assert await b.take(2) == 2
                await sleep(0.3)

    run(story)


def test_what_nobody_takes_is_given_to_others(tmp_path: Path) -> None:
    async def story() -> None:
        cores = Cores(Story.loop, total=4, jobs=3)
        async with cores.take(use="tokens") as first:
            with client(first, tmp_path / "a"):
                await sleep(0.1)
                async with cores.take(use="tokens") as second:
                    with client(second, tmp_path / "b") as b:
                        assert await b.take(9) == 3
                        assert first.tokens is not None
                        assert first.tokens.granted == 0
                        await b.give(1)
                        async with cores.take(use="share") as third:
                            assert third.cores == 1

    run(story)


def test_a_build_cannot_make_tokens(tmp_path: Path) -> None:
    async def story() -> int:
        cores = Cores(Story.loop, total=3, jobs=1)
        async with cores.take(use="tokens") as share:
            with client(share, tmp_path / "a") as a:
                os.write(a.back, b"+" * 50)
                os.write(a.free, b"+" * 50)
                await sleep(0.2)
        async with cores.take(use="share") as share:
            return share.cores

    assert run(story) == 3


def test_pipes_are_not_made_for_a_step_that_is_over(tmp_path: Path) -> None:
    tokens = Tokens(lambda _: pytest.fail("it is not ready"))
    assert tokens.close() == 0
    tokens.place(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_build_put_in_the_place_of_its_pipes_is_left_alone(tmp_path: Path) -> None:
    """A link, followed by whoever removes the pipes, would have led to files of the host."""
    host, scripts = tmp_path / "host", tmp_path / "build/.orch"
    host.mkdir()
    scripts.mkdir(parents=True)
    for name in (TAKE, GIVE):
        (host / name).write_text("precious")
    tokens = Tokens(lambda _: None)
    tokens.place(scripts)
    scripts.rename(tmp_path / "build/moved")
    scripts.symlink_to(host)
    tokens.remove()
    tokens.close()
    assert sorted(path.name for path in host.iterdir()) == sorted([TAKE, GIVE])
    assert not list((tmp_path / "build/moved").iterdir())


def test_pipes_that_became_directories_do_not_fail_the_build(tmp_path: Path) -> None:
    tokens = Tokens(lambda _: None)
    tokens.place(tmp_path)
    for name in (TAKE, GIVE):
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    tokens.remove()
    tokens.remove()
    assert tokens.close() == 0


# -- the script's side ------------------------------------------------------------------------------------------------


def node(script: str, *, files: tuple[LocalFile, ...] = ()) -> Node:
    return Node(
        name="x", version="1.0", origin="source", platform="x86_64-linux", summary="", builder="script", is_base=False,
        options=(), flags=(), sources=(), patches=(), files=files, script=script, build=(), runtime=(),
    )  # fmt: skip


def test_a_script_says_how_it_uses_cores() -> None:
    helper = LocalFile(name="help.sh", path="help.sh", sha256="00" * 32, executable=True)
    assert cores_use(node("cp -r . $OUT")) == "one"
    assert cores_use(node('make -j"$ORCH_CORES"')) == "share"
    assert cores_use(node("./help.sh", files=(helper,))) == "share"
    assert cores_use(node("share-cores make")) == "tokens"
    assert cores_use(node('make -j"$ORCH_CORES"'), Check(script="true")) == "one"


def test_only_who_shares_cores_sees_how() -> None:
    """What other builds see did not change when this came, so no key has to."""
    assert "cores-free" not in build_script(node('make -j"$ORCH_CORES"'))
    assert "cores-free" in build_script(node(f"{SHARE_CORES} make"))


MAKEFILE = """\
all: 1 2 3 4 5 6 7 8 9 10
1 2 3 4 5 6 7 8 9 10:
\t@mkdir ../run/$@-$$$$; ls ../run | wc -l >>../counts; sleep 0.1; rmdir ../run/$@-$$$$
"""


def test_two_real_makes_never_run_more_than_the_cores_and_the_last_uses_all(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    alone: list[int] = []

    async def one(cores: Cores, name: str, targets: str) -> None:
        directory = tmp_path / name
        (directory / ".orch").mkdir(parents=True)
        (directory / "Makefile").write_text(MAKEFILE)
        text = build_script(node(f"cd {directory}\nshare-cores make {targets}"))
        text = text.replace("/build/.orch/", f"{directory}/.orch/")
        async with cores.take(use="tokens") as share:
            tokens = share.tokens
            assert tokens is not None

            def work() -> None:
                tokens.place(directory / ".orch")
                done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                assert "jobserver" not in done.stderr

            await Story.loop.in_thread(work)
            alone.append(len((tmp_path / "counts").read_text().split()))

    async def both() -> None:
        cores = Cores(Story.loop, total=3, jobs=2)
        await gather(Story.loop, [one(cores, "a", "1 2 3 4"), one(cores, "b", "all")])

    run(both)
    counts = [int(word) for word in (tmp_path / "counts").read_text().split()]
    assert len(counts) == 14
    assert max(counts) == 3
    assert max(counts[alone[0] :]) == 3, "the one that is left uses what the other had"


def test_without_pipes_the_cores_are_those_that_were_given(tmp_path: Path) -> None:
    (tmp_path / "make").write_text('#!/bin/bash\necho "$0" "$@"\n')
    (tmp_path / "make").chmod(0o755)
    script = build_script(node("share-cores make all"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ORCH_CORES": "7"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["all", "-j7"]
