"""List the recipes: the version that would be built now, where it comes from, and whether it is in the store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import RecipeError

if TYPE_CHECKING:
    from orchestrator.build.known import StoreKnown


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", dest="settings")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line a recipe."""
    from orchestrator.build.known import StoreKnown

    opened = open_project(arguments)
    known = StoreKnown(layout=opened.store())
    rows = [_row(opened, known, name, arguments.settings) for name in opened.recipes.names]
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("list", {"recipes": rows})
        return 0
    columns = ("name", "version", "origin", "state", "summary")
    widths = {c: max((len(row[c]) for row in rows), default=0) for c in columns}
    for row in rows:
        print("  ".join(f"{row[c]:<{widths[c]}}" for c in columns).rstrip())
    return 0


def _row(opened: Opened, known: StoreKnown, name: str, settings: list[str]) -> dict[str, Any]:
    from orchestrator.graph.keys import derivation_keys

    recipe = opened.recipes[name]
    row: dict[str, Any] = {"name": name, "version": "-", "origin": "-", "summary": recipe.summary}
    row["versions"] = list(recipe.versions)
    relevant = [s for s in settings if not _unread(opened, name, s)]
    try:
        graph = opened.graph([name], relevant)
    except RecipeError as error:
        return row | {"state": "refused", "reason": error.what}
    node = graph[name]
    output = known.output(derivation_keys(graph)[name])
    state = "in store" if output is not None and known.present(output) else "not built"
    return row | {"version": node.version, "origin": node.origin, "state": state}


def _unread(opened: Opened, name: str, setting: str) -> bool:
    """Whether `setting` is refused for this goal alone: a list is of all recipes, each reads what it reads."""
    try:
        opened.graph([name], [setting])
    except RecipeError:
        return True
    return False
