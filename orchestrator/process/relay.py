"""A helper process that starts programs in orch's place, one after the other. What they say comes straight to orch.

It gets each order as descriptors on a socket, and answers with a status. It ends when orch's end of the socket is
closed, and kills what it had started, so that nothing outlives orch.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from orchestrator.errors import MachineError
from orchestrator.process.stream import Ended, Ending, drain, follow

_KILLED = 137
_PATIENCE = 10.0  # seconds for the helper to end


class Relay:
    """The helper `argv`, which is given the number of its socket and then `arguments`. For one thread at a time."""

    def __init__(self, argv: Sequence[str], arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self._gone = False
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            try:
                self._process = subprocess.Popen(
                    [*argv, str(other.fileno()), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd=cwd,
                    env=dict(env),
                    start_new_session=True,
                    pass_fds=(other.fileno(),),
                )
            except OSError as error:
                self._socket.close()
                why = error.strerror or str(error)
                raise MachineError(f"{argv[0]} could not be started", where=str(cwd), why=why) from error

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
                    socket.send_fds(self._socket, [b"order"], [*descriptors, write_end])
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
        return self._gone or self._process.poll() is not None

    def close(self) -> None:
        """End the helper and what it runs."""
        self._socket.close()
        if self._process.poll() is None:  # Popen's own wait with a limit looks again and again, and sleeps between
            gone = os.pidfd_open(self._process.pid)
            poll = select.poll()
            poll.register(gone, select.POLLIN)
            if not poll.poll(_PATIENCE * 1000):
                self._process.kill()
            os.close(gone)
        self._process.wait()
