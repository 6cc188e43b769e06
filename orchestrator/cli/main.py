"""`orch`: finds the verb, runs it, and turns errors into one message and one exit status."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn

from orchestrator.cli.complaint import complain
from orchestrator.errors import OrchError, UsageError

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

Exit status: 0 done, 1 a build or check failed, 2 usage, 3 a recipe, lock or option is wrong,
4 the machine (disk, network, sandbox), 5 the answer is no, 130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageError, so that `--json` covers them too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    return f"usage: orch VERB [...]\n\nA reproducible build orchestrator.\n\nverbs:\n{verbs}\n\n{_EPILOG}"


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status. Raises OrchError for what went wrong."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"orch {version('orch')}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        import difflib

        close = difflib.get_close_matches(verb, VERBS, n=1)
        raise UsageError(
            f"no verb called {verb!r}",
            hint=f"did you mean: orch {close[0]}" if close else "orch --help lists the verbs",
        )
    module = importlib.import_module(f"orchestrator.cli.{verb}")
    parser = Parser(
        prog=f"orch {verb}",
        description=module.__doc__,
        epilog=getattr(module, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(parser)
    status: int = module.run(parser.parse_args(rest))
    return status


def entry() -> None:
    """The `orch` program."""
    arguments = sys.argv[1:]
    try:
        status = run(arguments)
        sys.stdout.flush()
    except OrchError as error:
        complain(error, as_json="--json" in arguments, verb=arguments[0] if arguments else "")
        status = error.exit_status
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    sys.exit(status)
