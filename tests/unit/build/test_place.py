"""What is put into a build's directory before it starts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from orchestrator.build.action import place_files, place_sources
from orchestrator.digest import sha256_file


def test_helper_files_and_sources_have_one_time(tmp_path: Path) -> None:
    helper, archive, build = tmp_path / "helper", tmp_path / "a.tar", tmp_path / "build"
    helper.write_text("x")
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("top/configure"), io.BytesIO())
    file: Any = SimpleNamespace(name="files/deep/helper", path=helper, sha256=sha256_file(helper).hex, executable=False)
    build.mkdir()
    place_files(build, [file])
    sources = [
        SimpleNamespace(name=name, file_name="a.tar", unpack=unpack, sha256=None, where="")
        for name, unpack in (("src", "src"), ("part", "src/parts/one"), ("kept", None))
    ]
    node: Any = SimpleNamespace(sources=sources)
    place_sources(node, dict.fromkeys(("src", "part", "kept"), archive), build)
    found = {str(path.relative_to(build)): path.stat().st_mtime for path in build.rglob("*")}
    assert {"files/deep/helper", "src/configure", "src/parts/one/configure", "a.tar"} <= set(found)
    assert set(found.values()) == {315532800.0}
