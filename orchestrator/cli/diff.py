"""Compare two images: components, versions, layers, and the bytes that a puller saves who has the first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import Opened, add_place_arguments, open_project
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.image.compare import Comparison
    from orchestrator.store import ImageRecord, Layout

EPILOG = """\
An image is named as its recipe is (the newest one made of it in this store), or by the digest of
its manifest, which `orch image NAME` prints: so an image can be compared with what it was before.
Exit status 0 if both are the same, 5 if they differ.

examples:
  orch diff sglang-cu12 vllm-cu12
  orch diff sha256:0123... sglang-cu12
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("first", metavar="IMAGE_A", help="an image's name, or sha256:... of its manifest")
    parser.add_argument("second", metavar="IMAGE_B", help="another")
    add_place_arguments(parser)


def made_image(opened: Opened, layout: Layout, name: str) -> ImageRecord:
    """The image of that name or manifest digest that this store has; raise UsageError if it has none."""
    from orchestrator.recipe import load_images
    from orchestrator.recipe.parse import suggestion
    from orchestrator.store import latest_image, list_images

    if name.startswith("sha256:"):
        records = [record for record in list_images(layout) if str(record.manifest).startswith(name)]
        if len({record.manifest for record in records}) != 1:
            what = "several images" if records else "no image"
            raise UsageError(f"{what} in this store with the manifest {name}", hint="orch images --json lists them")
        return records[0]
    record = latest_image(layout, name)
    if record is None:
        known = load_images(opened.project)
        if name in known:
            raise UsageError(f"{name} was not made in this store", where=str(layout.root), hint=f"orch image {name}")
        raise UsageError(f"there is no image {name!r}", hint=suggestion(name, known, label="images"))
    return record


def run(arguments: argparse.Namespace) -> int:
    """Print what differs."""
    from orchestrator.image.compare import compare

    opened = open_project(arguments)
    layout = opened.store(create=False)
    found = compare(made_image(opened, layout, arguments.first), made_image(opened, layout, arguments.second))
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("diff", _content(found))
    else:
        _show(found, arguments.second)
    return 0 if found.same else 5


def _content(found: Comparison) -> dict[str, Any]:
    return {
        "same": found.same,
        "components": [
            {
                "name": change.name,
                "before": change.before.version if change.before else None,
                "after": change.after.version if change.after else None,
                "text": change.text,
            }
            for change in found.components
        ],
        "unchanged": found.unchanged,
        "layers": {
            name: [{"name": layer.name, "digest": str(layer.digest), "bytes": layer.size} for layer in layers]
            for name, layers in (("shared", found.shared), ("new", found.new), ("gone", found.gone))
        },
        "bytes_saved": found.saved,
        "bytes_pulled": found.pulled,
    }


def _show(found: Comparison, second: str) -> None:
    if found.same:
        print("the same image")
        return
    width = max((len(change.name) for change in found.components), default=0)
    for change in found.components:
        print(f"  {change.name:<{width}}  {change.text}")
    print(f"components: {len(found.components)} differ, {found.unchanged} are the same")
    layers = (
        f"{len(found.shared)} shared ({bytes_text(found.saved)}), {len(found.new)} new ({bytes_text(found.pulled)})"
    )
    print(f"layers: {layers}, {len(found.gone)} gone")
    total = found.saved + found.pulled
    share = f"{100 * found.saved / total:.0f} % of it" if total else "nothing"
    print(
        f"who has the first pulls {bytes_text(found.pulled)} for {second} and saves {bytes_text(found.saved)}, {share}"
    )
