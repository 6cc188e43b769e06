"""Wheels and their bytecode through the engine: a small base with a real Python, wheels made here, a real sandbox."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from image_project import BASE, SITE, make_wheel, write_base
from projects import copy_store, empty_project, unlock

from orchestrator.build.known import StoreKnown
from orchestrator.build.make import Report
from orchestrator.build.plan import make_plan
from orchestrator.build.realise import Engine
from orchestrator.build.rebuild import rebuild
from orchestrator.build.run_options import RunOptions
from orchestrator.digest import Digest
from orchestrator.errors import SourceError
from orchestrator.events import Event
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.graph.environment import BYTECODE, with_environment
from orchestrator.graph.options import parse_settings
from orchestrator.graph.resolve import resolve
from orchestrator.recipe import find_project, load_recipes
from orchestrator.recipe.image import Drop, Image, ImageDocument, Python, Winner
from orchestrator.recipe.python_lock import PythonLock, Wheel
from orchestrator.store import Layout, add_source, latest_log, object_tree, open_store, read_manifest

pytestmark = pytest.mark.integration

# Names that other modules have too, constants of every kind, and what would differ if references were counted.
SOURCE = b"""
import os, sys
path = name = join = "os"
letters = (",", "\xc3\xa9", "x", "join", frozenset({"b", "a", 1}), 10**30, 1.5, b"bytes", ...)
class Path:
    def join(self, *path, name=None, **environ):
        return [(lambda: (path, name, environ, __class__)) for name in path]
"""


@pytest.fixture(scope="module")
def store(snake_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Graph, Layout]]:
    """A store that holds a base with Python, and the graph of that base."""
    directory = tmp_path_factory.mktemp("wheels")
    copy_store(snake_store, directory / "store")
    project = empty_project(directory / "project", directory / "store")
    write_base(project)
    loaded = find_project(project.root)
    recipes = load_recipes(loaded)
    graph = resolve(recipes, loaded.options, (BASE,), parse_settings([], recipes, loaded.options), "x86_64-linux")
    yield graph, open_store(project.store)
    unlock(project.store)


def made(directory: Path, layout: Layout, name: str, files: Mapping[str, bytes], *, lie: bool = False) -> Wheel:
    """A wheel, put among the store's sources."""
    wheel = make_wheel(directory, name, files, lie=lie)
    add_source(layout, wheel.file, sha256=wheel.sha256, names=(wheel.file.name,))
    return wheel.locked


def image_of(*wheels: Wheel, winners: tuple[Winner, ...] = (), drop: tuple[Drop, ...] = ()) -> Image:
    lock = PythonLock(python="3.11", platform="p", exclude_newer="", input="", made="", wheels=wheels)
    python = Python(requirements=(), exclude_newer="2026-01-01")
    document = ImageDocument(name="demo", summary="", version="1", python=python, winners=winners, drop=drop)
    where = "recipes/images/demo/image.toml"
    return Image(document=document, where=where, directory=Path("/x"), lock=lock, lock_missing=False, files={})


def fetched(layout: Layout) -> Any:
    def fetch(node: Node, source: Source, stopped: Any) -> Path:
        assert source.sha256 is not None
        return layout.sources / source.sha256

    return fetch


def quiet(event: Event) -> None:
    pass


def realised(graph: Graph, layout: Layout, *, cores: int = 2) -> Report:
    """What the engine did for the goals and for every node that an image adds."""
    names = [node.name for node in graph.nodes if node.builder in ("wheel", "bytecode")]
    options = RunOptions(jobs=2, cores=cores, keep_going=True)
    engine = Engine(graph, layout, options=options, fetch=fetched(layout), monitor=quiet)
    return engine.run(objects=names)


def files(layout: Layout, digest: Digest) -> dict[str, bytes]:
    top = object_tree(layout, digest)
    return {e.path: (top / e.path).read_bytes() for e in read_manifest(layout, digest).entries if e.kind == "file"}


def constant(pyc: bytes) -> Any:
    """What a module that is one assignment assigns."""
    assert pyc[4:8] == b"\1\0\0\0"  # hash-based, never compared with the source
    return marshal.loads(pyc[16:]).co_consts[0]


