"""Whose file is it: merging components, winners, drops, clashes."""

from __future__ import annotations

import pytest
from image_parts import component, image, manifest

from orchestrator.errors import RecipeError
from orchestrator.image.merge import merge
from orchestrator.image.model import View
from orchestrator.recipe.image import Drop, Winner
from orchestrator.tree import Entry, Manifest

ONE = manifest(lib__a="a", lib__shared="same")
TWO = manifest(lib__b="b", lib__shared="same")
OTHER = manifest(lib__shared="different")


def merged(*trees: tuple[str, Manifest], **fields: object) -> View:
    components = [component(name, tree, "system" if name == "system" else "wheel") for name, tree in trees]
    return merge(image(**fields), components, [tree for _, tree in trees])


def test_every_path_has_an_owner() -> None:
    view = merged(("wheel:one", ONE), ("wheel:two", TWO))
    assert sorted(view.entries) == ["lib", "lib/a", "lib/b", "lib/shared"]
    assert view.component("lib/a").name == "wheel:one"
    assert view.component("lib/b").name == "wheel:two"
    assert view.excluded == {}


def test_the_same_content_is_no_clash() -> None:
    assert merged(("wheel:one", ONE), ("wheel:two", TWO)).entries["lib/shared"].size == 4


def test_different_content_is_refused_with_the_file_and_both_names() -> None:
    with pytest.raises(RecipeError) as caught:
        merged(("wheel:one", ONE), ("wheel:other", OTHER))
    assert caught.value.what == "/lib/shared has different content in wheel:one and in wheel:other"
    assert "[[winners]]" in caught.value.hint
    assert caught.value.where == "recipes/images/small/image.toml: winners"


@pytest.mark.parametrize(
    ("winner", "loser", "size"), [("wheel:one", "wheel:other", 4), ("wheel:other", "wheel:one", 9)]
)
def test_the_recipe_says_who_wins(winner: str, loser: str, size: int) -> None:
    rule = Winner(path="/lib/shared", component=winner, reason="it is the newer one")
    view = merged(("wheel:one", ONE), ("wheel:other", OTHER), winners=(rule,))
    assert view.component("lib/shared").name == winner
    assert view.entries["lib/shared"].size == size
    assert view.excluded == {loser: frozenset({"lib/shared"})}


@pytest.mark.parametrize("winner", ["wheel:one", "wheel:other", "wheel:third"])
def test_one_of_three_wins(winner: str) -> None:
    third = manifest(lib__shared="yet another")
    trees = {"wheel:one": ONE, "wheel:other": OTHER, "wheel:third": third}
    rule = Winner(path="/lib/shared", component=winner, reason="it is the newest one")
    view = merged(*trees.items(), winners=(rule,))
    assert view.component("lib/shared").name == winner
    assert view.excluded == {name: frozenset({"lib/shared"}) for name in trees if name != winner}


def test_a_winner_that_does_not_have_the_file_is_no_winner() -> None:
    rule = Winner(path="/lib/shared", component="wheel:third", reason="it had it once")
    with pytest.raises(RecipeError, match="different content in wheel:one and in wheel:other"):
        merged(("wheel:one", ONE), ("wheel:other", OTHER), winners=(rule,))


def test_all_that_lose_leave_the_file_out() -> None:
    rule = Winner(path="/lib/shared", component="wheel:other", reason="it is the newer one")
    view = merged(("wheel:one", ONE), ("wheel:two", TWO), ("wheel:other", OTHER), winners=(rule,))
    lost = frozenset({"lib/shared"})
    assert view.excluded == {"wheel:one": lost, "wheel:two": lost}


def test_a_winner_that_decides_nothing_is_refused() -> None:
    rule = Winner(path="/lib/a", component="wheel:one", reason="no longer needed")
    with pytest.raises(RecipeError, match=r"winners\[0\].*matches nothing"):
        merged(("wheel:one", ONE), ("wheel:two", TWO), winners=(rule,))


def test_a_drop_leaves_out_a_file_and_a_directory_with_all_below() -> None:
    tree = manifest(lib__stubs__libcuda_dot_so="stub", lib__keep="k", lib__stubs__deep__x="x")
    rule = Drop(path="lib/stubs", component="wheel:one", reason="for linking only")
    view = merged(("wheel:one", tree), drop=(rule,))
    assert sorted(view.entries) == ["lib", "lib/keep"]
    assert view.excluded["wheel:one"] == {"lib/stubs", "lib/stubs/deep", "lib/stubs/deep/x", "lib/stubs/libcuda.so"}


def test_a_drop_is_for_its_own_component_only() -> None:
    rule = Drop(path="*shared", component="wheel:one", reason="the other's is enough")
    view = merged(("wheel:one", ONE), ("wheel:two", TWO), drop=(rule,))
    assert view.component("lib/shared").name == "wheel:two"


def test_a_drop_that_matches_nothing_is_refused() -> None:
    rule = Drop(path="*.stub", component="wheel:one", reason="gone upstream")
    with pytest.raises(RecipeError, match=r"drop\[0\].*matches nothing"):
        merged(("wheel:one", ONE), drop=(rule,))


def test_a_directory_never_hides_a_link_and_no_winner_changes_that() -> None:
    link, directory = manifest(lib="->usr/lib"), manifest(lib__x="x")
    rule = Winner(path="/lib", component="wheel:two", reason="none")
    with pytest.raises(RecipeError, match="/lib has different content"):
        merged(("wheel:one", link), ("wheel:two", directory), winners=(rule,))


def test_another_mode_is_another_file() -> None:
    entry = ONE.by_path["lib/a"]
    executable = Manifest((ONE.by_path["lib"], Entry("lib/a", "file", 0o755, size=entry.size, digest=entry.digest)))
    with pytest.raises(RecipeError, match="/lib/a"):
        merged(("wheel:one", ONE), ("wheel:two", executable))


def test_the_system_tree_replaces_files_of_the_base() -> None:
    view = merged(("debian-runtime", manifest(etc__passwd="root")), ("system", manifest(etc__passwd="root, dynamo")))
    assert view.component("etc/passwd").name == "system"
    assert view.excluded == {}
