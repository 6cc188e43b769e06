"""How long it takes to find that nothing is to be done: `orch build` and `nix-build`, side by side, whole processes.

    python tests/bench/noop.py [--sizes 10,100,1000] [--runs 20] [--orch PATH]

Projects are generated: every recipe needs two others, the goal all of them. Nothing is really built for orch: its store
is given the goal's record and an empty object for each recipe, and a no-op looks for no more than that. nix-build, if
there is one on PATH, builds the same graph once, a file for each recipe too, in a store of its own with no substituter.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

SLOW_RUNS = 3  # of what takes a second
BASE = """\
name = "base"
summary = "A root"
[base]
suite = "bookworm"
packages = ["libc6"]
[versions.bookworm]
origin = "vendor"
lock = "base.lock"
[build]
script = "true"
"""
LOCK = f"""\
# orch lock 1
# suite bookworm
# architecture amd64
# packages libc6
# made 2026-11-22
libc6 2.36-9 pool/main/g/glibc/libc6_2.36-9_amd64.deb 5 {"cd" * 32}
"""
NIX = """\
let
  make = name: needs: derivation {
    inherit name needs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "echo ${name} > $out" ];
  };
  r = {
FILES
  };
in r.r0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table: a command, where and with what environment it runs, and how often."""

    name: str
    command: tuple[str, ...]
    cwd: Path
    env: dict[str, str]
    runs: int

    def seconds(self) -> float:
        began = time.perf_counter()
        subprocess.run(self.command, cwd=self.cwd, env=self.env, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began


def needs(number: int, size: int) -> list[int]:
    return [below for below in (2 * number + 1, 2 * number + 2) if below < size]


def orch_project(root: Path, size: int) -> None:
    """A project of `size` recipes and a base, whose goal r0 is done."""
    files = {"orch.toml": "", "recipes/base/recipe.toml": BASE, "recipes/base/base.lock": LOCK}
    for number in range(size):
        inputs = ", ".join(f'"{name}"' for name in ("base", *(f"r{below}" for below in needs(number, size))))
        files[f"recipes/r{number}/recipe.toml"] = (
            f'name = "r{number}"\nsummary = "number {number}"\n[inputs]\nbuild = [{inputs}]\nruntime = [{inputs}]\n'
            f'[versions."1"]\norigin = "source"\n[build]\nscript = "echo {number}"\n'
        )
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    finish(root)


def finish(root: Path) -> None:
    """Record r0 as done."""
    from orchestrator.cli.opening import this_platform
    from orchestrator.digest import blake3_bytes
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.graph.options import parse_settings
    from orchestrator.graph.resolve import resolve
    from orchestrator.recipe import find_project, load_recipes
    from orchestrator.store import ClosureItem, Goal, open_store, write_goal

    project = find_project(root)
    recipes = load_recipes(project)
    settings = parse_settings((), recipes, project.options)
    graph = resolve(recipes, project.options, ("r0",), settings, this_platform())
    layout = open_store(root / "store")
    closure = []
    for name in ("r0", *graph["r0"].runtime):
        digest = blake3_bytes(name.encode())
        (layout.object(digest) / "tree").mkdir(parents=True)
        (layout.object(digest) / "manifest.json").write_text("{}\n")
        closure.append(ClosureItem(name, graph[name].version, graph[name].origin, digest))
    key = closure_key(graph, "r0", derivation_keys(graph))
    write_goal(layout, Goal(key=key, goal="r0", options=(), output=closure[0].digest, closure=tuple(closure)))


def nix_project(root: Path, size: int) -> None:
    """The same graph for nix-build."""
    (root / "recipes").mkdir(parents=True)
    for number in range(size):
        inputs = " ".join(f"r.r{below}" for below in needs(number, size))
        (root / f"recipes/r{number}.nix").write_text(f'make: r: make "r{number}" [ {inputs} ]\n')
    files = "\n".join(f"    r{number} = import ./recipes/r{number}.nix make r;" for number in range(size))
    (root / "default.nix").write_text(NIX.replace("FILES", files))


def nix_environment(root: Path) -> dict[str, str]:
    """Nix on a store below `root`, which nothing but it writes to."""
    names = {"STORE_DIR": "store", "STATE_DIR": "state", "LOG_DIR": "log", "CONF_DIR": "conf", "LOCALSTATE_DIR": "var"}
    places = {f"NIX_{name}": str(root / place) for name, place in names.items()}
    config = "substituters =\nsandbox = false\nbuild-users-group =\n"
    return dict(os.environ) | places | {"NIX_CONFIG": config, "NIX_REMOTE": "local", "HOME": str(root)}


def orch_program(wanted: str | None) -> tuple[str, ...]:
    if wanted:
        return (str(Path(wanted).absolute()),)
    installed = Path(sys.executable).with_name("orch")
    if installed.exists():
        return (str(installed),)
    return (sys.executable, "-c", "from orchestrator.cli.main import entry; entry()")


def cases(room: Path, sizes: list[int], runs: int, orch: tuple[str, ...]) -> list[Case]:
    """Every row; all that they look at is made, and old enough to be trusted."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    env |= {"PYTHONPATH": str(REPOSITORY)} if len(orch) > 1 else {}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # as on a user's machine
    python = orch_python(orch)
    rows = [
        Case(name="python -S -E -c pass", command=(python, "-S", "-E", "-c", "pass"), cwd=room, env=env, runs=runs),
        Case(name="python -c pass", command=(python, "-c", "pass"), cwd=room, env=env, runs=runs),
    ]
    nix = shutil.which("nix-build")
    if nix is None:
        print("no nix-build on PATH: its rows are left out", file=sys.stderr)
    for size in sizes:
        root = room / f"orch-{size}"
        orch_project(root, size)
        build = (*orch, "build", "r0")
        rows.append(Case(name=f"orch build, {size} recipes", command=build, cwd=root, env=env, runs=runs))
        slow = (*build, "--json")
        rows.append(Case(name=f"  the same, no answer saved, {size}", command=slow, cwd=root, env=env, runs=SLOW_RUNS))
        if nix is not None:
            nixes = room / f"nix-{size}"
            nix_project(nixes, size)
            case = Case(
                name=f"nix-build, {size} recipes",
                command=(nix, "--no-out-link"),
                cwd=nixes,
                env=nix_environment(room / "nix"),
                runs=runs,
            )
            subprocess.run(case.command, cwd=nixes, env=case.env, capture_output=True, check=True)
            rows.append(case)
    time.sleep(2.1)
    return rows


