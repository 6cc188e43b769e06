"""What moves a key and what does not, and the keys themselves, pinned. If a pin here moves, say so in the changelog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import Digest, blake3_bytes, canonical_json, key_of
from orchestrator.graph import keys as keys_module
from orchestrator.graph.closure import closure_document, closure_key
from orchestrator.graph.derivation import Check, Graph, LocalFile, Node, Setuid, Source
from orchestrator.graph.keys import check_document, derivation_document, derivation_keys
from orchestrator.sandbox import spec

PATCH = LocalFile(name="fix.patch", sha256="11" * 32, path=Path("/a/fix.patch"))
HELPER = LocalFile(name="helper.py", sha256="22" * 32, path=Path("/a/helper.py"))
SOURCE = Source(name="pypi:a/a-1.whl", file_name="a-1.whl", sha256="33" * 32, size=5, unpack="a", where="x")
BASE = Node(
    name="base",
    version="bookworm",
    origin="vendor",
    platform="x86_64-linux",
    summary="Debian",
    builder="debian-base",
    is_base=True,
    options=(),
    flags=(),
    sources=(Source(name="debian:pool/a.deb", file_name="a.deb", sha256="44" * 32),),
    patches=(),
    files=(),
    script="",
    setuid=(Setuid(path="/usr/bin/su", reason="login"),),
    build=(),
    runtime=(),
)
NODE = Node(
    name="ucx",
    version="1.13.1",
    origin="source",
    platform="x86_64-linux",
    summary="Transports",
    builder="script",
    is_base=False,
    options=(("cuda", "12"), ("verbs", "on")),
    flags=("--prefix=/usr/local/ucx", "--verbs"),
    sources=(SOURCE,),
    patches=(PATCH,),
    files=(HELPER,),
    script="make\nmake install\n",
    build=("base",),
    runtime=("base",),
    check=Check(script="ucx_info\n", files=(HELPER,)),
    environment=(("UCX_HOME", "/usr/local/ucx"),),
    ldconf=("/usr/local/ucx/lib",),
    where="recipes/ucx/recipe.toml",
)
GRAPH = Graph(goals=("ucx",), nodes=(BASE, NODE), options=())
OUTPUT = Digest("blake3", "55" * 32)
OTHER = Digest("blake3", "66" * 32)


def key(node: Node) -> Digest:
    return key_of(derivation_document(node, {"base": OUTPUT, "tool": OTHER}))


def check_key(graph: Graph, others: dict[str, Digest] | None = None) -> Digest:
    return key_of(check_document(graph, graph["ucx"], OUTPUT, others or {"base": OTHER}))


def goal_key(graph: Graph) -> Digest:
    return closure_key(graph, "ucx", derivation_keys(graph))


def with_node(**change: Any) -> Graph:
    return replace(GRAPH, nodes=(BASE, replace(NODE, **change)))


def test_the_schema_of_the_sandbox_is_that_of_the_sandbox() -> None:
    assert spec.SANDBOX_SCHEMA == keys_module.SANDBOX_SCHEMA


def test_golden_keys() -> None:
    assert canonical_json(derivation_document(NODE, {"base": OUTPUT})).decode() == (
        '{"builder":"script","files":[{"executable":false,"name":"helper.py","sha256":"' + "22" * 32 + '"}],'
        '"flags":["--prefix=/usr/local/ucx","--verbs"],"inputs":{"base":"blake3:' + "55" * 32 + '"},'
        '"kind":"derivation","name":"ucx","options":{"cuda":"12","verbs":"on"},'
        '"patches":[{"executable":false,"name":"fix.patch","sha256":"'
        + "11"
        * 32
        + '"}],"platform":"x86_64-linux","sandbox":1,"schema":1,'
        '"script":"make\\nmake install\\n","setuid":[],'
        '"sources":[{"file_name":"a-1.whl","sha256":"' + "33" * 32 + '","unpack":"a"}],"version":"1.13.1"}'
    )
    assert {name: digest.hex for name, digest in derivation_keys(GRAPH).items()} == {
        "base": "084ae4fc0d987efaf9bfcc476bc7958ef27e0e08e92121784a940c5ff4b9e976",
        "ucx": "30da1d284f3ed6f2f6156e7c1154e1d7bb9eb60d0512c5e53f16ec58c3e90aba",
    }
    assert check_key(GRAPH).hex == "085a4388fa2dd54360c2ef5031b3247f27ef22d06e9686fef64aa63c9d748ea3"
    assert goal_key(GRAPH).hex == "617d65e41d1f91138c4fc8f2fefba79035b22a570b2c3b5b7a9bbb4e1d912b72"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ucy"},
        {"version": "1.13.2"},
        {"platform": "aarch64-linux"},
        {"builder": "debian-base"},
        {"options": (("cuda", "13"), ("verbs", "on"))},
        {"options": (("cuda", "12"),)},
        {"flags": ("--verbs", "--prefix=/usr/local/ucx")},
        {"flags": ("--prefix=/usr/local/ucx",)},
        {"sources": (replace(SOURCE, sha256="34" * 32),)},
        {"sources": (replace(SOURCE, sha256=None, tree="33" * 32),)},
        {"sources": (replace(SOURCE, file_name="b-1.whl"),)},
        {"sources": (replace(SOURCE, unpack=None),)},
        {"sources": ()},
        {"patches": ()},
        {"patches": (replace(PATCH, sha256="12" * 32),)},
        {"files": (replace(HELPER, executable=True),)},
        {"patches": (PATCH, replace(PATCH, name="b.patch"))},
        {"files": (replace(HELPER, sha256="23" * 32),)},
        {"files": (replace(HELPER, name="other.py"),)},
        {"script": "make\nmake install \n"},
        {"build": ("tool", "base")},
        {"setuid": (Setuid(path="/usr/bin/su", reason="login"),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_moves_a_derivation_key(change: dict[str, Any]) -> None:
    assert key(replace(NODE, **change)) != key(NODE)


@pytest.mark.parametrize(
    "change",
    [
        {"summary": "Other"},
        {"origin": "vendor"},
        {"is_base": True},
        {"runtime": ()},
        {"check": None},
        {"check": Check(script="other")},
        {"environment": ()},
        {"ldconf": ()},
        {"locked": False},
        {"where": "elsewhere"},
        {"sources": (replace(SOURCE, size=6, where="y", name="https://b/a-1.whl"),)},
        {"patches": (replace(PATCH, path=Path("/b/fix.patch")),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_does_not_move_a_derivation_key(change: dict[str, Any]) -> None:
    assert key(replace(NODE, **change)) == key(NODE)


def test_order_matters_for_patches_and_not_for_files_or_setuid() -> None:
    two = (PATCH, replace(PATCH, name="b.patch"))
    assert key(replace(NODE, patches=two)) != key(replace(NODE, patches=two[::-1]))
    files = (HELPER, replace(HELPER, name="b.py"))
    assert key(replace(NODE, files=files)) == key(replace(NODE, files=files[::-1]))
    setuid = (Setuid(path="/a", reason="x"), Setuid(path="/b", reason="x"))
    assert key(replace(BASE, setuid=setuid)) == key(replace(BASE, setuid=setuid[::-1]))
    assert key(replace(BASE, setuid=(Setuid(path="/a", reason="x"),))) == key(
        replace(BASE, setuid=(Setuid(path="/a", reason="y"),))
    )


def test_the_sandbox_schema_moves_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(NODE), check_key(GRAPH), goal_key(GRAPH)
    monkeypatch.setattr(keys_module, "SANDBOX_SCHEMA", 2)
    again = replace(GRAPH)  # a graph remembers its keys
    after = key(NODE), check_key(again), goal_key(again)
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_changed_input_moves_what_is_built_with_it() -> None:
    changed = replace(GRAPH, nodes=(replace(BASE, version="trixie"), NODE))
    assert derivation_keys(changed)["ucx"] != derivation_keys(GRAPH)["ucx"]
    same = derivation_document(NODE, {"base": OUTPUT})
    assert derivation_document(NODE, {"base": OTHER}).keys() == same.keys()


@pytest.mark.parametrize(
    "change",
    [
        {"check": Check(script="ucx_info -v\n", files=(HELPER,))},
        {"check": Check(script="ucx_info\n")},
        {"check": Check(script="ucx_info\n", files=(replace(HELPER, sha256="23" * 32),))},
        {"environment": (("UCX_HOME", "/usr/local"),)},
        {"ldconf": ()},
        {"version": "1.13.2"},
        {"options": ()},
        {"flags": ()},
        {"platform": "aarch64-linux"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_moves_a_check_and_the_goal(change: dict[str, Any]) -> None:
    assert check_key(with_node(**change)) != check_key(GRAPH)
    assert goal_key(with_node(**change)) != goal_key(GRAPH)


def test_what_a_check_runs_with_moves_it() -> None:
    assert check_key(GRAPH, {"base": OUTPUT}) != check_key(GRAPH)
    assert key_of(check_document(GRAPH, NODE, OTHER, {"base": OTHER})) != check_key(GRAPH)


@pytest.mark.parametrize("field", ["summary", "where", "origin"])
def test_what_moves_neither_check_nor_goal(field: str) -> None:
    value = "vendor" if field == "origin" else "other"
    assert check_key(with_node(**{field: value})) == check_key(GRAPH)
    assert goal_key(with_node(**{field: value})) == goal_key(GRAPH)


def test_a_changed_check_moves_no_derivation_key() -> None:
    assert derivation_keys(with_node(check=Check(script="other"))) == derivation_keys(GRAPH)


TOOL = replace(NODE, name="tool", check=None)


def checked_with(tool: Node, *inputs: str) -> Graph:
    check = Check(script="ucx_info\n", files=(HELPER,), inputs=inputs)
    return Graph(goals=("ucx",), nodes=(BASE, tool, replace(NODE, check=check)), options=())


def test_a_check_input_moves_the_goal() -> None:
    changed = checked_with(replace(TOOL, script="other"), "tool")
    assert goal_key(checked_with(TOOL, "tool")) != goal_key(changed)
    assert derivation_keys(checked_with(TOOL, "tool"))["ucx"] == derivation_keys(changed)["ucx"]


def test_a_base_named_in_the_check_replaces_the_other() -> None:
    other = replace(BASE, name="builder")
    check = Check(script="ucx_info\n", inputs=("builder",))
    graph = Graph(goals=("ucx",), nodes=(BASE, other, replace(NODE, check=check)), options=())
    document = check_document(graph, graph["ucx"], OUTPUT, {"base": OUTPUT, "builder": OTHER})
    assert document["closure"] == {"builder": str(OTHER)}


def test_what_no_goal_runs_with_moves_no_goal() -> None:
    assert goal_key(checked_with(TOOL)) == goal_key(checked_with(replace(TOOL, script="other")))


words = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | words
documents = st.dictionaries(
    words, st.recursive(leaves, lambda d: st.lists(d, max_size=3) | st.dictionaries(words, d, max_size=3), max_leaves=8)
)


def turned(value: Any) -> Any:
    """The same document with every mapping's names in the other order."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """A value in which what JSON tells apart is different for Python too (True is not 1)."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else (type(value).__name__, value)


