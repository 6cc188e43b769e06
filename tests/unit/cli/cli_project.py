"""A small project on disk that needs no container, and the real command line run on it as a person would."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
ORCH = (sys.executable, "-c", "from orchestrator.cli.main import entry; entry()")
LIB_TEXT = b"the source of lib\n"

FILES = {
    "orch.toml": """\
[options.cuda]
doc = "the CUDA major version of a whole closure"
values = ["12", "13"]
default = "12"
""",
    "recipes/base/base.lock": f"""\
# orch lock 1
# suite bookworm
# architecture amd64
# packages libc6
# made 2026-11-22
libc6 2.36-9 pool/main/g/glibc/libc6_2.36-9_amd64.deb 5 {"cd" * 32}
""",
    "recipes/base/recipe.toml": """\
name = "base"
summary = "A root"
[base]
suite = "bookworm"
packages = ["libc6"]
[versions.bookworm]
origin = "vendor"
lock = "base.lock"
[build]
script = "dpkg --configure -a"
""",
    "recipes/lib/recipe.toml": f"""\
name = "lib"
summary = "A library"
licence = "MIT"
homepage = "https://example.org/lib"

[inputs]
build = ["base"]
runtime = ["base"]

[options.fast]
doc = "faster"
default = "off"
[options.fast.values.off]
[options.fast.values.on]
flags = ["--fast"]

[versions."2.0"]
origin = "source"
reads = ["cuda", "fast"]
flags = ["--prefix=/usr/local/lib"]
[[versions."2.0".sources]]
from = "file:lib.txt"
sha256 = "{hashlib.sha256(LIB_TEXT).hexdigest()}"
size = {len(LIB_TEXT)}
unpack = ""

[versions."1.0"]
origin = "vendor"
runtime_only = "it has no headers"

[versions."3.0"]
origin = "source"
locked = false
[[versions."3.0".sources]]
from = "pypi:lib/lib-3.0.tar.gz"

[build]
script = "make"
""",
    "recipes/app/recipe.toml": """\
name = "app"
summary = "What people use"

[inputs]
build = ["base", "lib"]
runtime = ["base", "lib"]

[versions."1.1"]
origin = "source"
requires = [{ recipe = "lib", version = ">=2", reason = "lib_open" }]
[versions."1.0"]
origin = "source"

[build]
script = "make"
[check]
script = "app"
""",
    "recipes/tool/recipe.toml": """\
name = "tool"
summary = "Stands alone"
[inputs]
build = ["base"]
[versions."1"]
origin = "source"
[build]
script = "make"
""",
}

InProcess = Callable[..., tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """A project, its store, and commands run in it."""

    root: Path
    store: Path

    def run(self, *arguments: str, cwd: Path | None = None, before: tuple[str, ...] = (), **env: str) -> Result:
        """Run the command line to its end; `before` is a program that starts it, `env` is added."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ORCH_"))}
        done = subprocess.run(
            [*before, *ORCH, *arguments],
            cwd=cwd or self.root,
            env=kept | {"ORCH_STORE": str(self.store), "PYTHONPATH": str(REPOSITORY)} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
        return Result(status=done.returncode, out=done.stdout, err=done.stderr)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {path}"
        self.write(path, text.replace(old, new, 1))

    def mirrors(self, **addresses: list[str]) -> None:
        """Where sources are looked for."""
        lines = [f"{scheme} = {json.dumps(several)}" for scheme, several in addresses.items()]
        self.write("orch.toml", FILES["orch.toml"] + "\n".join(["[mirrors]", *lines]) + "\n")

    def shown(self, text: str) -> str:
        """What was said, with this test's places by name."""
        return text.replace(str(self.store), "STORE").replace(str(self.root), "ROOT")
