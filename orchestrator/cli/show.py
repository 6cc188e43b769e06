"""Show one recipe: what it is, its versions and options, and, for the options given, its inputs, key and state."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import bytes_text, seconds_text
from orchestrator.cli.opening import add_place_arguments, add_set_argument, add_source_argument, open_project

if TYPE_CHECKING:
    from orchestrator.graph.derivation import Graph, Node
    from orchestrator.recipe.model import Recipe
    from orchestrator.store import Layout


EPILOG = """\
examples:
  orch show ucx                            versions, options, sources, and whether it is in the store
  orch show ucx --set ucx.version=1.13.1   another version's flags, inputs and key
  orch show ucx --json                     all sources with their hashes
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe's name")
    add_set_argument(parser)
    add_source_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the recipe."""
    opened = open_project(arguments)
    opened.refuse_unknown(arguments.name)
    recipe = opened.recipes[arguments.name]
    graph = opened.graph([arguments.name], arguments.settings, showing=True)
    document = _document(recipe, graph, opened.store(create=False))
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("show", document)
    else:
        print(harmless("\n".join(_lines(document))))
    return 0


def _state(graph: Graph, node: Node, layout: Layout) -> dict[str, Any]:
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.store import has_object, object_tree, read_manifest, read_realisation

    if unlocked := [one.label for one in graph.nodes if not one.locked]:
        return {"key": None, "state": "not locked", "unlocked": unlocked}
    key = derivation_keys(graph)[node.name]
    state: dict[str, Any] = {"key": str(key), "state": "not built"}
    made = read_realisation(layout, key)
    if made is None or made.output is None:
        return state
    state |= {"output": str(made.output), "seconds": round(made.seconds, 1)}
    if not has_object(layout, made.output):
        return state | {"state": "built, no longer in the store"}
    manifest = read_manifest(layout, made.output)
    return state | {
        "state": "in store",
        "path": str(object_tree(layout, made.output)),
        "bytes": manifest.size,
        "files": sum(1 for entry in manifest.entries if entry.kind == "file"),
    }


def _document(recipe: Recipe, graph: Graph, layout: Layout) -> dict[str, Any]:
    node = graph[recipe.name]
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "licence": recipe.licence,
        "homepage": recipe.homepage,
        "where": recipe.where,
        "version": node.version,
        "origin": node.origin,
        "versions": [
            {
                "version": text,
                "origin": version.origin,
                "locked": version.locked,
                "unproven": version.unproven,
                "when": dict(version.when),
            }
            for text, version in recipe.versions.items()
        ],
        "options": {
            name: {"default": option.default, "values": list(option.values), "doc": option.doc}
            for name, option in recipe.options.items()
        },
        "reads": dict(node.options),
        "flags": list(node.flags),
        "unproven": recipe.versions[node.version].unproven,
        "sources": [{"source": s.name, "sha256": s.sha256, "tree": s.tree, "bytes": s.size} for s in node.sources],
        "build": list(node.build),
        "runtime": list(node.runtime),
        **_state(graph, node, layout),
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    unlocked = document.get("unlocked", [])
    yield f"{document['name']} {document['version']} ({document['origin']}): {document['summary']}"
    rows: list[tuple[str, str]] = [
        ("licence", document["licence"]),
        ("homepage", document["homepage"]),
        ("recipe", document["where"]),
        ("versions", ", ".join(_version_text(v) for v in document["versions"])),
        ("reads", ", ".join(f"{name}={value}" for name, value in document["reads"].items())),
        ("flags", " ".join(document["flags"])),
        ("build", ", ".join(document["build"])),
        ("runtime", ", ".join(document["runtime"])),
        ("key", document["key"] or ""),
        ("state", ": ".join([document["state"], *([", ".join(unlocked)] if unlocked else [])])),
        ("unproven", document["unproven"] or ""),
        ("output", document.get("path", "")),
    ]
    if "bytes" in document:
        rows.append(("size", f"{bytes_text(document['bytes'])} in {_files_text(document['files'])}"))
    if document.get("seconds"):
        rows.append(("built in", seconds_text(document["seconds"])))
    for label, text in rows:
        if text:
            yield f"  {label:<9} {text}"
    for name, option in document["options"].items():
        values = "|".join(option["values"])
        yield f"  option    {document['name']}.{name}={values} (default {option['default']}): {option['doc']}"
    sources = document["sources"]
    for source in sources[:8]:
        size = f"  {bytes_text(source['bytes'])}" if source["bytes"] else ""
        unknown = "" if source["sha256"] or source["tree"] else "  its hash is not known"
        yield f"  source    {source['source']}{size}{unknown}"
    if len(sources) > 8:
        total = sum(source["bytes"] or 0 for source in sources)
        yield f"  source    and {len(sources) - 8} more, {bytes_text(total)} in all (--json lists them)"


def _files_text(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _version_text(version: dict[str, Any]) -> str:
    notes = [version["origin"], *(f"{name}={value}" for name, value in version["when"].items())]
    if not version["locked"]:
        notes.append("not locked")
    if version["unproven"]:
        notes.append("unproven")
    return f"{version['version']} ({', '.join(notes)})"
