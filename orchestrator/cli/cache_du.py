"""`orch cache du`: what roots, images or components take, alone and together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orchestrator.cli.cache_view import asked, document, table
from orchestrator.cli.numbers import bytes_text

if TYPE_CHECKING:
    from orchestrator.store import Layout
    from orchestrator.store.account import Share
    from orchestrator.store.index import Index

TEXTS = {"du": "say what roots, images or components take, and what deleting each would free"}
EPILOGS = {
    "du": """\
Of a root or image: `alone` is kept by nothing else, so that dropping it and `orch gc` free that;
`shared` is kept by others too. All results of a goal with the same options are one root. Of a
component: `unkept` goes with the next `orch gc`, `kept` some root keeps. Bytes are those of files as
they are; what `orch store optimise` linked is counted each time.

examples:
  orch cache du
  orch cache du --by image
  orch cache du --by component
  orch cache du nixl                 only roots whose labels have it
"""
}
_SHOWN = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only roots or components whose labels have it")
    parser.add_argument(
        "--by", choices=("root", "image", "component"), default="root", help="what to add up (default: root)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what everything takes."""
    with asked(arguments) as (layout, index):
        shares, totals = _account(layout, index, arguments.by)
    shares = [one for one in shares if all(name in one.label for name in arguments.names)]
    if arguments.json:
        content = [
            {"label": one.label, "alone_bytes": one.alone, "shared_bytes": one.shared, "things": one.things}
            for one in shares
        ]
        document(
            arguments, {"by": arguments.by, "shares": content, **{f"{n}_bytes": size for n, size in totals.items()}}
        )
        return 0
    heads = ["unkept", "kept"] if arguments.by == "component" else ["alone", "shared"]
    if shares:
        rows = [[bytes_text(one.alone), bytes_text(one.shared), one.label] for one in shares[:_SHOWN]]
        table([*heads, arguments.by], rows, right=(0, 1))
    else:
        print(f"no such {arguments.by}" if arguments.names else f"no {arguments.by}")
    if len(shares) > _SHOWN:
        print(f"and {len(shares) - _SHOWN} more (--json lists them)")
    parts = ", ".join(f"{name} {bytes_text(totals[name])}" for name in ("objects", "sources", "layers"))
    print(f"the store: {parts}; {bytes_text(totals['unkept'])} of objects and layers nothing keeps")
    return 0


def _account(layout: Layout, index: Index, by: str) -> tuple[list[Share], dict[str, int]]:
    """The shares, and how many bytes of each sort there are."""
    from orchestrator.store.account import by_component, by_root
    from orchestrator.store.questions import keepers, newest, times

    roots, kept = keepers(layout, index)
    objects = {name: size.bytes for name, size in index.sizes().items()}
    blobs = {name: size for name, (size, _) in times(layout.oci / "blobs" / "sha256").items()}
    sources = sum(size for name, (size, _) in times(layout.sources).items() if len(name) == 64)
    sizes = objects | blobs
    totals = {
        "objects": sum(objects.values()),
        "sources": sources,
        "layers": sum(blobs.values()),
        "unkept": sum(size for name, size in sizes.items() if name not in kept),
    }
    if by == "component":
        names = {digest: one.name for digest, one in newest(index.facts("derivation")).items()}
        return by_component(names, objects, kept), totals
    held = [name for name, labels in kept.items() if any(label.startswith("running") for label in labels)]
    shares = by_root(roots, sizes, held=held)
    return [one for one in shares if by == "root" or one.label.startswith("image ")], totals
