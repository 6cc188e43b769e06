"""Look into the store: what is in it, why it is there, what it takes, what it spared; see one entry or compare two.

NAME is a recipe (the newest that was made of it), NAME@VERSION or NAME@OPTION=VALUE, the first digits
of a key or digest, or a path in the store. Questions read no recipe: the store alone answers.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.cli import (
    cache_cat,
    cache_closure,
    cache_diff,
    cache_du,
    cache_keygen,
    cache_links,
    cache_ls,
    cache_push,
    cache_show,
    cache_stats,
    cache_tree,
    cache_why,
)
from orchestrator.cli.opening import add_place_arguments

if TYPE_CHECKING:
    from types import ModuleType

EPILOG = """\
examples:
  orch cache ls --sort size             the biggest first
  orch cache ls ucx                     all that was made of one recipe, or begins like it
  orch cache show nixl@cuda=13          all that is known of one
  orch cache why-depends nixl rdma-core
  orch cache du                         what deleting each root would free
"""

_VERBS: dict[str, ModuleType] = {
    "ls": cache_ls,
    "show": cache_show,
    "tree": cache_tree,
    "cat": cache_cat,
    "diff": cache_diff,
    "closure": cache_closure,
    "references": cache_links,
    "referrers": cache_links,
    "why-depends": cache_why,
    "du": cache_du,
    "stats": cache_stats,
    "push": cache_push,
    "keygen": cache_keygen,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments: one sub-verb each."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="|".join(_VERBS))
    for name, module in _VERBS.items():
        text = module.TEXTS[name]
        one = verbs.add_parser(name, help=text, description=text, epilog=module.EPILOGS[name])
        module.arguments(one)
        add_place_arguments(one)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-verb."""
    status: int = _VERBS[arguments.what].run(arguments)
    return status
