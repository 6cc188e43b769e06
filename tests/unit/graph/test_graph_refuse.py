"""Each refusal with its exact message: where, what, why, hint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.errors import OrchError, RecipeError, UsageError
from orchestrator.graph.derivation import Graph

GraphOf = Callable[..., Graph]
Refused = Callable[..., tuple[str, str, str, str]]

NEEDY = """
[inputs]
build = ["builder"]
runtime = ["base", "ucx"]
[versions."1.4.1"]
origin = "vendor"
requires = [{ recipe = "ucx", version = ">=1.19", reason = "ucp_device_mem_list_create" }]
[build]
script = "cp"
"""
UCX = """
[inputs]
build = ["builder"]
[versions."1.13.1"]
origin = "source"
[versions."1.22.0+nixl1.4.1"]
origin = "vendor"
runtime_only = "it has no headers"
[build]
script = "make"
"""
CUDA = """
[inputs]
build = ["builder"]
[versions."12.9"]
origin = "vendor"
when = { cuda = "12" }
[versions."13.0"]
origin = "vendor"
when = { cuda = "13" }
provides = ["nvcc"]
[build]
script = "make"
"""


@pytest.fixture
def refused(graph_of: GraphOf) -> Refused:
    def caught(goals: str, bodies: dict[str, str], *settings: str, error: type[OrchError] = RecipeError, **more: str):  # type: ignore[no-untyped-def]
        with pytest.raises(error) as raised:
            graph_of(goals, bodies, *settings, **more)
        assert isinstance(raised.value, error)
        return raised.value.where, raised.value.what, raised.value.why, raised.value.hint

    return caught


def test_a_goal_misspelt(refused: Refused, plain: str) -> None:
    assert refused("nixll", {"nixl": plain}, error=UsageError) == (
        "",
        "there is no recipe 'nixll'",
        "",
        "did you mean 'nixl'?",
    )


def test_an_unknown_input(refused: Refused, plain: str) -> None:
    assert refused("a", {"a": plain.replace('"base"', '"base", "hwlock"'), "hwloc": plain}) == (
        "recipes/a/recipe.toml: inputs.runtime",
        "a names an unknown input 'hwlock'",
        "",
        "did you mean 'hwloc'?",
    )
    vendor = "[vendor.inputs]\nbuild = ['builder', 'x']\n[vendor.build]\nscript = 'x'\n"
    vendor_plain = plain.replace('"source"', '"vendor"') + vendor
    assert refused("a", {"a": vendor_plain})[:2] == (
        "recipes/a/recipe.toml: vendor.inputs.build",
        "a names an unknown input 'x'",
    )


def test_a_cycle_is_shown_whole(refused: Refused, plain: str) -> None:
    bodies = {
        "a": plain.replace('"builder"', '"builder", "b"'),
        "b": plain.replace('"base"', '"base", "c"'),
        "c": plain.replace('"builder"', '"builder", "b"'),
    }
    assert refused("a", bodies) == (
        "recipes/b/recipe.toml: inputs.runtime",
        "a cycle: b -> c -> b",
        "recipes/b/recipe.toml: inputs.runtime names c; recipes/c/recipe.toml: inputs.build names b",
        "drop one",
    )
    assert refused("a", {"a": plain.replace('"builder"', '"builder", "a"')})[1] == "a cycle: a -> a"


@pytest.mark.parametrize(
    ("setting", "error", "what", "why", "hint"),
    [
        ("cuda", UsageError, "not a setting: 'cuda'", "", "write --set NAME=VALUE"),
        ("cuda=", UsageError, "not a setting: 'cuda='", "", "write --set NAME=VALUE"),
        ("cudda=12", RecipeError, "unknown option 'cudda'", "", "did you mean 'cuda'?"),
        ("zzz=12", RecipeError, "unknown option 'zzz'", "", "options: origin, cuda"),
        ("verbs=on", RecipeError, "unknown option 'verbs'", "it is an option of one recipe", "--set fabric.verbs=on"),
        ("a=1", RecipeError, "unknown option 'a'", "it is a recipe", "--set a.version=1"),
        ("cuda=11", RecipeError, "'11' is not a value of cuda", "values: 12, 13", ""),
        ("origin=vender", RecipeError, "'vender' is not a value of origin", "values: source, vendor",
         "did you mean 'vendor'?"),
        ("fabrik.verbs=on", RecipeError, "unknown option 'fabrik.verbs': there is no recipe 'fabrik'", "",
         "did you mean 'fabric'?"),
        ("fabric.verb=on", RecipeError, "unknown option 'fabric.verb'", "fabric has version, verbs",
         "did you mean 'verbs'?"),
        ("a.verbs=on", RecipeError, "unknown option 'a.verbs'", "a has version", "--set fabric.verbs=on"),
        ("a.version=2", RecipeError, "'2' is not a value of a.version", "values: 1", ""),
        ("fabric.verbs=yes", RecipeError, "'yes' is not a value of fabric.verbs", "values: off, on", ""),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong(
    refused: Refused, plain: str, setting: str, error: type[OrchError], what: str, why: str, hint: str
) -> None:
    fabric = plain + "[options.verbs]\ndefault = 'off'\n[options.verbs.values]\noff = {}\non = {}\n"
    assert refused("a", {"a": plain, "fabric": fabric}, setting, error=error) == ("--set", what, why, hint)


def test_a_setting_twice(refused: Refused, plain: str) -> None:
    said = refused("a", {"a": plain}, "cuda=12", "cuda=13", error=UsageError)
    assert said == ("--set", "cuda is set to 12 and to 13", "", "set it once")


def test_an_option_nobody_reads(refused: Refused, plain: str) -> None:
    bodies = {"hwloc": plain, "cuda": CUDA, "other": plain.replace("[build]", "reads = ['cuda']\n[build]")}
    assert refused("hwloc", bodies, "cuda=13") == (
        "--set cuda=13",
        "nothing in the closure of hwloc reads cuda",
        "read by cuda 12.9, cuda 13.0, other 1",
        "leave out --set cuda=13",
    )
    assert refused("hwloc", bodies, "cuda.version=13.0") == (
        "--set cuda.version=13.0",
        "nothing in the closure of hwloc reads cuda.version",
        "cuda is not in it",
        "leave out --set cuda.version=13.0",
    )
    verbs = "[options.verbs]\ndefault = 'off'\n[options.verbs.values]\noff = {}\non = {}\n"
    later = plain.replace("[build]", "[versions.2]\norigin = 'source'\nreads = ['verbs']\n[build]")
    assert refused("fabric", {"fabric": later + verbs}, "fabric.verbs=on") == (
        "--set fabric.verbs=on",
        "nothing in the closure of fabric reads fabric.verbs",
        "read by fabric 2",
        "leave out --set fabric.verbs=on",
    )


def test_a_default_is_as_unread_as_another_value(refused: Refused, plain: str) -> None:
    said = refused("hwloc", {"hwloc": plain}, "cuda=12")
    assert said[1:3] == ("nothing in the closure of hwloc reads cuda", "no version reads it")


def test_an_option_that_chose_a_version_was_read(graph_of: GraphOf, plain: str) -> None:
    newer = "[versions.2]\norigin = 'source'\nwhen = { cuda = '12' }\n[versions.1]"
    graph = graph_of("a", {"a": plain.replace("[versions.1]", newer)}, "cuda=13")
    assert (graph["a"].version, graph["a"].options) == ("1", ())


def test_a_version_that_is_too_old(refused: Refused) -> None:
    assert refused("nixl", {"nixl": NEEDY, "ucx": UCX}, "ucx.version=1.13.1") == (
        "recipes/nixl/recipe.toml: versions.1.4.1.requires[0]",
        "nixl 1.4.1 needs ucx >= 1.19: ucp_device_mem_list_create",
        "ucx 1.13.1 was chosen: --set ucx.version=1.13.1",
        "leave out --set ucx.version=1.13.1 or --set ucx.version=1.22.0+nixl1.4.1",
    )
    assert refused("nixl", {"nixl": NEEDY, "ucx": UCX})[2:] == (
        "ucx 1.13.1 was chosen: the first listed",
        "--set ucx.version=1.22.0+nixl1.4.1",
    )
    assert refused("nixl", {"nixl": NEEDY.replace(">=1.19", ">=2,<3"), "ucx": UCX})[1:] == (
        "nixl 1.4.1 needs ucx >= 2, < 3: ucp_device_mem_list_create",
        "ucx 1.13.1 was chosen: the first listed",
        "no version of ucx here has that",
    )


def test_a_feature_that_is_missing(refused: Refused) -> None:
    nixl = NEEDY.replace('recipe = "ucx", version = ">=1.19"', 'recipe = "cuda", feature = "nvcc"')
    nixl = nixl.replace('"ucx"]', '"cuda"]').replace("ucp_device_mem_list_create", "it compiles kernels")
    assert refused("nixl", {"nixl": nixl, "cuda": CUDA}) == (
        "recipes/nixl/recipe.toml: versions.1.4.1.requires[0]",
        "nixl 1.4.1 needs cuda with nvcc: it compiles kernels",
        "cuda 12.9 was chosen: the first listed",
        "--set cuda=13 --set cuda.version=13.0",
    )


def test_a_requirement_of_a_recipe_that_is_not_there(refused: Refused) -> None:
    nixl = NEEDY.replace('recipe = "ucx"', 'recipe = "uxc"')
    assert refused("nixl", {"nixl": nixl, "ucx": UCX})[1] == "nixl 1.4.1 requires an unknown recipe 'uxc'"


def test_a_version_that_is_no_number_satisfies_nothing(refused: Refused) -> None:
    said = refused("nixl", {"nixl": NEEDY, "ucx": UCX.replace("1.13.1", "main")})
    assert said[1:3] == (
        "nixl 1.4.1 needs ucx >= 1.19: ucp_device_mem_list_create",
        "ucx main was chosen: the first listed",
    )


def test_a_runtime_only_version_is_no_build_input(refused: Refused, plain: str) -> None:
    bodies = {"a": plain.replace('"builder"', '"builder", "ucx"'), "ucx": UCX}
    assert refused("a", bodies, "ucx.version=1.22.0+nixl1.4.1") == (
        "recipes/a/recipe.toml: inputs.build",
        "ucx 1.22.0+nixl1.4.1 cannot be a build input of a 1: it has no headers",
        "1.22.0+nixl1.4.1 was chosen: --set ucx.version=1.22.0+nixl1.4.1",
        "--set ucx.version=1.13.1",
    )


def test_a_link_only_version_is_no_runtime_input(refused: Refused, graph_of: GraphOf, plain: str) -> None:
    stubs = plain.replace('"source"', '"source"\nlink_only = "the driver has the real one"')
    assert refused("a", {"a": plain.replace('"base"', '"base", "stubs"'), "stubs": stubs}) == (
        "recipes/a/recipe.toml: inputs.runtime",
        "stubs 1 cannot be a runtime input of a 1: the driver has the real one",
        "1 was chosen: the first listed",
        "",
    )
    assert graph_of("a", {"a": plain.replace('"builder"', '"builder", "stubs"'), "stubs": stubs})["a"].build == (
        "stubs",
        "builder",
    )


def test_an_unlocked_version(refused: Refused, plain: str) -> None:
    assert refused("a", {"a": plain.replace('"source"', '"source"\nlocked = false')}) == (
        "recipes/a/recipe.toml: versions.1.locked",
        "a 1 is not locked",
        "some hash of its sources is not known yet",
        "orch source lock a@1 completes it where its hosts answer",
    )


def test_a_platform_that_is_not_supported(refused: Refused, plain: str) -> None:
    assert refused("a", {"a": plain}, platform="aarch64-linux") == (
        "recipes/base/recipe.toml: versions.bookworm.platforms",
        "base bookworm is not for aarch64-linux",
        "it is for x86_64-linux",
        "",
    )


def test_a_version_that_does_not_exist_under_the_options(refused: Refused) -> None:
    assert refused("cuda", {"cuda": CUDA}, "cuda.version=13.0") == (
        "recipes/cuda/recipe.toml: versions.13.0.when",
        "cuda 13.0 exists only with cuda=13, and here cuda=12",
        "",
        "say --set cuda=13 too, or leave out --set cuda.version=13.0",
    )
    only = CUDA.replace('[versions."13.0"]\norigin = "vendor"\nwhen = { cuda = "13" }\nprovides = ["nvcc"]\n', "")
    assert refused("cuda", {"cuda": only}, "cuda=13") == (
        "recipes/cuda/recipe.toml",
        "no version of cuda exists with these options",
        "cuda 12.9 exists only with cuda=12, and here cuda=13",
        "",
    )


def test_what_is_brought_must_be_there(refused: Refused) -> None:
    needy = NEEDY.replace(
        'requires = [{ recipe = "ucx", version = ">=1.19", reason = "ucp_device_mem_list_create" }]', "%s"
    )
    assert refused("nixl", {"nixl": needy % 'brings = { ucx = "1.13" }', "ucx": UCX}) == (
        "recipes/nixl/recipe.toml: versions.1.4.1.brings.ucx",
        "nixl 1.4.1 brings ucx 1.13, which does not exist",
        "",
        "did you mean '1.13.1'?",
    )
    assert refused("nixl", {"nixl": needy % 'brings = { uxc = "1.13" }', "ucx": UCX})[:2] == (
        "recipes/nixl/recipe.toml: versions.1.4.1.brings.uxc",
        "nixl names an unknown recipe 'uxc'",
    )


def test_two_that_bring_different_versions(refused: Refused, graph_of: GraphOf) -> None:
    needy = NEEDY.replace(
        'requires = [{ recipe = "ucx", version = ">=1.19", reason = "ucp_device_mem_list_create" }]', "%s"
    )
    bodies = {
        "nixl": needy % 'brings = { ucx = "1.13.1" }',
        "mooncake": needy % 'brings = { ucx = "1.22.0+nixl1.4.1" }',
        "ucx": UCX,
    }
    assert refused("nixl mooncake", bodies) == (
        "recipes/nixl/recipe.toml: versions.1.4.1.brings.ucx",
        "mooncake 1.4.1 brings ucx 1.22.0+nixl1.4.1, nixl 1.4.1 brings ucx 1.13.1",
        "",
        "choose one: --set ucx.version=1.22.0+nixl1.4.1",
    )
    assert graph_of("nixl mooncake", bodies, "ucx.version=1.13.1")["ucx"].version == "1.13.1"


def test_bases(refused: Refused, plain: str) -> None:
    assert refused("a", {"a": plain.replace('"builder"', "")}) == (
        "recipes/a/recipe.toml: inputs.build",
        "a 1 has no base among its build inputs",
        "",
        "add a base, such as base",
    )
    assert refused("a", {"a": plain.replace('"builder"', '"builder", "base"')}) == (
        "recipes/a/recipe.toml: inputs.build",
        "a 1 has 2 bases among its build inputs: builder, base",
        "",
        "name one",
    )
    assert refused("a", {"a": plain.replace('"base"', '"base", "b"'), "b": plain.replace('"base"', '"builder"')}) == (
        "recipes/a/recipe.toml",
        "the runtime closure of a 1 has two bases: base and builder",
        "a -> base; a -> b -> builder",
        "give both the same base in inputs.runtime",
    )


def test_what_comes_with_the_others_must_settle(refused: Refused, plain: str) -> None:
    # 1 of a needs b, which brings 2 of a, which needs no b.
    option = "[options.o]\ndefault = 'x'\n[options.o.values.x]\nruntime = ['b']\n"
    two = "[versions.1]\norigin = 'source'\nreads = ['o']\n[versions.2]"
    bodies = {
        "a": plain.replace("[versions.1]", two) + option,
        "b": plain.replace("[build]", "brings = { a = '2' }\n[build]"),
    }
    assert refused("a", bodies) == (
        "",
        "which version of a comes with the others depends on itself",
        "",
        "choose it: --set a.version=...",
    )
