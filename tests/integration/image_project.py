"""A small project with an image: a base with a real Python, a stack of scripts, wheels made here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects import BASE_RECIPE, PACKAGES, REPOSITORY, Project

from orchestrator.recipe import PythonLock, Wheel, lock_input, write_python_lock
from orchestrator.recipe.image import Python

BASE = "snake-base"
PYTHON = (
    *("libexpat1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal", "zlib1g"),
    *PACKAGES,
)
USERS = """\
echo root:x:0:0:root:/root:/bin/bash > /etc/passwd
echo root:x:0: > /etc/group
"""
SITE = "opt/dynamo/venv/lib/python3.11/site-packages"
IMAGE = "demo"

IMAGE_TOML = f"""\
name = "{IMAGE}"
summary = "An image of a test"
version = "1"
components = ["plain"]

[base]
recipe = "{BASE}"

[python]
requirements = [REQUIREMENTS]
exclude_newer = "2026-01-01"

[config]
env = {{ GREETING = "hello" }}
EXTRA
[[checks.waive]]
check = "needed"
path = "usr/lib/python3.11/lib-dynload/*"
reason = "the base of a test has not all that Python's own modules need"

[run]
script = '''
id
umask
echo "$GREETING"
python -c "IMPORTS"
'''
"""


def write_base(project: Project) -> list[str]:
    """The base with Python; the hashes of its .debs."""
    recipe = BASE_RECIPE.replace("tiny-base", BASE).replace(json.dumps(PACKAGES), json.dumps(PYTHON))
    project.write(BASE, recipe.replace("ldconfig\n", f"ldconfig\n{USERS}", 1))
    lines = (REPOSITORY / "recipes/debian-runtime/bookworm.lock").read_text().splitlines()
    header = [f"# packages {' '.join(PYTHON)}" if line.startswith("# packages ") else line for line in lines[:5]]
    debs = [line for line in lines[5:] if line.split(" ")[0] in PYTHON]
    (project.recipe(BASE).parent / "bookworm.lock").write_text("\n".join([*header, *debs]) + "\n")
    return [line.split(" ")[-1] for line in debs]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWheel:
    """A wheel and what a lock says of it."""

    name: str
    version: str
    file: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def locked(self) -> Wheel:
        size = self.file.stat().st_size
        return Wheel(name=self.name, version=self.version, file_name=self.file.name, size=size, sha256=self.sha256)


def make_wheel(
    directory: Path, name: str, files: Mapping[str, bytes], *, requires: tuple[str, ...] = (), lie: bool = False
) -> MadeWheel:
    """A wheel of `files` in `directory`; `lie`: its RECORD has the hashes of something else."""
    version = "1.0"
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = ""
    for path, data in content.items():
        value = base64.urlsafe_b64encode(hashlib.sha256(b"lie" if lie else data).digest()).decode().rstrip("=")
        rows += f"{path},sha256={value},{len(data)}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in {**content, f"{info}/RECORD": f"{rows}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    file = directory / f"{plain}-{version}-py3-none-any.whl"
    file.write_bytes(buffer.getvalue())
    return MadeWheel(name=name, version=version, file=file)


def write_image(project: Project, *wheels: MadeWheel, extra: str = "", imports: str = "import sys") -> None:
    """The image recipe and its lock, with these wheels, which are supplied to the store."""
    names = sorted(wheel.name for wheel in wheels)
    text = IMAGE_TOML.replace("REQUIREMENTS", ", ".join(f'"{name}"' for name in names))
    directory = project.root / "recipes/images" / IMAGE
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "image.toml").write_text(text.replace("EXTRA", extra).replace("IMPORTS", imports))
    python = Python(requirements=tuple(names), exclude_newer="2026-01-01")
    lock = PythonLock(
        python=python.version,
        platform=python.platform,
        exclude_newer=python.exclude_newer,
        input=lock_input(python),
        made="2026-01-02",
        wheels=tuple(wheel.locked for wheel in sorted(wheels, key=lambda one: one.name)),
    )
    (directory / "python.lock").write_text(write_python_lock(lock))
    supply(project, *wheels)


def supply(project: Project, *wheels: MadeWheel) -> None:
    """Hand the wheels over, as one does where no registry is reached."""
    project.done("source", "add", *(str(wheel.file) for wheel in wheels))


def edit_image(project: Project, old: str, new: str) -> None:
    """Change the image recipe in one place."""
    path = project.root / "recipes/images" / IMAGE / "image.toml"
    text = path.read_text()
    assert text.count(old) == 1, f"{text.count(old)} of {old!r}"
    path.write_text(text.replace(old, new))


def made(project: Project, *arguments: str) -> Any:
    """`orch image demo --json`, which has to succeed."""
    return project.done("image", IMAGE, "--json", *arguments).document
