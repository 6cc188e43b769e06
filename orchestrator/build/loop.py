"""Coroutines that wait for each other and for work in threads, run by one thread.

The words and rules are asyncio's, as far as the engine needs them. asyncio itself, with the TLS, sockets, servers and
logging that it brings, takes 25 ms to import: a fifth of all the time that a run takes after one edit.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the one above it makes enumerations of all first
import os
import select
import sys
import threading
import time
from _queue import SimpleQueue  # the module queue has more, and takes longer
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
_Work = Callable[[], Callable[[], None] | None]
_SWITCH = 0.0001  # seconds after which a thread that computes lets another go on; the usual 5 ms is half a small step


class Cancelled(BaseException):
    """A task is to end: raised where it waits."""


class Future(Generic[T]):
    """A result that is there later. Used by the loop's thread alone."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._then: list[Callable[[Future[T]], None]] = []

    def done(self) -> bool:
        """Whether the result is there, or an exception in its place."""
        return self._done

    def cancelled(self) -> bool:
        return isinstance(self._error, Cancelled)

    def result(self) -> T:
        """The result, or the exception raised; only of one that is done."""
        assert self._done
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    def good(self) -> bool:
        """Whether it is done, without an exception, and what it came to is true."""
        return self._done and self._error is None and bool(self._result)

    def set_result(self, result: T) -> None:
        self._end(result, None)

    def set_unless_done(self, result: T) -> None:
        """Set the result, unless whoever waits has given up."""
        if not self._done:
            self.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        self._end(None, error)

    def cancel(self) -> None:
        """Let whoever waits for it be told Cancelled, unless it is done."""
        if not self._done:
            self._end(None, Cancelled())

    def _end(self, result: T | None, error: BaseException | None) -> None:
        assert not self._done
        self._done, self._result, self._error = True, result, error
        for call in self._then:
            self._loop.call_soon(call, self)
        self._then.clear()

    def fail_as(self, other: Future[Any]) -> None:
        """End with the exception of another, which has ended with one."""
        assert other._error is not None
        self.set_exception(other._error)

    def then(self, call: Callable[[Future[T]], None]) -> None:
        """Call with this future, soon, once it is done."""
        if self._done:
            self._loop.call_soon(call, self)
        else:
            self._then.append(call)

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self._done:
            yield self
        return self.result()


class Task(Future[T]):
    """A coroutine that runs; done when it has ended."""

    def __init__(self, loop: Loop, work: Coroutine[Any, Any, T]) -> None:
        super().__init__(loop)
        self._work = work
        self._waits: Future[Any] | None = None
        self._to_cancel = False
        loop.tasks.add(self)
        loop.call_soon(self._step, None)

    def cancel(self) -> None:
        """Raise Cancelled where the coroutine waits; what it waits for is cancelled too."""
        if self._done:
            return
        if self._waits is not None and not self._waits.done():
            self._waits.cancel()
        else:
            self._to_cancel = True

    def _end(self, result: T | None, error: BaseException | None) -> None:
        self._loop.tasks.discard(self)
        super()._end(result, error)

    def _step(self, ended: Future[Any] | None) -> None:
        self._waits = None
        try:
            if self._to_cancel:
                self._to_cancel = False
                waits = self._work.throw(Cancelled())
            else:
                waits = self._work.send(None)  # the future that it waited for knows its own result
        except StopIteration as end:
            self._end(end.value, None)
        except (KeyboardInterrupt, SystemExit) as error:
            self._end(None, error)
            raise
        except BaseException as error:
            self._end(None, error)
        else:
            self._waits = waits
            waits.then(self._step)
            if self._to_cancel:
                self._to_cancel = False
                waits.cancel()


class Event:
    """Something that happens once."""

    def __init__(self, loop: Loop) -> None:
        self._future: Future[None] = Future(loop)

    def set(self) -> None:
        self._future.set_unless_done(None)

    async def wait(self) -> None:
        if not self._future.done():
            await shield(self._future)


