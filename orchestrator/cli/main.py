"""`orch`: finds the verb, runs it, and turns errors into one message and one exit status."""

from __future__ import annotations

# `signal`, which is made of it, makes enumerations of all numbers first, and cannot be imported in a handler.
import _signal as signal  # type: ignore[import-not-found]
import gc
import io
import os
import sys

from orchestrator import __version__
from orchestrator.cli import answers
from orchestrator.errors import OrchError, UsageError

TYPE_CHECKING = False  # nothing is imported here that a saved answer does not need
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, TextIO

GROUPS = {
    "make": {
        "build": "build goals and all they need; print where they are",
        "image": "make an image and all it needs; print where it is",
        "source": "list, fetch, add, lock or verify sources",
        "lock": "write the lock file of a base or an image",
        "new": "begin a recipe, from an archive or from nothing",
    },
    "ask": {
        "plan": "say what a build would do, and why",
        "why": "explain the coming rebuild, or the last one",
        "affected": "say what an edit of a recipe would touch",
        "list": "list the recipes",
        "show": "show one recipe: versions, options, inputs, key, state",
        "graph": "draw what a goal or an image is made of",
        "log": "print the log of a build or check",
        "history": "list past runs, or show one step by step",
        "report": "write a page of HTML about a run or an image",
        "images": "list the images",
        "diff": "compare two images: components, layers, bytes to pull",
        "find": "say where a file of an image comes from",
    },
    "keep": {
        "cache": "look into the store: list, show, compare, account",
        "gc": "remove from the store what no root keeps",
        "pin": "keep what a goal or an image is now",
        "unpin": "let go of a pin",
        "store": "link equal files; carry closures in and out as one file",
        "export": "copy a goal out of the store as plain files",
    },
    "for editors and shells": {
        "schema": "print the JSON Schema of recipe.toml or image.toml",
        "completions": "print the completions for bash, zsh or fish",
        "man": "print the manual page",
    },
}
SUMMARY = "a reproducible build orchestrator"
VERBS = {verb: text for verbs in GROUPS.values() for verb, text in verbs.items()}

EPILOG = """\
A goal is a recipe's name. Start with:
  orch build nixl                    build NIXL and everything under it
  orch build nixl --set cuda=13      the same for CUDA 13
  orch plan nixl                     what that would do, and why
  orch images                        the images that can be made of recipes and wheels
  orch image sglang-cu12             make one: base, native stack, Python environment
`orch VERB --help` explains a verb.

The project is the directory of the nearest orch.toml, here or above. The store is --store DIR,
else $ORCH_STORE, else the project's own.

Exit status: 0 done, 1 a build or check failed, 2 usage, 3 a recipe, lock or option is wrong,
4 the machine (disk, network, sandbox), 5 the answer is no, 70 a bug in orch, 130 interrupted,
129 and 143 ended by a signal, 141 nobody reads the output.
"""


def _overview() -> str:
    import shutil

    from orchestrator.cli.parser import fill

    names = max(map(len, VERBS))
    groups = (
        f"{name}:\n" + "".join(f"  {verb:<{names}}  {text}\n" for verb, text in verbs.items())
        for name, verbs in GROUPS.items()
    )
    width = min(shutil.get_terminal_size().columns, 100)
    verbs = "\n".join(fill(group, width) for group in groups)
    return f"usage: orch VERB [...]\n\norch, {SUMMARY}.\n\n{verbs}\n\n{fill(EPILOG, width)}\n"


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status. Raises OrchError for what went wrong."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview(), end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else UsageError.exit_status
    if arguments[0] in ("-V", "--version"):
        print(f"orch {__version__}")
        return 0
    if arguments[0] == "complete":  # what a shell asks when a key is pressed: no verb for people
        from orchestrator.cli.complete import run as complete

        return complete(arguments)
    from orchestrator.modules import import_usual

    import_usual()
    from orchestrator.cli.parser import Parser, close
    from orchestrator.lazily import imported

    verb, *rest = arguments
    if verb not in VERBS:
        raise UsageError(
            f"no verb called {verb!r}", hint=close(verb, list(VERBS), "orch ") or "orch --help lists the verbs"
        )
    module = imported(f"orchestrator.cli.{verb}")
    parser = Parser(prog=f"orch {verb}", description=module.__doc__, epilog=getattr(module, "EPILOG", None))
    module.arguments(parser)
    parsed = parser.parse_args(rest)
    parsed.words = tuple(arguments)
    status: int = module.run(parsed)
    return status


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
        error = _interrupted(arguments)
    except BrokenPipeError:
        raise
    except Exception as found:
        from orchestrator.cli.unexpected import unexpected

        error = unexpected(found)
    return _complained(error, arguments)


def _interrupted(arguments: list[str]) -> OrchError:
    import shlex

    from orchestrator.cli.complaint import Interrupted

    again = shlex.join(["orch", *arguments]) if arguments[:1] in (["build"], ["image"]) else ""
    error = Interrupted("interrupted; what was finished is kept", hint=again)
    error.exit_status = 128 + (_ended_by[0] if _ended_by else signal.SIGINT)
    return error


def _complained(error: OrchError, arguments: list[str]) -> int:
    """Say what went wrong; return the exit status."""
    from orchestrator.cli.complaint import complain, render

    words = arguments[: 2 if arguments[:1] in (["source"], ["cache"]) else 1]
    try:
        complain(error, as_json="--json" in arguments, verb=" ".join(words), lines=_wants_lines(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # stdout takes nothing, such as on a full disk
        _to_nowhere(sys.stdout)
        if "--json" in arguments:
            print(render(error), file=sys.stderr)
    return error.exit_status


def _wants_lines(arguments: list[str]) -> bool:
    """Whether stderr is to hold JSON lines only."""
    return "--log-format=json" in arguments or "--log-format json" in " ".join(arguments)


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
    interrupt = signal.getsignal(signal.SIGINT)  # a run has one of its own, which lets its steps clean up
    if callable(interrupt):
        interrupt(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def leave() -> None:
    """Ctrl-C once more while a run cleans up: end at once. What was finished is kept, as after any kill."""
    os.write(2, b"\nleft at once; what was finished is kept\n")
    os._exit(128 + (_ended_by[0] if _ended_by else 2))


def entry() -> None:
    """The `orch` program."""
    try:
        _entry()
    except KeyboardInterrupt:  # before anything was begun
        os._exit(130)


def _entry() -> None:
    gc.set_threshold(50_000)  # what is imported at the start is no garbage: looking for some takes a tenth of the time
    if answers.answer(sys.argv[1:]):
        os._exit(0)  # nothing is open, and there is nothing to clean up
    from orchestrator import modules

    _open_streams()
    modules.use()
    os.umask(0o022)  # modes end in builds and outputs: they may not depend on who runs it
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # ignored: nohup
            signal.signal(number, _end)
    try:
        status = exit_status(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _to_nowhere(stream)  # so that flushing at exit finds a place
        status = 141
    except OSError:  # such as a disk that has filled up since
        status = 4
    try:
        modules.keep()
    except KeyboardInterrupt:
        os._exit(status)  # the work is done and said
    if "threading" not in sys.modules or sys.modules["threading"].active_count() == 1:
        os._exit(status)  # to take hundreds of modules apart takes 5 ms
    sys.exit(status)