@settings(deadline=None)  # a busy machine is no failure
@given(documents)
def test_the_order_of_names_is_no_matter(document: dict[str, Any]) -> None:
    assert canonical_json(turned(document)) == canonical_json(document)


@settings(deadline=None)  # a busy machine is no failure
@given(documents, documents)
def test_different_documents_have_different_bytes(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (plain(one) == plain(other)) == (canonical_json(one) == canonical_json(other))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(words, max_size=4), st.lists(words, max_size=4))
def test_flags_are_told_apart(one: list[str], other: list[str]) -> None:
    same = key(replace(NODE, flags=tuple(one))) == key(replace(NODE, flags=tuple(other)))
    assert same == (one == other)


BODY = """
summary = %s
licence = %s
[inputs]
build = ["builder"]
runtime = ["base"]
[options.unread]
default = "a"
[options.unread.values.a]
flags = ["--a"]
[options.unread.values.b]
flags = [%s]
[versions.1]
origin = "source"
reads = ["cuda"]
[versions.2]
origin = "source"
reads = ["unread", "cuda"]
flags = [%s]
[build]
script = "make"
"""
printable = st.text(alphabet=st.characters(codec="ascii", exclude_categories=["C"]), max_size=12)


def toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@settings(deadline=None)  # a busy machine is no failure
@given(st.tuples(printable, printable, printable, printable))
def test_summary_unread_options_and_other_versions_move_no_key(
    graph_of: Callable[..., Graph], texts: tuple[str, str, str, str]
) -> None:
    graph = graph_of("a", {"a": BODY % tuple(toml(text) for text in texts)}, "cuda=12")
    usual = graph_of("a", {"a": BODY % tuple(toml(text) for text in ("s", "l", "f", "g"))}, "cuda=12")
    assert derivation_keys(graph) == derivation_keys(usual)
    assert closure_key(graph, "a", derivation_keys(graph)) == closure_key(usual, "a", derivation_keys(usual))


