"""Print the JSON Schema of recipe.toml or image.toml, with which an editor completes and checks them as you type.

In the project of orch itself `.taplo.toml` names the schemas, so that Taplo and the editors that use it (Even Better
TOML for VS Code) find them. Elsewhere the first line of a file names one: `#:schema PATH-OR-ADDRESS`.
"""

from __future__ import annotations

import argparse
import json
import sys

from orchestrator.cli.opening import add_place_arguments

EPILOG = """\
The schema says what each field may be. Whether fields fit each other, and files are there, only
orch says: orch show NAME.

examples:
  orch schema recipe > recipe-schema.json    and in a recipe: #:schema ../../recipe-schema.json
  orch schema image
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("kind", choices=("recipe", "image"), metavar="recipe|image", help="the file it is of")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the schema; with --json it is inside the usual document."""
    from orchestrator.recipe.schema import schema

    made = schema(arguments.kind)
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("schema", {"kind": arguments.kind, "json_schema": made})
    else:
        json.dump(made, sys.stdout, indent=2, sort_keys=True, ensure_ascii=False)
        print()
    return 0
