"""Where outputs may be copied from instead of being built: what orch.toml and the command line say of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.build.plan import Step
    from orchestrator.build.substitute import Offers
    from orchestrator.cli.opening import Opened
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import Layout, StepRecord
    from orchestrator.store.signature import PublicKey

_KEYS = "orch.toml: store.trusted_keys"


def add_substitute_argument(parser: argparse.ArgumentParser) -> None:
    """`--substitute` and its opposite."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--substitute", action="append", default=[], metavar="DIR|URL",
        help="copy from this cache what it has, signed by a key that orch.toml trusts, instead of building it; before "
        "those that orch.toml names",
    )  # fmt: skip
    group.add_argument("--no-substitute", action="store_true", help="copy nothing, whatever orch.toml says")


def offers_of(
    opened: Opened, graph: Graph, layout: Layout, arguments: argparse.Namespace | None = None
) -> Offers | None:
    """What caches have for a graph; None if nobody names any. Raise UsageError, or RecipeError if no key is trusted."""
    given: list[str] = getattr(arguments, "substitute", [])
    if getattr(arguments, "no_substitute", False) or not (given or opened.project.substituters):
        return None
    if "" in given:
        raise UsageError("--substitute is empty", hint="name a directory or a URL")
    keys = trusted_keys(opened.project.trusted_keys)
    if not keys:
        raise RecipeError(
            "no key is trusted to sign what is copied",
            where=_KEYS,
            why="a cache is believed only as far as somebody trusted has signed it",
            hint='write the public key of who pushes there: trusted_keys = ["NAME:..."] under [store]',
        )
    from orchestrator.build.known import StoreKnown
    from orchestrator.build.substitute import Offers
    from orchestrator.fetch.substituter import Substituter  # 70 ms: only who copies pays
    from orchestrator.fetch.substituters import Substituters

    addresses = dict.fromkeys([*given, *opened.project.substituters])
    places = Substituters([Substituter(address, keys) for address in addresses])
    return Offers(graph, places, StoreKnown(layout=layout).output)


def trusted_keys(texts: Sequence[str]) -> tuple[PublicKey, ...]:
    """The keys of these texts. Raise RecipeError."""
    from orchestrator.store.signature import PublicKey

    found = []
    for index, text in enumerate(texts):
        try:
            found.append(PublicKey.parse(text))
        except ValueError as error:
            raise RecipeError(
                "not a public key", where=f"{_KEYS}[{index}]", why=str(error), hint="orch cache keygen prints one"
            ) from error
    return tuple(found)


def not_copied_now(steps: Iterable[Step]) -> tuple[tuple[str, str], ...]:
    """Why builds of a plan are not substituted, by node, where a cache was asked."""
    return _parted((step.node.name, step.reason) for step in steps if step.action == "build")


def not_copied_then(steps: Iterable[StepRecord]) -> tuple[tuple[str, str], ...]:
    """As `not_copied_now`, of a run that is over; also what could not be copied when it was tried."""
    done = list(steps)
    missed = ((step.node, step.detail) for step in done if step.outcome == "missed")
    return (*_parted((step.node, step.reason) for step in done if step.outcome == "built"), *missed)


def _parted(reasons: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    from orchestrator.build.plan import NOT_SUBSTITUTED

    parted = [(name, *reason.partition(NOT_SUBSTITUTED)[1:]) for name, reason in reasons]
    return tuple((name, why) for name, mark, why in parted if mark)
