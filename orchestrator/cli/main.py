"""`orch`: finds the verb, runs it, and turns errors into one message and one exit status."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import re
import signal
import sys
from types import FrameType
from typing import Any, NoReturn, TextIO

from orchestrator import __version__
from orchestrator.cli.complaint import Interrupted, complain, render
from orchestrator.errors import MachineError, OrchError, UsageError

VERBS = {
    "build": "build goals and all they need; print where they are",
    "plan": "say what a build would do, and why",
    "list": "list the recipes",
    "show": "show one recipe: versions, options, inputs, key, state",
    "log": "print the log of a build or check",
    "source": "list, fetch, add or verify sources",
    "lock": "write the lock file of a base",
}

_EPILOG = """\
A goal is a recipe's name. Start with:
  orch build nixl                    build NIXL and everything under it
  orch build nixl --set cuda=13      the same for CUDA 13
  orch plan nixl                     what that would do, and why
`orch VERB --help` explains a verb.

The project is the directory of the nearest orch.toml, here or above. The store is --store DIR,
else $ORCH_STORE, else the project's own.

Exit status: 0 done, 1 a build or check failed, 2 usage, 3 a recipe, lock or option is wrong,
4 the machine (disk, network, sandbox), 5 the answer is no, 70 a bug in orch, 130 interrupted,
129 and 143 ended by a signal, 141 nobody reads the output.
"""


class Bug(OrchError):
    """An exception that nobody expected: the message says where, ORCH_DEBUG=1 shows all of it."""

    code = "bug"
    exit_status = 70


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageError, so that `--json` covers them too, and which takes no shortened options."""

    def __init__(self, **how: Any) -> None:
        how.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**how, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help"
        if unknown := re.match(r"unrecognized arguments: (-[^\s=]+)", message):
            options = [name for name in self._option_string_actions if name.startswith("--")]
            hint = _close(unknown[1], options) or hint
        elif "GOAL" in message:
            hint = f"orch list names the recipes; {hint}"
        elif choice := re.match(r"argument .*: invalid choice: ('.*') \(choose from (.*)\)", message, re.DOTALL):
            words = choice[2].replace("'", "").split(", ")
            message = f"no verb called {f'{self.prog} {choice[1][1:-1]}'!r}"
            hint = _close(choice[1][1:-1], words, f"{self.prog} ") or f"{self.prog} {'|'.join(words)}"
        raise UsageError(message, hint=hint)


def _close(word: str, words: list[str], prefix: str = "") -> str:
    import difflib

    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {prefix + close[0]!r}?" if close else ""


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    return f"usage: orch VERB [...]\n\nA reproducible build orchestrator.\n\nverbs:\n{verbs}\n\n{_EPILOG}"


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status. Raises OrchError for what went wrong."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview(), end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else UsageError.exit_status
    if arguments[0] in ("-V", "--version"):
        print(f"orch {__version__}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        raise UsageError(
            f"no verb called {verb!r}", hint=_close(verb, list(VERBS), "orch ") or "orch --help lists the verbs"
        )
    module = importlib.import_module(f"orchestrator.cli.{verb}")
    parser = Parser(prog=f"orch {verb}", description=module.__doc__, epilog=getattr(module, "EPILOG", None))
    module.arguments(parser)
    status: int = module.run(parser.parse_args(rest))
    return status


def _unexpected(error: Exception) -> OrchError:
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


def exit_status(arguments: list[str]) -> int:
    """Run one command line, print what went wrong if something did, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may hold any bytes: print them as they are, never fail at them
            utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except OrchError as found:
        error = found
    except KeyboardInterrupt:
        error = Interrupted("interrupted; what was finished is kept")
        error.exit_status = 128 + (_ended_by[0] if _ended_by else signal.SIGINT)
    except BrokenPipeError:
        raise
    except Exception as found:
        error = _unexpected(found)
    words = arguments[: 2 if arguments[:1] == ["source"] else 1]
    try:
        complain(error, as_json="--json" in arguments, verb=" ".join(words))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # stdout takes nothing, such as on a full disk
        _to_nowhere(sys.stdout)
        if "--json" in arguments:
            print(render(error), file=sys.stderr)
    return error.exit_status


def _to_nowhere(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, be lost in silence."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _News(io.FileIO):
    """stderr: what is said there is news and no result, so that a place which cannot take it stops no work."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(data).nbytes


def _open_streams() -> None:
    """Streams that the caller closed lead nowhere: else a file of the store could get one of their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            free = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(free, True)
    if sys.__stdout__ is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it has no path, and stays
    raw = io.BufferedWriter(_News(2, "w", closefd=False))
    encoding = sys.stderr.encoding if sys.__stderr__ is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(raw, encoding=encoding, line_buffering=True)


_ended_by: list[int] = []  # the first SIGTERM or SIGHUP; others that follow it end nothing sooner


def _end(number: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end a run as Ctrl-C does."""
    if _ended_by:
        return
    _ended_by.append(number)
    interrupt = signal.getsignal(signal.SIGINT)  # asyncio has one of its own, which lets tasks clean up
    if callable(interrupt):
        interrupt(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def entry() -> None:
    """The `orch` program."""
    _open_streams()
    os.umask(0o022)  # modes end in builds and outputs: they may not depend on who runs it
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # ignored: nohup
            signal.signal(number, _end)
    gc.set_threshold(50_000)  # what is imported at the start is no garbage: looking for some takes a tenth of the time
    try:
        status = exit_status(sys.argv[1:])
    except BrokenPipeError:
        _to_nowhere(sys.stdout)  # so that flushing at exit finds a place
        status = 141
    sys.exit(status)
