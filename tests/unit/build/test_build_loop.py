"""The loop keeps the promises that the engine builds on; where asyncio has the same words, it does the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.build.gate import Gate
from orchestrator.build.loop import Cancelled, Event, Future, Loop, gather, shield

ROOT = Path(__file__).parents[3]


def later(loop: Loop, seconds: float, result: Any = None) -> Future[Any]:
    future: Future[Any] = Future(loop)
    loop.call_later(seconds, lambda: future.done() or future.set_result(result))
    return future


def test_what_is_ready_runs_in_the_order_asked_for() -> None:
    loop, seen = Loop(), []

    async def one(number: int) -> int:
        seen.append(number)
        await later(loop, 0)
        seen.append(-number)
        return number

    async def all_of_them() -> list[int]:
        return await gather(loop, [one(number) for number in (3, 1, 2)])

    assert loop.run(all_of_them()) == [3, 1, 2]
    assert seen == [3, 1, 2, -3, -1, -2]


def test_timers_are_served_by_time() -> None:
    loop, seen = Loop(), []

    async def one(seconds: float) -> None:
        await later(loop, seconds)
        seen.append(seconds)

    async def both() -> None:
        await gather(loop, [one(0.03), one(0.01), one(0.02)])

    loop.run(both())
    assert seen == [0.01, 0.02, 0.03]


def test_the_first_exception_is_raised_and_the_others_go_on() -> None:
    loop, ended = Loop(), []

    async def fails() -> None:
        raise ValueError("first")

    async def goes_on() -> str:
        await later(loop, 0.01)
        ended.append(True)
        return "done"

    async def story() -> list[Any]:
        other = loop.task(goes_on())
        with pytest.raises(ValueError, match="first"):
            await gather(loop, [fails(), other])
        assert not other.done()
        return await gather(loop, [fails(), other, later(loop, 0, 1)], whole=True)

    error, *rest = loop.run(story())
    assert isinstance(error, ValueError)
    assert rest == ["done", 1]
    assert ended == [True]


def test_nothing_to_wait_for_is_there_at_once() -> None:
    loop = Loop()

    async def nothing() -> list[Any]:
        return await gather(loop, [])

    assert loop.run(nothing()) == []


def test_threads_work_beside_each_other_and_no_more_than_allowed() -> None:
    loop, lock = Loop(threads=3), threading.Lock()
    now, most = [0], [0]

    def work(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        if number == 5:
            raise KeyError(number)
        return number

    async def all_of_them() -> list[Any]:
        def job(number: int) -> Future[int]:
            return loop.in_thread(lambda: work(number))

        return await gather(loop, [job(number) for number in range(12)], whole=True)

    results = loop.run(all_of_them())
    assert [one for one in results if isinstance(one, int)] == [0, 1, 2, 3, 4, *range(6, 12)]
    assert isinstance(results[5], KeyError)
    assert most == [3]
    assert threading.active_count() == 1, "run ends its threads"


def test_threads_are_used_again() -> None:
    loop, names = Loop(threads=8), set()

    async def one_after_the_other() -> None:
        for _ in range(20):
            await loop.in_thread(lambda: names.add(threading.get_ident()))

    loop.run(one_after_the_other())
    assert len(names) == 1


def test_cancelling_reaches_what_is_waited_for_but_not_what_is_shielded() -> None:
    loop, seen = Loop(), []

    async def inner(name: str) -> None:
        try:
            await later(loop, 60)
        except Cancelled:
            seen.append(f"{name} cancelled")
            raise

    async def story() -> None:
        safe, unsafe = loop.task(inner("safe")), loop.task(inner("unsafe"))

        async def waits() -> None:
            try:
                await gather(loop, [shield(safe), unsafe])
            finally:
                seen.append("cleaned up")

        outer = loop.task(waits())
        await later(loop, 0.01)
        outer.cancel()
        with pytest.raises(Cancelled):
            await outer
        await later(loop, 0)
        assert outer.cancelled()
        assert unsafe.cancelled()
        assert not safe.done()

    loop.run(story())
    assert sorted(seen) == ["cleaned up", "safe cancelled", "unsafe cancelled"]  # run leaves no task behind


def test_a_task_that_has_not_begun_is_told_at_its_start() -> None:
    loop, seen = Loop(), []

    async def never() -> None:
        seen.append("ran")

    async def story() -> None:
        task = loop.task(never())
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    loop.run(story())
    assert not seen


def test_an_event_wakes_all_and_those_who_come_later() -> None:
    loop, seen = Loop(), []

    async def story() -> None:
        event = Event(loop)

        async def waits(name: str) -> None:
            await event.wait()
            seen.append(name)

        first, second = loop.task(waits("first")), loop.task(waits("second"))
        await later(loop, 0)
        event.set()
        event.set()
        await gather(loop, [first, second, waits("third")])

    loop.run(story())
    assert sorted(seen) == ["first", "second", "third"]


def test_a_reader_is_called_while_there_is_something_to_read() -> None:
    loop, seen = Loop(), []
    read_end, write_end = os.pipe()

    async def story() -> None:
        done = Event(loop)

        def readable(word: str) -> None:
            seen.append((word, os.read(read_end, 1)))
            if len(seen) == 3:
                loop.remove_reader(read_end)
                done.set()

        loop.add_reader(read_end, readable, "word")
        os.write(write_end, b"abcd")
        await done.wait()

    loop.run(story())
    os.close(write_end)
    assert seen == [("word", b"a"), ("word", b"b"), ("word", b"c")]
    assert os.read(read_end, 9) == b"d"
    os.close(read_end)


@pytest.mark.parametrize(
    ("results", "good"), [([], True), ([True, True], True), ([True, False], False), ([True, ValueError()], False)]
)
def test_a_thread_waits_at_a_gate(results: list[bool | Exception], good: bool) -> None:
    loop = Loop(threads=1)

    async def one(result: bool | Exception) -> bool:
        await later(loop, 0.01)
        if isinstance(result, Exception):
            raise result
        return result

    async def story() -> bool:
        gate = Gate(loop, [partial(lambda result: loop.task(one(result)), result) for result in results], after=0.01)
        return await loop.in_thread(gate.wait)

    assert loop.run(story()) is good


def test_a_gate_lets_go_when_the_loop_ends() -> None:
    loop = Loop(threads=1)
    passed: list[bool] = []

    async def story() -> None:
        gate = Gate(loop, [partial(Future, loop)], after=0)
        loop.send(lambda: passed.append(gate.wait()))

    loop.run(story())
    assert passed == [False]


INTERRUPTED = """
import os, signal, sys, threading, time
from orchestrator.build.loop import Loop
loop = Loop(threads=1)
async def story():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await loop.in_thread(lambda: time.sleep(0.3))
    finally:
        print("cleaned up")