def test_wheels_are_installed_and_compiled_once(store: tuple[Graph, Layout], tmp_path: Path) -> None:
    graph, layout = store
    one = made(tmp_path, layout, "one", {"one/__init__.py": SOURCE, "one/bad.py": b"print 'old'\n", "one/x.txt": b"x"})
    two = made(tmp_path, layout, "two", {"two.py": b"two = 2\n", "start.pth": b"import two\n", "nul.py": b"\0"})
    whole = with_environment(graph, image_of(one, two), base=BASE)
    names = ("wheel:one", "wheel:two", BYTECODE)
    plan = make_plan(whole, StoreKnown(layout=layout), names)
    assert [step.name for step in plan.steps if step.action == "build"] == [f"build {name}" for name in names]
    report = realised(whole, layout)
    assert not report.failures
    assert report.outcomes == {"built": report.outcomes["built"]}
    assert sorted(report.outcomes["built"]) == sorted(names)
    assert set(report.objects) == set(names)
    assert set(report.outputs) == {BASE}
    compiled = files(layout, report.objects[BYTECODE])
    assert set(compiled) == {
        f"{SITE}/one/__pycache__/__init__.cpython-311.pyc",
        f"{SITE}/__pycache__/two.cpython-311.pyc",
    }
    code = marshal.loads(compiled[f"{SITE}/one/__pycache__/__init__.cpython-311.pyc"][16:])
    assert code.co_filename == f"/{SITE}/one/__init__.py"
    log = latest_log(layout, BYTECODE)
    assert log is not None
    assert "2 files compiled, 2 that do not compile left as they are" in log.read_text()
    log = latest_log(layout, "wheel:two")
    assert log is not None
    assert "read by every interpreter when it starts: start.pth" in log.read_text()
    again = realised(whole, layout)
    assert not again.outcomes
    assert again.objects == report.objects
    plan = make_plan(whole, StoreKnown(layout=layout), names)
    assert not plan.steps
    assert set(names) <= set(plan.there)


def test_the_same_again_with_other_cores(store: tuple[Graph, Layout], tmp_path: Path) -> None:
    graph, layout = store
    sources = {f"many/m{i}.py": SOURCE + f"unique_{i} = join, 'name{i % 7}'\n".encode() * i for i in range(60)}
    whole = with_environment(graph, image_of(made(tmp_path, layout, "many", sources)), base=BASE)
    report = realised(whole, layout, cores=1)
    assert not report.failures
    outputs = {**report.objects, BASE: report.outputs[BASE]}
    options = RunOptions(jobs=1, cores=1)
    verdicts = rebuild(whole, outputs, layout, options=options, fetch=fetched(layout), monitor=quiet)
    assert {verdict.name: verdict.same for verdict in verdicts} == dict.fromkeys(outputs, True)
    assert len(files(layout, report.objects[BYTECODE])) == 60
    # What is compiled beside a file makes no difference to it.
    alone = {"many/m7.py": sources["many/m7.py"]}
    single = realised(with_environment(graph, image_of(made(tmp_path, layout, "few", alone)), base=BASE), layout)
    path = f"{SITE}/many/__pycache__/m7.cpython-311.pyc"
    assert files(layout, single.objects[BYTECODE])[path] == files(layout, report.objects[BYTECODE])[path]


def test_bytecode_is_of_the_file_that_wins(store: tuple[Graph, Layout], tmp_path: Path) -> None:
    graph, layout = store
    a = made(tmp_path, layout, "a", {"x.py": b"x = 'a'\n", "y.py": b"y = 'a'\n", "z.py": b"z = 'a'\n"})
    b = made(tmp_path, layout, "b", {"x.py": b"x = 'b'\n", "y.py": b"y = 'b'\n", "w.py": b"w = 'b'\n"})

    def winner(path: str, component: str) -> Winner:
        return Winner(path=f"/{SITE}/{path}", component=component, reason="")

    def compiled(**choices: Any) -> dict[str, Any]:
        whole = with_environment(graph, image_of(a, b, **choices), base=BASE)
        report = realised(whole, layout)
        assert not report.failures
        found = files(layout, report.objects[BYTECODE])
        return {Path(path).name.partition(".")[0]: constant(data) for path, data in found.items()}

    b_wins = (winner("x.py", "wheel:b"), winner("y.py", "wheel:b"))
    assert compiled(winners=b_wins) == {"x": "b", "y": "b", "z": "a", "w": "b"}
    dropped = (Drop(path=f"{SITE}/[xz].py", component="wheel:a", reason=""),)
    assert compiled(drop=dropped, winners=(winner("y.py", "wheel:b"),)) == {"x": "b", "y": "b", "w": "b"}
    elsewhere = (winner("x.py", "nixl"), winner("y.py", "wheel:a"))
    assert compiled(winners=elsewhere) == {"y": "a", "z": "a", "w": "b"}
    crossed = (winner("x.py", "wheel:a"), winner("y.py", "wheel:b"))
    report = realised(with_environment(graph, image_of(a, b, winners=crossed), base=BASE), layout)
    ((step, error),) = report.failures
    assert step == f"build {BYTECODE}"
    assert "no order of the wheels" in error.what
    assert f"/{SITE}/x.py: wheel:a wins over wheel:b" in error.why


def test_a_wheel_that_lies_fails_alone(store: tuple[Graph, Layout], tmp_path: Path) -> None:
    graph, layout = store
    good = made(tmp_path, layout, "good", {"good.py": b"good = 1\n"})
    liar = made(tmp_path, layout, "liar", {"liar.py": b"liar = 1\n"}, lie=True)
    report = realised(with_environment(graph, image_of(good, liar), base=BASE), layout)
    ((step, error),) = report.failures
    assert step == "build wheel:liar"
    assert isinstance(error, SourceError)
    assert "liar-1.0-py3-none-any.whl is refused" in error.what
    assert error.where == "recipes/images/demo/python.lock: liar"
    assert set(report.objects) == {"wheel:good"}
    assert not list(layout.stage.iterdir())
