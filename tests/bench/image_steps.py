"""What orch does in images.py, one step a process, as a command would: nothing is remembered but what the store holds.

A step prints one JSON document: seconds by phase, and what was made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from image_tree import SHAPES
from noop import orch_project

from orchestrator.digest import Digest, blake3_bytes, blake3_file
from orchestrator.store import Layout

IMAGE = """\
name = "bench"
summary = "Six components"
version = "1"
components = ["r0"]
[base]
recipe = "base"
"""
CREATED = "1980-01-01T00:00:00Z"
_AT_ONCE = 1 << 20  # bytes; bigger files are mapped


def make_project(root: Path) -> None:
    """A project of six recipes with an image of them, whose goal r0 counts as built; its store is `root`/store."""
    orch_project(root, len(SHAPES))
    (root / "recipes/images/bench").mkdir(parents=True)
    (root / "recipes/images/bench/image.toml").write_text(IMAGE)


def intake(layout: Layout, staged: Path, names: list[str]) -> dict[str, str]:
    """Take the trees staged/NAME into the store, as builds do with their outputs, several at once; their digests."""
    from orchestrator.store import publish_tree
    from orchestrator.tree import scan

    def take(name: str) -> str:
        return str(publish_tree(layout, staged / name, scan(staged / name)))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(names, pool.map(take, names), strict=True))


def find_again(layout: Layout, trees: Path, objects: dict[str, str]) -> None:
    """Read and hash all trees, and see that the store has each of them."""
    from orchestrator.store import has_object
    from orchestrator.tree import scan

    def find(name: str) -> None:
        digest = scan(trees / name).digest
        if str(digest) != objects[name] or not has_object(layout, digest):
            raise SystemExit(f"{name}: the same tree is another object")

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(find, objects))


def assemble(root: Path, layout: Layout, objects: dict[str, str]) -> str:
    """Everything from six objects to a named image that `orch image` does, without its checks: the manifest."""
    from orchestrator.image.layer import make_layers
    from orchestrator.image.layering import plan_layers
    from orchestrator.image.layout import add_document, name_image
    from orchestrator.image.merge import merge
    from orchestrator.image.model import Component
    from orchestrator.image.oci import ImageMeta, image_config, image_manifest
    from orchestrator.recipe import find_project, load_images
    from orchestrator.store import ComponentFields, ImageRecord, LayerFields, read_manifest, write_image

    project = find_project(root)
    image = load_images(project)["bench"]
    components = [
        Component(
            name=name,
            version="1",
            origin="source",
            kind="native",
            object=Digest.parse(digest),
            key=blake3_bytes(name.encode()),
        )
        for name, digest in objects.items()
    ]
    view = merge(image, components, [read_manifest(layout, component.object) for component in components])
    layers = make_layers(layout, plan_layers(view))
    config = add_document(layout, image_config(ImageMeta(platform="x86_64-linux", created=CREATED), layers))
    manifest = add_document(layout, image_manifest(config, layers))
    record = ImageRecord(
        key=_key(root),
        name=image.name,
        version="1",
        platform="x86_64-linux",
        options=(),
        manifest=manifest.digest,
        manifest_size=manifest.size,
        config=config.digest,
        config_size=config.size,
        created=CREATED,
        layers=tuple(
            LayerFields(
                name=layer.name,
                media_type=layer.media_type,
                digest=layer.digest,
                size=layer.size,
                diff_id=layer.diff_id,
                unpacked=layer.unpacked,
                components=tuple(part.component for part in layer.parts),
            )
            for layer in layers
        ),
        components=tuple(
            ComponentFields(
                name=one.name,
                version=one.version,
                origin=one.origin,
                kind=one.kind,
                object=one.object,
                key=one.key,
                sources=(),
                recipe="",
                unpacked=manifest.size,
            )
            for one, manifest in zip(view.components, view.manifests, strict=True)
        ),
        unpacked=sum(entry.size for entry in view.entries.values()),
    )
    write_image(layout, record)
    name_image(layout, record)
    return str(manifest.digest)


def _key(root: Path) -> Digest:
    """The key that `orch image bench` will look for."""
    from orchestrator.cli.opening import this_platform
    from orchestrator.graph.environment import with_environment
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.graph.options import parse_settings
    from orchestrator.graph.resolve import resolve
    from orchestrator.image.key import image_key
    from orchestrator.image.layer import encoder
    from orchestrator.recipe import find_project, load_images, load_recipes

    project = find_project(root)
    recipes, image = load_recipes(project), load_images(project)["bench"]
    settings = parse_settings((), recipes, project.options)
    graph = resolve(recipes, project.options, ("r0", "base"), settings, this_platform())
    graph = with_environment(graph, image, base="base")
    return image_key(image, graph, derivation_keys(graph), compression="zstd", encoder=encoder("zstd"))


def hash_trees(trees: Path) -> int:
    """BLAKE3 of every file on all cores, with nothing around it: what taking trees into a store cannot be faster than,
    unless it remembers. Returns how many files there were."""
    files = []
    pending = [os.fspath(trees)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    files.append((entry.path, entry.stat().st_size))

    def one(item: tuple[str, int]) -> Digest:
        path = Path(item[0])
        return blake3_bytes(path.read_bytes()) if item[1] < _AT_ONCE else blake3_file(path, item[1])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return sum(1 for _ in pool.map(one, files, chunksize=64))


def run_step(step: str, room: Path) -> None:
    """Do one step and print what it took. Staged trees are taken; the digests of all are kept in room/objects.json."""
    from orchestrator.store import open_store

    phases: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        phases[name] = time.perf_counter() - began
        return result

    manifest = ""
    if step == "hash":
        timed("hash", lambda: hash_trees(room / "trees"))
    else:
        layout = open_store(room / "project/store")
        kept = room / "objects.json"
        objects: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        staged = [shape.name for shape in SHAPES if (room / "staged" / shape.name).is_dir()]
        if staged:
            objects |= timed("intake", lambda: intake(layout, room / "staged", staged))
            kept.write_text(json.dumps(objects))
        if step == "again":
            timed("again", lambda: find_again(layout, room / "trees", objects))
        else:
            manifest = timed("layers", lambda: assemble(room / "project", layout, objects))
    print(json.dumps({"phases": phases, "manifest": manifest}))
