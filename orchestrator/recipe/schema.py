"""The JSON Schemas of recipe.toml and image.toml, for editors: made from the types that the files become.

A schema says less than `load` does: what one field must be, not whether fields fit each other or files are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from orchestrator.recipe.check import ENV_NAME, FORMS, HASH, NAME, VERSION
from orchestrator.recipe.image import CHECKS, ImageDocument
from orchestrator.recipe.model import Document
from orchestrator.recipe.project import OPTION_NAME
from orchestrator.recipe.schema_texts import IMAGE, RECIPE

Kind = Literal["recipe", "image"]
KINDS: dict[Kind, tuple[type, dict[str, str]]] = {"recipe": (Document, RECIPE), "image": (ImageDocument, IMAGE)}
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Node = dict[str, Any]


def _whole(*patterns: re.Pattern[str]) -> str:
    return f"^(?:{'|'.join(pattern.pattern for pattern in patterns)})$"


_FROM = _whole(*(re.compile(f"{scheme}:(?:{form})") for scheme, form in FORMS.items()))
_ABSOLUTE: Node = {"items": {"type": "string", "pattern": "^/"}}
# What the types alone do not say, by path.
_RULES: dict[Kind, dict[str, Node]] = {
    "recipe": {
        "name": {"pattern": _whole(NAME)},
        "options": {"propertyNames": {"pattern": _whole(OPTION_NAME)}},
        "versions": {"propertyNames": {"pattern": _whole(VERSION)}, "minProperties": 1},
        "versions.*.sources.from": {"pattern": _FROM},
        "versions.*.sources.sha256": {"pattern": _whole(HASH)},
        "versions.*.sources.tree": {"pattern": _whole(HASH)},
        "versions.*.sources.size": {"minimum": 0},
        "runtime.env": {"propertyNames": {"pattern": _whole(ENV_NAME)}},
        "runtime.ldconf": _ABSOLUTE,
        "base.setuid.path": {"pattern": "^/"},
    },
    "image": {
        "config.env": {"propertyNames": {"pattern": _whole(ENV_NAME)}},
        "config.ldconf": _ABSOLUTE,
        "config.directories": _ABSOLUTE,
        "checks.waive.check": {"enum": list(CHECKS)},
        "checks.off": {"propertyNames": {"enum": list(CHECKS)}},
    },
}


def schema(kind: Kind) -> Node:
    """The JSON Schema of a kind of file."""
    from pydantic import TypeAdapter

    document, texts = KINDS[kind]
    made = TypeAdapter(document).json_schema()
    plain: Node = _plain(made)
    definitions: Node = plain.get("$defs", {})
    for found in (plain, *definitions.values()):
        found.pop("description", None)  # the docstring of a class is for who reads the code
    for path, rule in _RULES[kind].items():
        _at(plain, path).update(rule)
    for path, text in texts.items():
        node = _at(plain, path)
        if "$ref" in node:  # older readers of schemas see nothing beside a $ref
            node["allOf"] = [{"$ref": node.pop("$ref")}]
        node["description"] = text
    return {"$schema": DIALECT, "title": f"{kind}.toml of orch", **plain}


def undescribed(kind: Kind) -> list[str]:
    """The fields that have no text."""
    made = schema(kind)
    return [path for path, node in _fields(made, made, "") if "description" not in node]


def _plain(node: Any) -> Any:
    """Without titles, empty defaults and null, which TOML does not have."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "anyOf" in node:
        (only,) = [one for one in node["anyOf"] if one != {"type": "null"}]
        return _plain(only)
    return {
        name: {key: _plain(child) for key, child in value.items()} if name in ("properties", "$defs") else _plain(value)
        for name, value in node.items()
        if name != "title" and not (name == "default" and (not value or isinstance(value, dict)) and value is not False)
    }


def _at(document: Node, path: str) -> Node:
    """The node of a field."""
    node = document
    for part in path.split("."):
        node = _inside(document, node)
        node = node["additionalProperties"] if part == "*" else node["properties"][part]
    return node


def _inside(document: Node, node: Node) -> Node:
    """The table that a field holds, be it one or a list of them."""
    while True:
        if "allOf" in node:
            node = node["allOf"][0]
        elif "$ref" in node:
            node = document["$defs"][node["$ref"].rpartition("/")[2]]
        elif "items" in node:
            node = node["items"]
        else:
            return node


def _fields(document: Node, node: Node, path: str) -> Iterator[tuple[str, Node]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}", child
        yield from _fields(document, _inside(document, child), f"{path}{name}.")
    if isinstance(more := node.get("additionalProperties"), dict):
        yield from _fields(document, _inside(document, more), f"{path}*.")
