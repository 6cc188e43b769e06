"""A helper process that starts programs in orch's place, one after the other. What they say comes straight to orch.

It gets each order as descriptors on a socket, and answers with a status. It ends when orch's end of the socket is
closed, and kills what it had started, so that nothing outlives orch.
"""

from __future__ import annotations

# What the modules signal, socket and subprocess bring takes longer to import than a helper to start.
import _signal as signal  # type: ignore[import-not-found]
import _socket
import os
import select
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event

from orchestrator.errors import MachineError
from orchestrator.process.follow import PATIENCE, Ended, Ending, drain, follow

_KILLED = 137
_ITS_SOCKET = 3  # the number that the helper has it by


class Relay:
    """The helper `argv`, which is given the number of its socket. For one thread at a time.

    Above the socket it has what others have left open for this process: that is for the helper to close.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        self._gone = False
        self._socket, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.pid = os.posix_spawn(
                argv[0],
                [*argv, str(_ITS_SOCKET)],
                dict(env),
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, nowhere, number) for number in range(3)),
                    (os.POSIX_SPAWN_DUP2, other.fileno(), _ITS_SOCKET),
                ],
                setsid=True,
            )
            self._ended = os.pidfd_open(self.pid)
        except OSError as error:
            self._socket.close()
            raise MachineError(f"{argv[0]} could not be started", why=error.strerror or str(error)) from error
        finally:
            other.close()
            os.close(nowhere)

    def run(
        self,
        descriptors: Sequence[int],
        *,
        on_bytes: Callable[[bytes], None],
        timeout: float | None = None,
        stop: Event | None = None,
    ) -> Ended:
        """Carry out the order that `descriptors` and the write end of a pipe are; what comes out of that pipe reaches
        `on_bytes`. When time is up, `stop` is set or anything raises, all of it is killed and waited for."""
        began = time.monotonic()
        pipe, write_end = os.pipe()
        status: int | None = None
        try:
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # then there is no answer
                    numbers = [*descriptors, write_end]
                    part = struct.pack(f"{len(numbers)}i", *numbers)
                    self._socket.sendmsg([b"order"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, part)])
            finally:
                os.close(write_end)
            deadline = None if timeout is None else began + timeout
            ending = follow(self._socket.fileno(), pipe, on_bytes, deadline, stop)
            status = self._answer(kill=ending is not Ending.ITSELF)
            drain(pipe, on_bytes)
        finally:
            if status is None:
                self._answer(kill=True)
            os.close(pipe)
        return Ended(status=status, seconds=time.monotonic() - began, ending=ending)

    def _answer(self, *, kill: bool) -> int:
        try:
            if kill:
                self._socket.send(b"kill")
            said = self._socket.recv(16)
        except (BrokenPipeError, ConnectionResetError):
            said = b""
        self._gone = self._gone or not said
        return int(said or _KILLED)

    @property
    def ended(self) -> bool:
        """Whether the helper is gone: it carries out nothing more."""
        return self._gone or self._has_ended(0)

    def _has_ended(self, within: float) -> bool:
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(within * 1000))

    def close(self) -> None:
        """End the helper and what it runs."""
        self._socket.close()
        if not self._has_ended(PATIENCE):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._ended)
