"""What is put into a build's directory before it starts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.archive import pack
from orchestrator.build.action import place_files, place_sources
from orchestrator.digest import sha256_file
from orchestrator.errors import SourceError
from orchestrator.graph.derivation import Source
from orchestrator.tree import scan


def test_helper_files_and_sources_have_one_time(tmp_path: Path) -> None:
    helper, archive, build = tmp_path / "helper", tmp_path / "a.tar", tmp_path / "build"
    helper.write_text("x")
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("top/configure"), io.BytesIO())
    file: Any = SimpleNamespace(name="files/deep/helper", path=helper, sha256=sha256_file(helper).hex, executable=False)
    build.mkdir()
    place_files(build, [file])
    sources = [
        SimpleNamespace(name=name, file_name="a.tar", unpack=unpack, sha256="ab" * 32, where="")
        for name, unpack in (("src", "src"), ("part", "src/parts/one"), ("kept", None))
    ]
    node: Any = SimpleNamespace(sources=sources)
    place_sources(node, dict.fromkeys(("src", "part", "kept"), archive), build)
    found = {str(path.relative_to(build)): path.stat().st_mtime for path in build.rglob("*")}
    assert {"files/deep/helper", "src/configure", "src/parts/one/configure", "a.tar"} <= set(found)
    assert set(found.values()) == {315532800.0}


def test_a_source_pinned_by_tree_is_looked_at_before_a_build_sees_it(tmp_path: Path) -> None:
    """In whatever archive it comes, and beside what other sources have put into the same directory."""
    (tmp_path / "source/lib").mkdir(parents=True)
    (tmp_path / "source/lib/a.c").write_text("int a;\n")
    (tmp_path / "source/lib/a.c").chmod(0o644)
    tree = scan(tmp_path / "source").digest.hex
    pack(tmp_path / "source", tmp_path / "plain.tar", top="any")
    with tarfile.open(tmp_path / "packed", "w:xz") as tar:
        tar.add(tmp_path / "source", "top")
    for name in ("plain.tar", "packed"):
        build = tmp_path / f"build of {name}"
        (build / "src").mkdir(parents=True)
        (build / "src/other").write_text("of another source")
        source = Source(name="s", file_name="s.tar.gz", tree=tree, unpack="src")
        node: Any = SimpleNamespace(sources=[source])
        place_sources(node, {"s": tmp_path / name}, build)
        assert sorted(path.name for path in build.rglob("*")) == ["a.c", "lib", "other", "src"]
    other: Any = SimpleNamespace(sources=[Source(name="s", file_name="s.tar", tree="ab" * 32, unpack="src")])
    with pytest.raises(SourceError, match="does not unpack to what is pinned") as raised:
        place_sources(other, {"s": tmp_path / "packed"}, tmp_path / "third")
    assert raised.value.why == f"expected a tree of blake3:{'ab' * 32}, got blake3:{tree}"
