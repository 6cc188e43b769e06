"""A small project on disk, and a whole recipe to make wrong in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.recipe import Project, Recipe, find_project, load_recipe

SHA = "ab" * 32

WHOLE = f"""\
name = "ucx"
summary = "Transports"
licence = "BSD-3-Clause"

[inputs]
build = ["base", "cuda"]
runtime = ["base"]

[options.verbs]
doc = "the verbs transport"
default = "off"
[options.verbs.values.off]
[options.verbs.values.on]
flags = ["--with-verbs"]

[versions."1.13.1"]
origin = "source"
reads = ["verbs", "cuda"]
flags = ["--prefix=/usr/local/ucx"]
patches = ["fix.patch"]
requires = [{{ recipe = "cuda", version = ">=12", reason = "cudart" }}]
[[versions."1.13.1".sources]]
from = "debian:pool/main/u/ucx/ucx_1.13.1.orig.tar.xz"
sha256 = "{SHA}"
size = 10
[[versions."1.13.1".sources]]
from = "pypi:cuda/cuda-12.whl"
sha256 = "{SHA}"
unpack = ""
when = {{ cuda = "12" }}

[runtime]
env = {{ UCX_HOME = "/usr/local/ucx" }}
ldconf = ["/usr/local/ucx/lib"]

[build]
script = '''
make
[versions."1.13.1"]
'''

[check]
files = ["check.c"]
script = "true"
"""


@pytest.fixture
def whole() -> str:
    return WHOLE


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "orch.toml").write_text(
        '[options.cuda]\ndoc = "CUDA"\nvalues = ["12", "13"]\ndefault = "12"\n', encoding="utf-8"
    )
    (tmp_path / "recipes/ucx").mkdir(parents=True)
    (tmp_path / "recipes/ucx/fix.patch").write_text("--- a\n", encoding="utf-8")
    (tmp_path / "recipes/ucx/check.c").write_text("int main;\n", encoding="utf-8")
    return find_project(tmp_path)


@pytest.fixture
def load(project: Project) -> Callable[..., Recipe]:
    """Load the whole recipe with `old` replaced by `new`."""

    def loaded(old: str = "", new: str = "", *, name: str = "ucx", text: str = WHOLE) -> Recipe:
        assert old in text
        path = project.root / "recipes" / name / "recipe.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return load_recipe(path, project)

    return loaded
