"""What a graph holds: which versions, in which order, mounted where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from orchestrator.graph.closure import build_closure, check_mounts, checks_of, runtime_closure
from orchestrator.graph.derivation import Graph, Setuid, Source
from orchestrator.graph.dirty import DeveloperTree, dirty_names, with_trees
from orchestrator.graph.keys import derivation_keys
from orchestrator.graph.options import Settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import GlobalOption, Recipe

GraphOf = Callable[..., Graph]

CUDA = """
[inputs]
build = ["builder"]
runtime = ["base"]
[versions."12.9"]
origin = "vendor"
when = { cuda = "12" }
[versions."13.0"]
origin = "vendor"
when = { cuda = "13" }
provides = ["nvcc"]
[build]
script = "cp"
[runtime]
env = { CUDA_HOME = "/usr/local/cuda" }
ldconf = ["/usr/local/cuda/lib64"]
"""
UCX = """
[inputs]
build = ["builder", "cuda"]
runtime = ["base", "cuda"]
[options.verbs]
default = "off"
[options.verbs.values.off]
flags = ["--no-verbs"]
[options.verbs.values.on]
flags = ["--verbs"]
build = ["rdma"]
runtime = ["rdma"]
[versions."1.22"]
origin = "vendor"
reads = ["cuda"]
[[versions."1.22".sources]]
from = "pypi:nixl/nixl-12.whl"
sha256 = "aa"
unpack = ""
when = { cuda = "12" }
[[versions."1.22".sources]]
from = "pypi:nixl/nixl-13.whl"
sha256 = "bb"
when = { cuda = "13" }
[versions."1.21"]
origin = "vendor"
[versions."1.13"]
origin = "source"
reads = ["verbs"]
flags = ["--prefix"]
patches = ["fix.patch"]
[[versions."1.13".sources]]
from = "file:ucx.tar"
sha256 = "cc"
size = 3
[build]
script = "make"
"""
NIXL = """
[inputs]
build = ["builder", "ucx"]
runtime = ["base", "ucx", "cuda"]
check = ["builder", "tool"]
[versions."1.4"]
origin = "vendor"
brings = { ucx = "1.22" }
[versions."1.0"]
origin = "vendor"
brings = { ucx = "1.21" }
[build]
script = "cp"
[check]
script = "test"
files = ["check.c"]
"""


@pytest.fixture
def bodies(plain: str) -> dict[str, str]:
    tool = plain.replace('runtime = ["base"]', 'runtime = ["base", "rdma"]')
    return {"cuda": CUDA, "ucx": UCX, "nixl": NIXL, "rdma": plain + "[check]\nscript = 'x'\n", "tool": tool}


def versions(graph: Graph) -> dict[str, str]:
    return {node.name: node.version for node in graph.nodes if not node.is_base}


def test_the_defaults(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies)
    assert versions(graph) == {"cuda": "12.9", "rdma": "1", "tool": "1", "ucx": "1.22", "nixl": "1.4"}
    assert graph.goals == ("nixl",)
    assert graph.options == ()


def test_dependencies_come_first(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl ucx", bodies, "ucx.version=1.13", "ucx.verbs=on")
    seen: set[str] = set()
    for node in graph.nodes:
        assert {*node.build, *node.runtime} <= seen
        seen.add(node.name)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["cuda=13"], {"cuda": "13.0", "ucx": "1.22", "nixl": "1.4"}),
        (["nixl.version=1.0"], {"cuda": "12.9", "ucx": "1.21", "nixl": "1.0"}),
        (["nixl.version=1.0", "ucx.version=1.13"], {"cuda": "12.9", "ucx": "1.13", "nixl": "1.0"}),
        (["origin=source"], {"cuda": "12.9", "ucx": "1.22", "nixl": "1.4"}),  # nixl brings it
    ],
)
def test_which_version(
    graph_of: GraphOf, bodies: Mapping[str, str], settings: list[str], expected: dict[str, str]
) -> None:
    graph = graph_of("nixl", bodies, *settings)
    assert {name: versions(graph)[name] for name in expected} == expected
    assert graph.options == tuple(sorted((s.split("=")[0], s.split("=")[1]) for s in settings))


def test_an_origin_is_a_preference(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("ucx", bodies, "origin=source")
    assert [(node.label, node.origin) for node in graph.nodes[2:]] == [("cuda 12.9", "vendor"), ("ucx 1.13", "source")]


def test_what_is_brought_is_known_before_it_is_chosen(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    assert versions(graph_of("ucx nixl", bodies, "nixl.version=1.0"))["ucx"] == "1.21"


def test_what_is_mounted(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies, "ucx.version=1.13", "ucx.verbs=on")
    assert graph["ucx"].build == ("cuda", "rdma", "builder")
    assert graph["ucx"].runtime == ("cuda", "rdma", "base")
    assert graph["nixl"].build == ("ucx", "cuda", "rdma", "builder")
    assert graph["nixl"].runtime == ("ucx", "cuda", "rdma", "base")
    assert graph["base"].build == graph["base"].runtime == ()


def test_a_check_has_its_inputs_and_may_have_another_base(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies)
    check = graph["nixl"].check
    assert check is not None
    assert check.inputs == ("tool", "rdma", "builder")
    assert [file.name for file in check.files] == ["check.c"]
    assert check_mounts(graph, graph["nixl"]) == ("tool", "rdma", "nixl", "ucx", "cuda", "builder")


def test_a_check_shares_what_runs_already(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    other = {**bodies, "nixl": NIXL.replace('check = ["builder", "tool"]', 'check = ["base", "tool", "cuda"]')}
    graph = graph_of("nixl", other)
    check = graph["nixl"].check
    assert check is not None
    assert check.inputs == ("tool", "rdma")
    assert check_mounts(graph, graph["nixl"])[-1] == "base"


def test_only_what_the_goals_run_with_is_checked(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies)
    assert checks_of(graph, "nixl") == ("nixl",)
    assert graph["rdma"].check is None  # an input of a check: built, not checked
    with_rdma = graph_of("nixl", bodies, "ucx.version=1.13", "ucx.verbs=on")
    assert checks_of(with_rdma, "nixl") == ("rdma", "nixl")
    assert "tool" not in graph_of("ucx", bodies)


def test_closures(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies)
    assert runtime_closure(graph, ["nixl"]) == ("base", "cuda", "ucx", "nixl")
    assert build_closure(graph, ["nixl"]) == ("builder", "cuda", "ucx", "nixl")


def test_a_node_holds_what_it_reads_and_no_more(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    graph = graph_of("nixl", bodies, "cuda=13")
    assert graph["ucx"].options == (("cuda", "13"),)
    assert graph["ucx"].flags == ()
    assert [(s.file_name, s.unpack) for s in graph["ucx"].sources] == [("nixl-13.whl", "ucx")]
    assert graph["cuda"].options == (("cuda", "13"),)
    assert graph["cuda"].environment == (("CUDA_HOME", "/usr/local/cuda"),)
    assert graph["nixl"].options == ()
    ucx = graph_of("ucx", bodies, "ucx.version=1.13", "ucx.verbs=on")["ucx"]
    assert (ucx.options, ucx.flags) == ((("verbs", "on"),), ("--prefix", "--verbs"))
    assert ucx.sources == (
        Source(
            name="file:ucx.tar",
            file_name="ucx.tar",
            sha256="cc",
            size=3,
            unpack="ucx",
            where="recipes/ucx/recipe.toml: versions.1.13.sources[0]",
        ),
    )


def test_a_file_that_stays_as_it_is(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    assert graph_of("ucx", bodies)["ucx"].sources[0].unpack is None


def test_a_base_is_made_of_its_lock(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    base = graph_of("base", bodies)["base"]
    assert (base.builder, base.is_base, base.setuid) == (
        "debian-base",
        True,
        (Setuid(path="/usr/bin/su", reason="asked for"),),
    )
    assert base.sources == (
        Source(
            name="debian:pool/l/libc6_2.36_amd64.deb",
            file_name="libc6_2.36_amd64.deb",
            sha256="cd" * 32,
            size=5,
            where="recipes/base/l: libc6",
        ),
    )


def test_an_unlocked_version_can_be_shown(
    recipes_of: Callable[[Mapping[str, str]], dict[str, Recipe]], plain: str, cuda: GlobalOption
) -> None:
    recipes = recipes_of({"a": plain.replace("[versions.1]\n", "[versions.1]\nlocked = false\n")})
    graph = resolve(recipes, [cuda], ["a"], Settings(), "x86_64-linux", allow_unlocked=True)
    assert not graph["a"].locked


def test_the_order_of_inputs_is_no_matter(graph_of: GraphOf, bodies: Mapping[str, str]) -> None:
    turned = {**bodies, "nixl": NIXL.replace('"base", "ucx", "cuda"', '"cuda", "ucx", "base"')}
    assert graph_of("nixl", bodies) == graph_of("nixl", turned)


def test_a_deep_chain_needs_no_deep_stack(graph_of: GraphOf, plain: str) -> None:
    bodies = {"r0": plain}
    for index in range(1, 1500):
        bodies[f"r{index}"] = plain.replace('"builder"', f'"builder", "r{index - 1}"')
    assert len(graph_of("r1499", bodies).nodes) == 1502


UNPROVEN = """
[inputs]
build = ["builder"]
runtime = ["base"]
[versions.3]
origin = "source"
unproven = "nobody here reaches its host"
[versions.2]
origin = "source"
[versions.1]
origin = "vendor"
[build]
script = "make"
"""


@pytest.mark.parametrize(
    ("body", "settings", "version"),
    [
        (UNPROVEN, (), "2"),
        (UNPROVEN, ("origin=source",), "3"),
        (UNPROVEN, ("origin=vendor",), "1"),
        (UNPROVEN, ("a.version=3",), "3"),
        (UNPROVEN.replace('[versions.2]\norigin = "source"\n[versions.1]\norigin = "vendor"\n', ""), (), "3"),
    ],
)
def test_what_nobody_has_built_is_no_default(
    graph_of: GraphOf, body: str, settings: tuple[str, ...], version: str
) -> None:
    """But by name, by origin, or where there is nothing else."""
    assert versions(graph_of("a", {"a": body}, *settings))["a"] == version


def test_a_developers_tree_in_a_graph(graph_of: GraphOf, plain: str) -> None:
    """It takes the place of the main source; what is built with it is dirty too, what runs with it is not."""
    tree = "ab" * 32
    kept = f'{{ from = "file:/x", sha256 = "{tree}", unpack = "" }}'
    sources = f'sources = [{kept}, {{ from = "file:/y.tar", sha256 = "{tree}" }}]'
    bodies = {
        "a": plain.replace('"source"', f'"source"\n{sources}', 1),
        "b": plain.replace('build = ["builder"]', 'build = ["builder", "a"]'),
        "c": plain.replace('build = ["builder"]', 'build = ["builder", "b"]'),
        "d": plain.replace('runtime = ["base"]', 'runtime = ["base", "a"]'),
    }
    before = graph_of("c d", bodies)
    after = with_trees(before, {"a": DeveloperTree(path="/own", tree=tree)})
    assert dirty_names(after) == ("a", "b", "c")
    assert [source.name for source in after["a"].sources] == ["file:/x", "dir:/own"]
    assert after["a"].sources[1].unpack == before["a"].sources[1].unpack
    old, new = derivation_keys(before), derivation_keys(after)
    assert {name for name in old if old[name] != new[name]} == {"a", "b", "c"}
    assert with_trees(before, {}) == before