def test_an_option_that_is_read_moves_its_readers_alone(graph_of: Callable[..., Graph], plain: str) -> None:
    body = BODY % ('"s"', '"l"', '"f"', '"g"')
    bodies = {"a": body.replace('"base"]', '"base", "b"]'), "b": plain}
    before, after = (derivation_keys(graph_of("a", bodies, f"cuda={v}")) for v in ("12", "13"))
    assert {name for name in before if before[name] != after[name]} == {"a"}


@given(
    script=st.text(max_size=40)
    | st.sampled_from([',"inputs":{}', '","inputs":{},"', '\\","inputs":{}', '{"inputs":{}}']),
    options=st.dictionaries(st.sampled_from(["cuda", "inputs", "a"]), st.sampled_from(["", "{}", "x"]), max_size=3),
    flags=st.lists(st.sampled_from([',"inputs":{}', "x"]), max_size=2),
    names=st.lists(st.sampled_from(["base", "ucx", 'odd",name', "ü", "wheel:x"]), unique=True),
)
def test_the_form_of_a_node_gives_the_key_of_its_document(
    script: str, options: dict[str, str], flags: list[str], names: list[str]
) -> None:
    node = replace(NODE, script=script, options=tuple(sorted(options.items())), flags=tuple(flags), build=tuple(names))
    inputs = {name: Digest("blake3", f"{number:064x}") for number, name in enumerate([*names, "stranger"])}
    texts = {name: str(digest) for name, digest in inputs.items()}
    assert keys_module.KeyForm(node).key(texts) == key_of(derivation_document(node, inputs))