before = signal.getsignal(signal.SIGINT)
try:
    loop.run(story())
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is before, threading.active_count())
"""


def test_an_interrupt_lets_the_run_clean_up_and_is_raised_then() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.stdout == "cleaned up\ninterrupted True 1\n", done.stderr


AGAIN = """
import os, signal, threading, time
from orchestrator.build.loop import Loop
loop, seen = Loop(threads=1), []
async def story():
    for seconds in (0.1, 0.2, 0.3):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await loop.in_thread(lambda: time.sleep(0.2))
    finally:
        await loop.in_thread(lambda: time.sleep(0.4))
        seen.append("cleaned up")
try:
    loop.run(story(), again=lambda: seen.append("again"))
except KeyboardInterrupt:
    print(seen)
"""


def test_a_further_interrupt_interrupts_nothing_by_itself() -> None:
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.stdout == "['again', 'again', 'cleaned up']\n", done.stderr


def test_a_task_whose_wait_has_just_ended_is_cancelled_all_the_same() -> None:
    loop, seen = Loop(), []

    async def waits(future: Future[None]) -> None:
        await future
        seen.append("went on")

    async def story() -> None:
        future: Future[None] = Future(loop)
        task = loop.task(waits(future))
        await later(loop, 0)
        future.set_result(None)
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    loop.run(story())
    assert not seen


def test_what_begins_while_the_loop_ends_ends_too() -> None:
    loop, seen = Loop(threads=1), []

    async def late() -> None:
        await loop.in_thread(lambda: seen.append("worked"))

    async def begins_another() -> None:
        try:
            await later(loop, 60)
        finally:
            loop.end_threads()
            loop.task(late())

    async def story() -> None:
        loop.task(begins_another())
        loop.call_later(0.01, lambda: loop.task(late()))
        await loop.in_thread(lambda: None)

    loop.run(story())
    assert not loop.tasks
    assert not seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_are_left_to_the_caller(number: signal.Signals) -> None:
    text = INTERRUPTED.replace("signal.SIGINT)).start", f"{int(number)})).start")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.returncode == -number
