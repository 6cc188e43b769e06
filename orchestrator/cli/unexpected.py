"""What is said of an exception that is no OrchError: the machine's fault, or a bug in orch."""

from __future__ import annotations

import os

from orchestrator.errors import MachineError, OrchError


class Bug(OrchError):
    """An exception that nobody expected: the message says where, ORCH_DEBUG=1 shows all of it."""

    code = "bug"
    exit_status = 70


def unexpected(error: Exception) -> OrchError:
    """What to say of an exception that is no OrchError: the machine's, or a bug."""
    if os.environ.get("ORCH_DEBUG"):
        raise error
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return MachineError(reason, where=str(error.filename or ""), hint="ORCH_DEBUG=1 shows where orch met it")
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    what = f"a bug in orch: {type(error).__name__}: {error}"
    return Bug(what, where=where, why="nothing finished was lost", hint="report it with the output of ORCH_DEBUG=1")