class Loop:
    """Runs coroutines until the first of them has ended, and work in at most `threads` threads."""

    def __init__(self, threads: int = 1) -> None:
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._last: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()  # when nothing else is ready
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._poll = select.poll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.POLLIN)
        self._others: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()  # asked for by other threads
        self._interrupts = 0
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()  # of the two above
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self.tasks: set[Task[Any]] = set()  # that have not ended
        self.ending = False

    # -- for whoever runs it ---------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T], *, again: Callable[[], object] = lambda: None) -> T:
        """The result of `work`, once it and all threads have ended. Ctrl-C cancels it, so that it can clean up, and is
        raised when it has; `again` is called for each that comes meanwhile. It may not raise: what it would interrupt
        is half done."""
        sys.setswitchinterval(_SWITCH)
        task = Task(self, work)
        before = signal.getsignal(signal.SIGINT)
        catches = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()

        def interrupt(number: int, frame: object) -> None:
            self._interrupts += 1
            if self._interrupts == 1:
                self.call_from_thread(task.cancel)
            else:
                again()

        if catches:
            signal.signal(signal.SIGINT, interrupt)
        cancelled: set[Task[Any]] = set()
        try:
            while not task.done():
                self._turn()
        finally:
            self._timers.clear()
            while self.tasks:  # one that ends may begin others
                for left in self.tasks - cancelled:
                    left.cancel()
                cancelled |= self.tasks
                self._turn()
            self.end_threads()
            if catches:
                signal.signal(signal.SIGINT, before)
            os.close(self._wake)
        if task.cancelled() and self._interrupts:
            raise KeyboardInterrupt
        return task.result()

    def end_threads(self) -> None:
        """Wait until all work in threads has ended, and take no more. No gate opens any more."""
        self.ending = True
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _turn(self) -> None:
        timeout: float | None = None
        if self._ready or self._last:
            timeout = 0
        elif self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) * 1000
        if timeout != 0 or self._readers or self._others:
            for number, _ in self._poll.poll(timeout):
                if number == self._wake:
                    os.eventfd_read(self._wake)
                elif number in self._readers:
                    self._ready.append(self._readers[number])
        while self._others:
            self._ready.append(self._others.popleft())
        while self._timers and self._timers[0][0] <= time.monotonic():
            self._ready.append((heappop(self._timers)[2], ()))
        if not self._ready:
            self._ready, self._last = self._last, self._ready
        for _ in range(len(self._ready)):  # what these make ready is for the next turn
            call, arguments = self._ready.popleft()
            call(*arguments)

    # -- for what runs in it ---------------------------------------------------------------------------------------

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call in the next turn, after all that was asked for before."""
        self._ready.append((call, arguments))

    def call_last(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call when all that is ready now, and all that becomes ready by it, has been done."""
        self._last.append((call, arguments))

    def call_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call when so much time has passed."""
        heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call))

    def call_from_thread(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call soon, in the loop's thread; may be asked for by any thread, and by a handler of signals."""
        self._others.append((call, arguments))
        os.eventfd_write(self._wake, 1)

    def add_reader(self, descriptor: int, call: Callable[..., object], *arguments: Any) -> None:
        """Call whenever there is something to read."""
        self._readers[descriptor] = call, arguments
        self._poll.register(descriptor, select.POLLIN)

    def remove_reader(self, descriptor: int) -> None:
        if self._readers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def task(self, work: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a coroutine beside the others."""
        return Task(self, work)

    def in_thread(self, work: Callable[[], T]) -> Future[T]:
        """Do blocking work in a thread. To cancel the future ends the wait, not the work."""
        future: Future[T] = Future(self)

        def end(result: T | None, error: BaseException | None) -> None:
            if not future.done():
                future._end(result, error)

        def do() -> Callable[[], None]:
            try:
                result = work()
            except BaseException as error:
                return partial(self.call_from_thread, end, None, error)
            return partial(self.call_from_thread, end, result, None)

        if self.ending:
            future.cancel()
        else:
            self.send(do)
        return future

    def send(self, work: _Work) -> None:
        """Do blocking work, which raises nothing, in a thread. What it returns is called when the thread is free again:
        whoever is told so finds it free."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._limit:
                self._threads.append(threading.Thread(target=self._serve, name="step", daemon=True))
                self._threads[-1].start()
        self._work.put(work)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            tell = work()
            with self._lock:
                self._idle += 1
            if tell is not None:
                tell()


async def _plain(wait: Awaitable[T]) -> T:
    return await wait


def _futures(loop: Loop, waits: Iterable[Awaitable[Any]]) -> list[Future[Any]]:
    return [one if isinstance(one, Future) else loop.task(_plain(one)) for one in waits]


class _Gathered(Future[list[Any]]):
    """What `gather` waits for."""

    def __init__(self, loop: Loop, parts: list[Future[Any]], whole: bool) -> None:
        super().__init__(loop)
        self._parts = parts
        self._whole = whole
        self._left = len(parts)
        if not parts:
            self.set_result([])
        for part in parts:
            part.then(self._part_ended)

    def _part_ended(self, part: Future[Any]) -> None:
        self._left -= 1
        if self._done:
            return
        if part._error is not None and not self._whole:
            self.set_exception(part._error)
        elif not self._left:
            self.set_result([part._result if part._error is None else part._error for part in self._parts])

    def cancel(self) -> None:
        for part in self._parts:
            part.cancel()
        super().cancel()


def gather(loop: Loop, waits: Iterable[Awaitable[Any]], *, whole: bool = False) -> Future[list[Any]]:
    """All results in order, or the first exception as soon as there is one; `whole`: wait for all, exceptions are
    results. To cancel it cancels all."""
    return _Gathered(loop, _futures(loop, waits), whole)


def shield(wait: Future[T]) -> Future[T]:
    """The same result; to cancel this does not cancel what is waited for."""
    if wait._done:
        return wait
    outer: Future[T] = Future(wait._loop)

    def end(inner: Future[T]) -> None:
        if not outer.done():
            outer._end(inner._result, inner._error)

    wait.then(end)
    return outer
