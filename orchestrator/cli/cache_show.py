"""`orch cache show`: all that the store knows of one object."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cache_view import (
    DIGITS,
    age_text,
    asked,
    date_text,
    document,
    files_text,
    is_terminal,
    named,
    options_text,
)
from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import bytes_text, seconds_text

if TYPE_CHECKING:
    from orchestrator.store import Layout
    from orchestrator.store.index import Facts, Index
    from orchestrator.store.select import Chosen

TEXTS = {"show": "show all that is known of one object: made of what, when, how, kept by what"}
EPILOGS = {
    "show": """\
examples:
  orch cache show nixl                 the newest that was made of a recipe
  orch cache show ucx@1.13.1           of one version
  orch cache show nixl@cuda=13         with an option
  orch cache show 58e06d28b7           what a key or digest begins with
  orch cache show ./result             what a result link points to
"""
}
_SHOWN = 8  # lines of each list; --json has all
_BESIDE = 100  # runs that may have begun while one was going on


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe, key, digest or path in the store")


def run(arguments: argparse.Namespace) -> int:
    """Print what is known."""
    from orchestrator.store.select import choose

    with asked(arguments) as (layout, index):
        content = _content(layout, index, choose(layout, index, arguments.name))
    if arguments.json:
        document(arguments, content)
        return 0
    for label, texts in _lines(content):
        for number, text in enumerate(texts):
            head = f"{label if number == 0 else '':<9}"
            print(f"\x1b[2m{head}\x1b[0m" if is_terminal() else head, harmless(text))
    return 0


def _content(layout: Layout, index: Index, chosen: Chosen) -> dict[str, Any]:
    from orchestrator.digest import Digest
    from orchestrator.store import object_tree
    from orchestrator.store.questions import keepers, origins, times

    facts = chosen.facts
    roots, kept = keepers(layout, index)
    origin = (facts.origin if facts else "") or origins(index).get(chosen.hex, "unknown")
    components = (root.objects[chosen.hex] for root in roots if chosen.hex in root.objects)
    content = {
        **named(chosen),
        "component": facts.name if facts else next(components, None),
        "origin": origin,
        "path": str(object_tree(layout, Digest("blake3", chosen.hex))),
        "bytes": chosen.size.bytes,
        "files": chosen.size.files,
        "used": times(layout.objects).get(chosen.hex, (0, None))[1],
        "kept": kept.get(chosen.hex, []),
        "keys": [
            {"kind": one.kind, "key": f"blake3:{one.key}", "name": one.name, "version": one.version,
             "options": dict(one.options), "finished": one.finished}
            for one in sorted(index.facts(output=chosen.hex), key=lambda one: (one.kind, one.finished))
            if one.kind != "check"
        ],
        "checks": [
            {"key": f"blake3:{one.key}", "passed": one.finished, "seconds": one.seconds, "log": one.log}
            for one in sorted(index.facts("check", output=chosen.hex), key=lambda one: -one.finished)
        ],
        "rebuilds": _rebuilds(layout, facts.name, chosen.hex) if facts else [],
    }  # fmt: skip
    return content | (_made(layout, index, chosen, facts) if facts else {})


def _made(layout: Layout, index: Index, chosen: Chosen, facts: Facts) -> dict[str, Any]:
    """How it was made, as its newest record tells."""
    from orchestrator.digest import Digest
    from orchestrator.store import read_realisation
    from orchestrator.store.links import read_links

    runtime: dict[str, str] | None = dict(facts.runtime)
    if not facts.origin:  # an early record: a goal's may tell
        links = read_links(index)
        runtime = links.runtime(links.key(chosen) or "")
    record = read_realisation(layout, Digest("blake3", facts.key))
    sandbox = dict(record.sandbox) if record else {}
    return {
        "builder": facts.builder,
        "platform": facts.platform,
        "made": facts.finished,
        "seconds": facts.seconds,
        "log": facts.log or None,
        "log_there": bool(facts.log) and (layout.root / facts.log).is_file(),
        "sandbox": {"schema": record.document.get("sandbox") if record else None, **sandbox},
        "inputs": [_input(index, name, key, is_key=facts.kind == "derivation") for name, key in facts.inputs],
        "runtime": None
        if runtime is None
        else [_input(index, name, key, is_key=True) for name, key in runtime.items()],
        "sources": [
            {"file": name, "hash": text, "here": (layout.sources / text).is_file()} for name, text in facts.sources
        ],
    }


def _input(index: Index, name: str, key: str, *, is_key: bool) -> dict[str, Any]:
    """Something that was needed: a derivation, or, of a build, an input's object."""
    one = index.derivation(key) if is_key else next(index.facts("derivation", output=key), None)
    output = one.output if one else None
    return {
        "name": name,
        "version": one.version if one else None,
        "key": f"blake3:{key}" if is_key else None,
        "object": f"blake3:{output}" if output else None,
        "here": output is not None and index.size(output) is not None,
    }


