"""Remove from the store what no root keeps. Safe beside running builds, and safe to interrupt.

Roots are the last 10 results of each goal, the last image of each name, links made with -o, pins, and what running
commands need. Sources of what is kept stay, except the archives of wheels, whose trees say all of them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.complaint import harmless
from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import add_place_arguments
from orchestrator.cli.place import store_of
from orchestrator.errors import AnswerIsNo, UsageError
from orchestrator.recipe.amounts import parse_age, parse_size

if TYPE_CHECKING:
    from orchestrator.store import Layout
    from orchestrator.store.gc import Collected

EPILOG = """\
examples:
  orch gc --dry-run               what would go, and why the rest stays
  orch gc                         all that no root keeps
  orch gc --max-size 40GB         only what is needed, the least recently used
                                  first
  orch gc --older-than 30d        only what was not used for a month, older
                                  results of goals too
  orch gc --drop "goal nixl"      let go of a goal, an image, a link or a pin
  orch pin nixl                   keep what nixl is now, whatever comes later
"""

_SHOWN = 20  # lines of each list; --json has all


def size(text: str) -> int:
    """An argparse type: bytes."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def age(text: str) -> float:
    """An argparse type: seconds."""
    try:
        return parse_age(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="say what would go and why the rest stays; do nothing")
    parser.add_argument("--max-size", type=size, metavar="SIZE", help="only until the store is no bigger, as 40GB")
    parser.add_argument("--keep-free", type=size, metavar="SIZE", help="only until so much of the disk is free")
    parser.add_argument("--older-than", type=age, metavar="AGE", help="only what was not used for so long, as 30d")
    parser.add_argument(
        "--drop", action="append", default=[], metavar="ROOT", help="first let go of a root, as orch cache du names it"
    )
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Collect, and say what went."""
    from orchestrator.store.gc import Policy, collect

    layout = store_of(arguments, create=False)
    if not layout.objects.is_dir():
        raise UsageError(f"there is no store at {layout.root}", hint="--store DIR or ORCH_STORE say where it is")
    policy = Policy(max_size=arguments.max_size, keep_free=arguments.keep_free, older_than=arguments.older_than)
    if arguments.drop:
        if arguments.dry_run:
            raise UsageError("--drop does something", where="--dry-run", hint="orch cache du says what it would free")
        _drop(layout, arguments.drop)
    done = collect(layout, policy, dry_run=arguments.dry_run)
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("gc", _document(done, arguments.dry_run))
    else:
        _print(done, arguments.dry_run)
    if done.missing:
        raise _too_much(done, arguments)
    return 0


def _drop(layout: Layout, labels: list[str]) -> None:
    """Let go of roots: all of them are there, or none is dropped."""
    from orchestrator.recipe.parse import suggestion
    from orchestrator.store.index import open_index
    from orchestrator.store.keep import drop, find_roots

    with open_index(layout) as index:
        roots = find_roots(layout, index)
    # A goal's older results go with it.
    chosen = [root for root in roots if root.label in labels or root.label.partition(" (")[0] in labels]
    there = dict.fromkeys(root.label.partition(" (")[0] for root in roots)
    for label in labels:
        if label not in there and label not in {root.label for root in chosen}:
            raise UsageError(
                f"there is no root {label!r}", where="--drop", hint=suggestion(label, there, label="roots")
            )
    for root in chosen:
        if root.kind == "image":
            from orchestrator.image.layout import remove_ref

            remove_ref(layout, root.label.removeprefix("image "))
        drop(layout, root)


def _document(done: Collected, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "freed_bytes": done.freed,
        "left_bytes": done.left,
        "missing_bytes": done.missing,
        "removed": [
            {"kind": one.kind, "name": one.label, "path": str(one.path), "bytes": one.bytes, "used": one.used}
            for one in done.removed
        ],
        "kept": dict(sorted(done.survey.kept.items())),
        "roots": [root.label for root in done.survey.roots],
    }


def _print(done: Collected, dry_run: bool) -> None:
    kinds: dict[str, list[int]] = {}
    for one in done.removed:
        kinds.setdefault(one.kind, []).append(one.bytes)
    if dry_run:
        for one in sorted(done.removed, key=lambda one: -one.bytes)[:_SHOWN]:
            print(harmless(f"  {one.kind:<8} {bytes_text(one.bytes):>7}  {one.label}  {one.path.name[:12]}"))
        if len(done.removed) > _SHOWN:
            print(f"  and {len(done.removed) - _SHOWN} more (--json lists them)")
    parts = ", ".join(
        f"{len(sizes)} {kind}{'s' if len(sizes) > 1 and kind not in ('failed', 'corrupt') else ''}"
        f" ({bytes_text(sum(sizes))})"
        for kind, sizes in sorted(kinds.items(), key=lambda pair: -sum(pair[1]))
    )
    verb = "would free" if dry_run else "freed"
    print(f"{verb} {bytes_text(done.freed)}{f': {parts}' if parts else ''}; {bytes_text(done.left)} stay")
    if dry_run:
        _print_kept(done)


def _print_kept(done: Collected) -> None:
    sizes = done.survey.sizes
    by_size = sorted(done.survey.kept.items(), key=lambda pair: -sizes.get(pair[0], 0))
    for name, why in by_size[:_SHOWN]:
        print(harmless(f"  kept     {bytes_text(sizes.get(name, 0)):>7}  {name[:12]}  {why}"))
    if len(by_size) > _SHOWN:
        print(f"  and {len(by_size) - _SHOWN} more (--json lists them)")


def _too_much(done: Collected, arguments: argparse.Namespace) -> AnswerIsNo:
    from orchestrator.store.survey import exclusive

    largest = [(root, freed) for root, freed in exclusive(done.survey.roots, done.survey.sizes) if freed][:5]
    names = "; ".join(f"{root.label}: {bytes_text(freed)}" for root, freed in largest)
    limit = f"--max-size {bytes_text(arguments.max_size)}" if arguments.max_size is not None else "--keep-free"
    return AnswerIsNo(
        f"{bytes_text(done.missing)} more would have to go for {limit}",
        where=names or "no root keeps anything alone",
        why="all that is left is kept by roots; behind each, what dropping it alone would free",
        hint='orch gc --drop "ROOT", remove a link, or orch gc --older-than AGE for older results of goals',
    )