odd = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)
dressed = st.fixed_dictionaries(
    {
        "environment": st.lists(st.tuples(odd, odd), max_size=2).map(tuple),
        "ldconf": st.lists(odd, max_size=2).map(tuple),
        "check": st.none() | st.builds(Check, script=odd, inputs=st.sampled_from([(), ("goal",)])),
    }
)


@given(nodes=st.dictionaries(odd | st.sampled_from(['odd",name', "ü", "wheel:x", "[]"]), dressed, max_size=5))
def test_the_key_of_a_goal_is_the_key_of_its_document(nodes: dict[str, dict[str, Any]]) -> None:
    bare = {"environment": (), "ldconf": (), "check": None}
    runtime = tuple(name for name in nodes if name != "goal")
    made = [replace(NODE, name=name, build=(), runtime=(), **nodes[name]) for name in runtime]
    goal = replace(NODE, name="goal", build=(), runtime=runtime, **nodes.get("goal", bare))
    graph = Graph(goals=("goal",), nodes=(*made, goal), options=())
    keys = derivation_keys(graph)
    assert closure_key(graph, "goal", keys) == key_of(closure_document(graph, "goal", keys))


def test_a_graph_made_of_another_has_its_own_keys() -> None:
    before = dict(derivation_keys(GRAPH))
    moved = derivation_keys(replace(GRAPH, nodes=(BASE, replace(NODE, script="other"))))
    assert moved["ucx"] != before["ucx"]
    assert derivation_keys(GRAPH) == before
    assert replace(GRAPH) == GRAPH  # what is remembered is no part of it


def test_a_digest_that_is_not_spelt_out_has_no_canonical_form() -> None:
    digest = blake3_bytes(b"x")
    with pytest.raises(TypeError, match=r"\$\.input: Digest has no canonical form"):
        canonical_json({"input": digest})
    assert canonical_json({"input": str(digest)}).startswith(b'{"input":"blake3:')
