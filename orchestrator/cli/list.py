"""List the recipes: the version that would be built now, where it comes from, and whether it is in the store."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING, Any

from orchestrator.cli.complaint import error_document, harmless, render
from orchestrator.cli.opening import Opened, add_place_arguments, add_set_argument, open_project
from orchestrator.errors import RecipeError

if TYPE_CHECKING:
    from orchestrator.build.known import StoreKnown

EPILOG = """\
States: in store, not built, not locked (a hash of it or of an input is not known yet), refused (not
possible with these options), broken (its files are wrong; the exit status is 3).

examples:
  orch list
  orch list --set cuda=13      recipes that do not read cuda are listed as they are
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_set_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line a recipe."""
    from orchestrator.build.known import StoreKnown

    opened = open_project(arguments)
    opened.refuse_settings(arguments.settings)
    known = StoreKnown(layout=opened.store(create=False))
    errors: list[RecipeError] = []
    rows = [_row(opened, known, name, arguments.settings, errors) for name in opened.recipes.names]
    if arguments.json:
        from orchestrator.cli.document import print_document

        first = {"error": error_document(errors[0])} if errors else {}
        print_document("list", {**first, "recipes": rows})
    else:
        _print(rows)
        for error in errors:
            print(render(error), file=sys.stderr)
    return RecipeError.exit_status if errors else 0


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("name", "version", "origin", "state")
    widths = {c: max((len(row[c]) for row in rows), default=0) for c in columns}
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        text = row["reason"] if row["state"] == "refused" else row["summary"]
        print(harmless("  ".join([*(f"{row[c]:<{widths[c]}}" for c in columns), text])).rstrip()[:limit])


def _row(
    opened: Opened, known: StoreKnown, name: str, settings: list[str], errors: list[RecipeError]
) -> dict[str, Any]:
    from orchestrator.graph.keys import derivation_keys

    row: dict[str, Any] = {"name": name, "version": "-", "origin": "-", "summary": "", "versions": [], "unlocked": []}
    try:
        recipe = opened.recipes[name]
    except RecipeError as error:
        errors.append(error)
        return row | {"state": "broken", "reason": error.what, "where": error.where}
    row["summary"] = recipe.summary
    row["versions"] = list(recipe.versions)
    row["unlocked"] = [text for text, version in recipe.versions.items() if not version.locked]
    try:
        graph = opened.graph_of_one(name, settings, showing=True)
    except RecipeError as error:
        return row | {"state": "refused", "reason": error.what, "where": error.where}
    node = graph[name]
    row |= {"version": node.version, "origin": node.origin}
    if not all(one.locked for one in graph.nodes):
        return row | {"state": "not locked"}
    output = known.output(derivation_keys(graph)[name])
    return row | {"state": "in store" if output is not None and known.present(output) else "not built"}
