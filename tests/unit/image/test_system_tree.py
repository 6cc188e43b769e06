"""The image's own tree: what it may lie over, what stays as it is below, and that nothing is written elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from image_parts import component, image, manifest

from orchestrator.errors import RecipeError
from orchestrator.image.merge import merge
from orchestrator.image.model import View
from orchestrator.image.system import describe_system, write_system
from orchestrator.recipe.image import Config, Image
from orchestrator.tree import Entry, Manifest

BASE = manifest(tmp__x="x", usr__bin__env="env", usr__lib__libc="c", lib="->usr/lib", etc__passwd="root:x:0:0::/:/x\n")


def view_of(base: Manifest, wheel: Manifest | None = None) -> View:
    trees = {"base": base, **({"wheel:one": wheel} if wheel is not None else {})}
    components = [component(name, tree, "base" if name == "base" else "wheel") for name, tree in trees.items()]
    return merge(image(), components, list(trees.values()))


def written(tmp_path: Path, view: View, config: Config) -> Mapping[str, Entry]:
    top, made = tmp_path / "top", of(config)
    top.mkdir()
    write_system(made, view, top, base=tmp_path / "base", ldconf=())
    return describe_system(made, view, top).by_path


def of(config: Config) -> Image:
    return image(config=config)


def test_a_directory_of_the_base_stays_what_it_is(tmp_path: Path) -> None:
    entries = tuple(entry._replace(mode=0o1777) if entry.path == "tmp" else entry for entry in BASE.entries)
    tree = written(tmp_path, view_of(Manifest(entries)), Config(directories=("/tmp/cache",)))
    assert tree["tmp"].mode == 0o1777
    assert (tree["tmp/cache"].uid, tree["tmp/cache"].mode) == (1000, 0o775)


def test_a_link_of_the_recipe_is_not_followed_on_this_machine(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    config = Config(links={"/a": str(outside), "/a/b": "x", "/a/c/d": "y"})
    with pytest.raises(RecipeError, match="/a is there already"):
        written(tmp_path, view_of(BASE), config)
    assert not list(outside.iterdir())


@pytest.mark.parametrize(
    ("config", "path", "why"),
    [
        (Config(links={"/lib/libx.so": "libx.so.1"}), "/lib", "a link to usr/lib"),
        (Config(directories=("/lib/cache",)), "/lib", "a link to usr/lib"),
        (Config(workdir="/lib"), "/lib", "a link to usr/lib"),
        (Config(directories=("/usr/bin/env",)), "/usr/bin/env", "base has a file there"),
        (Config(links={"/usr/bin/env/x": "y"}), "/usr/bin/env", "base has a file there"),
        (Config(directories=("/etc/passwd",)), "/etc/passwd", "no directory"),
        (Config(links={"/etc/profile.d/00-umask.sh": "x"}), "/etc/profile.d/00-umask.sh", "orch has it"),
        (Config(links={"/usr/lib/libc": "x"}), "/usr/lib/libc", "base has it"),
    ],
)
def test_nothing_of_the_image_is_hidden_in_silence(tmp_path: Path, config: Config, path: str, why: str) -> None:
    with pytest.raises(RecipeError) as caught:
        written(tmp_path, view_of(BASE), config)
    assert caught.value.what == f"{path} is there already"
    assert why in caught.value.why


def test_only_files_of_the_base_are_replaced(tmp_path: Path) -> None:
    assert written(tmp_path, view_of(BASE), Config())["etc/passwd"].kind == "file"
    hidden = view_of(BASE, manifest(**{"usr__local__bin__orch-entrypoint": "mine"}))
    (tmp_path / "again").mkdir()
    with pytest.raises(RecipeError, match="/usr/local/bin/orch-entrypoint is there already") as caught:
        written(tmp_path / "again", hidden, Config())
    assert "wheel:one" in caught.value.why


def test_a_password_file_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:hash:1:\n")
    (tmp_path / "base/etc").mkdir(parents=True)
    (tmp_path / "base/etc/passwd").symlink_to(secret)
    with pytest.raises(RecipeError, match="/etc/passwd of the base is no file"):
        written(tmp_path, view_of(manifest(etc__passwd=f"->{secret}")), Config())