def orch_python(orch: tuple[str, ...]) -> str:
    """The Python that runs orch."""
    if len(orch) > 1:
        return orch[0]
    return Path(orch[0]).read_text().partition("\n")[0].removeprefix("#!").split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10,100,1000")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--orch", metavar="PATH", help="the program (else the one beside this Python)")
    wanted = parser.parse_args()
    orch = orch_program(wanted.orch)
    with tempfile.TemporaryDirectory(prefix="orch-noop-", dir=os.environ.get("TMPDIR")) as place:
        room = Path(place).resolve()
        rows = cases(room, [int(size) for size in wanted.sizes.split(",")], wanted.runs, orch)
        for _ in range(2):  # the first fills caches and saves answers
            for row in rows:
                row.seconds()
        taken: dict[str, list[float]] = {row.name: [] for row in rows}
        for run in range(wanted.runs):
            for row in rows:  # in turn, so that a busy moment is shared
                if run < row.runs:
                    taken[row.name].append(1000 * row.seconds())
        subprocess.run(["chmod", "-R", "u+w", str(room)], check=True)
    width = max(map(len, taken))
    print(f"{' '.join(orch)}, {wanted.runs} runs each in turn\n{'milliseconds':<{width}}  median    best   worst")
    for name, values in taken.items():
        print(f"{name:<{width}}  {statistics.median(values):6.1f}  {min(values):6.1f}  {max(values):6.1f}")


if __name__ == "__main__":
    main()
