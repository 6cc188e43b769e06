"""`orch image` with nothing to do is answered at once, while the image is there and named, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import Asking
from cli_project import Cli

from orchestrator.cli.image_goal import image_graph, image_key_of, open_image
from orchestrator.cli.opening import Opened
from orchestrator.digest import Digest
from orchestrator.image.layout import name_image
from orchestrator.recipe import find_project, load_recipes
from orchestrator.store import ImageRecord, LayerFields, Layout, add_blob, blob_path, open_store, write_image

IMAGE = """\
name = "NAME"
summary = "An image of a test"
version = "1"
components = ["lib"]
[base]
recipe = "base"
[config]
env = { GREETING = "hello" }
[run]
script = "true"
files = ["greet.sh"]
"""


def finish(cli: Cli, name: str, *settings: str) -> ImageRecord:
    """Record an image as `orch image` does that was carried out, without one."""
    project = find_project(cli.root)
    layout = open_store(cli.store)
    opened = Opened(project=project, recipes=load_recipes(project), store_root=layout.root)
    image = open_image(opened, name)
    key, _ = image_key_of(image, image_graph(opened, image, settings), "zstd")
    layer, config, manifest = (f"{kind} {name} {settings}".encode() for kind in ("layer", "config", "manifest"))
    digest = Digest("sha256", "ab" * 32)
    fields = LayerFields("all", "tar", add_blob(layout, layer), len(layer), digest, 1, ("lib",))
    record = ImageRecord(
        key=key, name=name, version="1", platform="x86_64-linux", options=(), created="1980-01-01T00:00:00Z",
        manifest=add_blob(layout, manifest), manifest_size=len(manifest),
        config=add_blob(layout, config), config_size=len(config), layers=(fields,), components=(), unpacked=1,
    )  # fmt: skip
    write_image(layout, record)
    name_image(layout, record)
    return record


@pytest.fixture
def asked(cli: Cli, code: Path) -> Asking:
    for name in ("demo", "other"):
        cli.write(f"recipes/images/{name}/image.toml", IMAGE.replace("NAME", name))
        cli.write(f"recipes/images/{name}/greet.sh", "echo hello\n")
    finish(cli, "other")
    finish(cli, "demo")
    return Asking(cli=cli, code=code)


def place(asked: Asking) -> str:
    return f"oci:{asked.cli.store}/oci:demo\n"


def layout_of(asked: Asking) -> Layout:
    return open_store(asked.cli.store)


def test_an_image_that_is_there_is_named_at_once(asked: Asking) -> None:
    said = asked.settle("image", "demo")
    assert (said.status, said.out) == (0, place(asked))
    assert not [name for name in said.imported if name.startswith("orchestrator.image")]


def recipe_edited(asked: Asking) -> None:
    asked.cli.edit("recipes/images/demo/image.toml", "hello", "hullo")


def file_of_the_run_edited(asked: Asking) -> None:
    asked.cli.edit("recipes/images/demo/greet.sh", "hello", "hullo")


def component_edited(asked: Asking) -> None:
    asked.cli.edit("recipes/lib/recipe.toml", "make", "mage")


def layer_gone(asked: Asking) -> None:
    blob(asked, b"layer demo ()").unlink()


def manifest_shortened(asked: Asking) -> None:
    path = blob(asked, b"manifest demo ()")
    path.chmod(0o644)
    path.write_bytes(b"short")


def record_damaged(asked: Asking) -> None:
    for path in (asked.cli.store / "images").glob("*.json"):
        path.write_bytes(path.read_bytes().replace(b"demo", b"dome"))


def blob(asked: Asking, data: bytes) -> Path:
    return blob_path(layout_of(asked), add_blob(layout_of(asked), data))


CHANGES = (recipe_edited, file_of_the_run_edited, component_edited, layer_gone, manifest_shortened, record_damaged)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_has_to_be_made_again_is_not_said_to_be_there(asked: Asking, change: Callable[[Asking], None]) -> None:
    asked.settle("image", "demo")
    change(asked)
    said = asked.ask("image", "demo")
    assert (said.saved, said.status, said.out) == (False, 4, "")  # there is no sandbox to make it in


def test_a_recipe_that_is_gone_or_wrong_is_said(asked: Asking) -> None:
    asked.settle("image", "demo")
    asked.cli.edit("recipes/images/demo/image.toml", "[base]", "[bass]")
    assert asked.ask("image", "demo").status == 3
    shutil.rmtree(asked.cli.root / "recipes/images/demo")
    assert asked.ask("image", "demo").status == 2


def test_other_images_come_and_go(asked: Asking) -> None:
    asked.settle("image", "demo")
    before = (asked.cli.store / "oci/index.json").read_bytes()
    finish(asked.cli, "other", "lib.fast=on")
    assert (asked.cli.store / "oci/index.json").read_bytes() != before
    assert asked.ask("image", "demo").saved


def test_the_name_leads_to_what_was_asked_for_last(asked: Asking) -> None:
    """Whatever the answers say: the image named is the one whose place is printed."""
    index = asked.cli.store / "oci/index.json"
    first = finish(asked.cli, "demo")
    asked.settle("image", "demo")
    second = finish(asked.cli, "demo", "lib.fast=on")
    assert second.manifest != first.manifest
    assert asked.ask("image", "demo").saved is False
    assert str(first.manifest) in index.read_text()
    assert str(second.manifest) not in index.read_text()
    asked.settle("image", "demo")
    for path in (index, index.with_name("oci-layout")):
        path.unlink()
        said = asked.ask("image", "demo")
        assert (said.saved, said.out) == (False, place(asked))
        assert path.is_file()
        asked.settle("image", "demo")


def test_what_does_more_than_name_it_is_never_saved(asked: Asking, tmp_path: Path) -> None:
    asked.settle("image", "demo")
    for words in (("--json",), ("--dry-run",), ("-o", f"oci:{tmp_path / 'copy'}")):
        for _ in range(2):
            assert not asked.ask("image", "demo", *words).saved