def _rebuilds(layout: Layout, name: str, hexadecimal: str) -> list[dict[str, Any]]:
    """What building it again showed: its logs name the object, and the run's record what came of it."""
    from orchestrator.store import build_ids, list_logs, read_build

    logs = [path for path in list_logs(layout, f"{name}-rebuild") if path.stem.endswith(hexadecimal[:12])]
    ids = build_ids(layout) if logs else []
    found = []
    for log in logs:
        stamp = log.name.partition(".")[0]  # when it was begun, as the ids of runs
        where = str(log.relative_to(layout.root))
        outcome = "unknown"
        for run in [one for one in ids if one[:15] <= stamp][:_BESIDE]:  # it had begun by then, as others since
            record = read_build(layout, run)
            step = next((one for one in record.steps if one.log == where), None) if record else None
            if step is not None:
                outcome = step.outcome
                break
        found.append({"when": log.stat().st_mtime, "outcome": outcome, "log": where})
    return found


def _lines(content: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    name = content["component"] or "unknown: no record leads to it"
    yield "name", [f"{name} {content['version'] or ''}".strip() + f" ({content['origin']})"]
    if content["options"]:
        yield "options", [options_text(list(content["options"].items()))]
    yield "object", [content["object"]]
    yield "path", [content["path"]]
    yield "size", [f"{bytes_text(content['bytes'])} in {files_text(content['files'])}"]
    keys = [f"{one['key']}  {one['kind']}" for one in content["keys"]]
    yield "keys", _few([f"{content['key']}  newest", *(k for k in keys if not k.startswith(str(content["key"])))])
    if "made" in content:
        yield "made", [f"{date_text(content['made'])}, in {seconds_text(content['seconds'])}"]
        yield "sandbox", [_sandbox_text(content)]
    yield "used", [date_text(content["used"])]
    if "made" in content:
        yield "inputs", _few([_input_text(one) for one in content["inputs"]]) or ["none"]
        runtime = content["runtime"]
        unknown = ["unknown: its record is of an early orch"]
        yield "runtime", unknown if runtime is None else _few([_input_text(one) for one in runtime]) or ["none"]
        yield "sources", _few([_source_text(one) for one in content["sources"]]) or ["none"]
        yield "log", [f"{content['log'] or 'none'}{'' if content['log_there'] or not content['log'] else ' (gone)'}"]
    passed = [f"passed {age_text(one['passed'])} ago, in {seconds_text(one['seconds'])}" for one in content["checks"]]
    more = f"; {len(passed)} are recorded" if len(passed) > 1 else ""
    yield "checks", [passed[0] + more] if passed else ["none is recorded"]
    again = [
        f"{one['outcome'].replace('unknown', 'outcome unknown,')} {age_text(one['when'])} ago, {one['log']}"
        for one in content["rebuilds"]
    ]
    yield "rebuilds", _few(again) or ["none is recorded"]
    yield "kept by", _few(content["kept"]) or ["nothing: it goes with the next orch gc"]


def _few(texts: list[str]) -> list[str]:
    return texts if len(texts) <= _SHOWN else [*texts[:_SHOWN], f"and {len(texts) - _SHOWN} more (--json lists them)"]


def _sandbox_text(content: dict[str, Any]) -> str:
    known = [content["platform"] or "platform unknown", *(f"{n} {_value(v)}" for n, v in content["sandbox"].items())]
    return ", ".join(known)


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _input_text(one: dict[str, Any]) -> str:
    digest = (one["object"] or one["key"] or "unknown")[-64:][:DIGITS]
    return f"{one['name']} {one['version'] or ''}  {digest}{'' if one['here'] else '  no longer here'}"


def _source_text(one: dict[str, Any]) -> str:
    return f"{one['file']}  {one['hash'].removeprefix('tree:')[:DIGITS]}{'' if one['here'] else '  not here'}"
