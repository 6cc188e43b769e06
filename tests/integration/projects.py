"""Small projects in the real stack's shape on a real base, and the command line run on them as a person would."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ORCH = (sys.executable, "-c", "from orchestrator.cli.main import entry; entry()")
BASE = "tiny-base"
PACKAGES = (
    "bash",
    "coreutils",
    "findutils",
    "grep",
    "libacl1",
    "libattr1",
    "libc-bin",
    "libc6",
    "libgmp10",
    "libpcre2-8-0",
    "libselinux1",
    "libtinfo6",
    "sed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The names of what a build built, of what came out the same unbuilt, and of what it checked."""

    built: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    checked: frozenset[str] = frozenset()


NOTHING = Work()


def work(*, built: Iterable[str] = (), same: Iterable[str] = (), checked: Iterable[str] = ()) -> Work:
    return Work(built=frozenset(built), same=frozenset(same), checked=frozenset(checked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project directory and its store."""

    root: Path
    store: Path

    # -- what a person does ---------------------------------------------------------------------------------------

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, running."""
        return subprocess.Popen(
            [*ORCH, *arguments],
            cwd=self.root,
            env=environment(self.store),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # so that the signals of a test reach it and nobody else
        )

    def orch(self, *arguments: str, timeout: float = 120) -> Result:
        """The command line, to its end."""
        return ended(self.start(*arguments), timeout=timeout)

    def done(self, *arguments: str) -> Result:
        """The command line, which has to succeed."""
        result = self.orch(*arguments)
        assert result.status == 0, f"exit status {result.status}\n{result.out}\n{result.err}"
        return result

    def build(self, *arguments: str) -> Work:
        """What `orch build` really did; that it did nothing twice and that its plan had said so is asserted."""
        before = listing(self.store)
        plan = self.done("plan", *arguments, "--json").document
        assert listing(self.store) == before, "a plan changed the store"
        did = outcomes(self.done("build", *arguments, "--json").document)
        for action, names in (("build", did.built), ("check", did.checked)):
            steps = [step for step in plan["steps"] if step["action"] == action]
            certain = {step["name"] for step in steps if not step["maybe"]}
            assert certain <= names <= {step["name"] for step in steps}, (action, names, steps)
        return did

    def path(self, goal: str, *arguments: str) -> Path:
        """Where a goal is."""
        return Path(self.done("build", goal, *arguments).out.removesuffix("\n"))

    def object(self, name: str, *arguments: str) -> Path:
        """The directory of a recipe's object, which is in the store."""
        return Path(self.done("show", name, *arguments, "--json").document["path"]).parent

    def log(self, step: str) -> list[str]:
        """The newest log of `NAME`, `NAME-check` or `NAME-rebuild`."""
        return max((self.store / "logs" / step).iterdir()).read_text().splitlines()

    # -- recipes --------------------------------------------------------------------------------------------------

    def recipe(self, name: str) -> Path:
        return self.root / "recipes" / name / "recipe.toml"

    def write(self, name: str, text: str) -> None:
        self.recipe(name).parent.mkdir(parents=True, exist_ok=True)
        self.recipe(name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.recipe(name).read_text()
        assert text.count(old) == 1, f"{text.count(old)} of {old!r} in {name}"
        self.recipe(name).write_text(text.replace(old, new))

    def simple(self, name: str, script: str, *, build: Iterable[str] = (), check: str = "", extra: str = "") -> None:
        """A recipe with one version 1.0; `build` are build inputs besides the base."""
        inputs = json.dumps([BASE, *build])
        checks = f"[check]\nscript = '''\n{check}\n'''\n" if check else ""
        self.write(
            name,
            f'name = "{name}"\nsummary = "a test\'s"\n[inputs]\nbuild = {inputs}\nruntime = ["{BASE}"]\n'
            f"[versions.\"1.0\"]\norigin = \"source\"\n{extra}\n[build]\nscript = '''\n{script}\n'''\n{checks}",
        )

    def tarball(self, name: str, file: str, content: Mapping[str, bytes]) -> str:
        """A source archive beside a recipe; its sha256."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, data in content.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        target = self.recipe(name).parent / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()


def ended(process: subprocess.Popen[str], *, timeout: float = 120) -> Result:
    """Wait for a command that was started."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return Result(status=process.returncode, out=out, err=err, seconds=time.monotonic() - began)


def environment(store: Path) -> dict[str, str]:
    """This process's, with the repository's code and the test's store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = [str(REPOSITORY), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"ORCH_STORE": str(store), "PYTHONPATH": os.pathsep.join(paths)}


def outcomes(document: Any) -> Work:
    """The outcomes of `build --json`; nothing is in them twice."""
    found: dict[str, list[str]] = document["outcomes"]
    for outcome, names in found.items():
        assert len(names) == len(set(names)), f"{outcome}: {names}"
    assert set(found) <= {"built", "same", "checked"}, found
    return work(**found)


def listing(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a directory with its mode, size and time of change. Not of a store's `index/`, which only
    remembers what is read elsewhere and which questions may write to."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.relative_to(directory).parts[0] == "index":
            continue
        facts = path.lstat()
        found[str(path.relative_to(directory))] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


def copy_store(store: Path, to: Path) -> None:
    """A store of its own that shares its files with another: whoever damages one unlinks it first."""
    subprocess.run(["cp", "-al", str(store), str(to)], check=True)


def sources_alone(store: Path, to: Path) -> None:
    """A store with another's sources and nothing else."""
    to.mkdir()
    copy_store(store / "sources", to / "sources")


def unlock(path: Path) -> None:
    """Make directories writable, so that anyone who owns them can remove what is in them."""
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o755)


def remove(path: Path) -> None:
    """rm -rf, of what is read-only too."""
    unlock(path)
    shutil.rmtree(path)


def wait_for(condition: Any, *, seconds: float, what: str) -> None:
    """Poll until `condition()` is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not after {seconds} s"
        time.sleep(0.02)


def interval(lines: Iterable[str]) -> tuple[int, int, int]:
    """Start, end (nanoseconds) and cores of a script that says `began N`, `ended N` and `cores N`."""
    said = dict(re.findall(r"^(began|ended|cores) (\d+)$", "\n".join(lines), re.MULTILINE))
    return int(said["began"]), int(said["ended"]), int(said["cores"])


# -- the projects -----------------------------------------------------------------------------------------------------

ORCH_TOML = """\
[options.cuda]
doc = "the CUDA major version of a whole closure"
values = ["12", "13"]
default = "12"
"""

BASE_RECIPE = f"""\
name = "{BASE}"
summary = "A shell and what it needs"
licence = "GPL-3.0-or-later"

[base]
suite = "bookworm"
packages = {json.dumps(PACKAGES)}

[versions.bookworm]
origin = "vendor"
lock = "bookworm.lock"

[build]
script = '''
phase trim
rm -rf /usr/share/{{doc,info,locale,man}} /usr/lib/x86_64-linux-gnu/gconv
phase configure
ln -s bash /usr/bin/sh
ldconfig
rm -rf /var/cache/ldconfig
'''
"""

RDMA = f"""\
name = "rdma"
summary = "RDMA verbs"
licence = "BSD-2-Clause"
[inputs]
build = ["{BASE}"]
runtime = ["{BASE}"]
[versions."56.1"]
origin = "source"
[build]
script = '''
mkdir -p "$OUT/usr/lib/rdma"
echo "rdma $version" > "$OUT/usr/lib/rdma/librdma"
'''
"""

CUDA = f"""\
name = "cuda"
summary = "The CUDA runtime"
licence = "LicenseRef-NVIDIA-Proprietary"
[inputs]
build = ["{BASE}"]
runtime = ["{BASE}"]
[versions."12.9"]
origin = "vendor"
when = {{ cuda = "12" }}
[versions."13.0"]
origin = "vendor"
when = {{ cuda = "13" }}
[build]
script = '''
mkdir -p "$OUT/usr/local/cuda"
echo "cuda $version ${{option[cuda]}}" > "$OUT/usr/local/cuda/version"
'''
"""

FABRIC = f"""\
name = "fabric"
summary = "Fabric interfaces"
licence = "BSD-2-Clause"

[inputs]
build = ["{BASE}", "rdma", "cuda"]
runtime = ["{BASE}", "rdma", "cuda"]

[options.verbs]
doc = "the verbs provider"
default = "off"
[options.verbs.values.off]
flags = ["--disable-verbs"]
[options.verbs.values.on]
flags = ["--enable-verbs=/usr"]

[versions."2.1.0"]
origin = "source"
reads = ["verbs"]
flags = ["--prefix=/usr/local/fabric", "--enable-efa"]
[[versions."2.1.0".sources]]
from = "file:fabric-2.1.0.tar"
sha256 = "SHA256"

[runtime]
env = {{ FABRIC_HOME = "/usr/local/fabric" }}
ldconf = ["/usr/local/fabric/lib"]

[build]
script = '''
phase configure
test "$PWD" = /build/fabric
test -e /usr/local/cuda/version
phase install
mkdir -p "$OUT/usr/local/fabric/lib"
cat fabric.c /usr/lib/rdma/librdma > "$OUT/usr/local/fabric/lib/libfabric"
printf '%s\\n' "${{flags[@]}}" > "$OUT/usr/local/fabric/flags"
'''

[check]
script = '''
grep verbs "$FABRIC_HOME/flags"
'''
"""

UCX = f"""\
name = "ucx"
summary = "The UCX that came with a NIXL"
licence = "BSD-3-Clause"
[inputs]
build = ["{BASE}"]
runtime = ["{BASE}", "rdma"]
[versions."1.23.0"]
origin = "vendor"
[versions."1.22.0"]
origin = "vendor"
[versions."1.21.0"]
origin = "vendor"
[build]
script = '''
mkdir -p "$OUT/usr/local/ucx"
echo "ucx $version" > "$OUT/usr/local/ucx/version"
'''
"""

NIXL = f"""\
name = "nixl"
summary = "Inference Xfer Library"
licence = "Apache-2.0"

[inputs]
build = ["{BASE}"]
runtime = ["{BASE}", "ucx", "fabric", "cuda"]

[versions."1.4.1"]
origin = "vendor"
brings = {{ ucx = "1.22.0" }}
[versions."1.0.1"]
origin = "vendor"
brings = {{ ucx = "1.21.0" }}

[build]
script = '''
mkdir -p "$OUT/opt/nixl"
echo "nixl $version" > "$OUT/opt/nixl/version"
'''

[check]
script = '''
grep -F "nixl $version" /opt/nixl/version
case "$version" in 1.4.1) wanted=1.22.0 ;; *) wanted=1.21.0 ;; esac
grep -F "ucx $wanted" /usr/local/ucx/version
test -s "$FABRIC_HOME/lib/libfabric" -a -s /usr/local/cuda/version -a -s /usr/lib/rdma/librdma
'''
"""

CONSUMER = f"""\
name = "consumer"
summary = "Compiled against fabric"
licence = "MIT"
[inputs]
build = ["{BASE}", "fabric"]
runtime = ["{BASE}", "fabric"]
[versions."0.1"]
origin = "source"
[build]
script = '''
mkdir -p "$OUT/opt/consumer"
cat /usr/local/fabric/flags > "$OUT/opt/consumer/made-with"
'''
[check]
script = '''
test "$(< /opt/consumer/made-with)" = "$(< "$FABRIC_HOME/flags")"
'''
"""


def empty_project(root: Path, store: Path) -> Project:
    """A project with nothing but the base."""
    project = Project(root=root, store=store)
    project.write(BASE, BASE_RECIPE)
    (root / "orch.toml").write_text(ORCH_TOML)
    lines = (REPOSITORY / "recipes/debian-runtime/bookworm.lock").read_text().splitlines()
    header = [f"# packages {' '.join(PACKAGES)}" if line.startswith("# packages ") else line for line in lines[:5]]
    debs = [line for line in lines[5:] if line.split(" ")[0] in PACKAGES]
    (project.recipe(BASE).parent / "bookworm.lock").write_text("\n".join([*header, *debs]) + "\n")
    return project


def write_stack(project: Project) -> None:
    """nixl and everything under it, and a consumer that is compiled against fabric."""
    sha256 = project.tarball("fabric", "fabric-2.1.0.tar", {"fabric-2.1.0/fabric.c": b"int fabric(void);\n"})
    recipes = {"rdma": RDMA, "cuda": CUDA, "ucx": UCX, "nixl": NIXL, "consumer": CONSUMER}
    for name, text in {**recipes, "fabric": FABRIC.replace("SHA256", sha256)}.items():
        project.write(name, text)
