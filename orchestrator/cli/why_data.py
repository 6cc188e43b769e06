"""The answer of `orch why` as data, for `--json`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.graph.causes import CAUSES

if TYPE_CHECKING:
    from orchestrator.cli.why import Answer
    from orchestrator.graph.causes import Moved

IN_NO_KEY = "comments, summary, licence, homepage, other versions, options that it does not read"


def find(told: Answer, name: str) -> tuple[Moved | None, Moved | None]:
    """What moved of the node `name`: itself, its check."""
    found = told.found
    if found is None:
        return None, None
    node = next((one for one in found.nodes if one.name == name), None)
    return node, next((one for one in found.checks if one.name == name), None)


def _moved_document(one: Moved) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "cause": one.kind in CAUSES,
        "before": one.before or None,
        "after": one.after or None,
        "changes": [
            {"field": change.field, "text": list(change.texts), "lines": list(change.lines)} for change in one.changes
        ],
        "inputs": list(one.inputs),
        "because": list(one.because),
    }


def _frame(told: Answer) -> dict[str, Any]:
    past = told.past
    return {
        "goal": told.name,
        "image": told.image,
        "options": dict(told.options),
        "done": told.done,
        "key": told.key,
        "finished": told.finished or None,
        "compared_with": None
        if past is None
        else {
            "key": past.key,
            "finished": past.finished or None,
            "options": dict(past.options),
            "same_options": told.same_options,
        },
    }


def answer_document(told: Answer) -> dict[str, Any]:
    """The whole answer as data."""
    found = told.found
    return _frame(told) | {
        "moved": [_moved_document(one) for one in found.nodes] if found is not None else [],
        "checks": [_moved_document(one) for one in found.checks] if found is not None else [],
        "checks_unknown": list(found.unrecorded) if found is not None else [],
        "notes": list(told.notes),
        "lost": [{"name": name, "why": why} for name, why in told.lost],
        "run": {
            "recorded": told.recorded,
            "build": list(told.build),
            "check": list(told.check),
            "same_bytes": list(told.same_bytes),
            "cut_off": list(told.saved.names),
            "checks_cut_off": list(told.saved.checks),
            "saved_seconds": round(told.saved.seconds, 3),
            "saved_unknown": told.saved.unknown,
            "not_copied": [{"name": name, "why": why} for name, why in told.not_copied],
        },
        "not_rebuilt": [{"name": name, "newer": file, "why": IN_NO_KEY} for name, file in told.newer],
    }


def node_document(told: Answer, name: str) -> dict[str, Any]:
    """The answer for one node as data."""
    node, check = find(told, name)
    return _frame(told) | {
        "node": name,
        "rebuilt": None
        if told.found is None or (node is not None and node.kind == "unknown")
        else node is not None and node.kind not in ("runtime", "gone"),
        "moved": _moved_document(node) if node is not None else None,
        "check": _moved_document(check) if check is not None else None,
        "cut_off": name in told.saved.names,
        "newer": dict(told.newer).get(name),
    }
