"""How long a question takes when little changed: `orch plan` and `nix-instantiate`, side by side, whole processes.

    python tests/bench/planning.py [--sizes 10,100,1000,5000] [--runs 10] [--orch PATH]

For each size a generated project in which every recipe needs two others and the goal all of them, and one that is a
chain. All of it counts as built: the store has a record and an empty object for each recipe. Asked are

    done     nothing changed, the answer is saved
    look     nothing changed, no answer is saved: every file is looked at, every key made, the store asked
    leaf     the recipe that the longest way leads down to has another script
    goal     the goal has another script
    first    nothing at all is remembered: every recipe is read

Each edit is another one, older than two seconds when it is asked about, as where somebody thinks before he asks; the
run after it, which takes from the index what the one before left there, is `again`. nix-instantiate evaluates the same
graph, a file for each recipe, in a store of its own with no substituter: it always evaluates anew.
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
from collections.abc import Callable, Iterator
from pathlib import Path

import noop
from noop import REPOSITORY, nix_environment, nix_project, orch_program, orch_project, orch_python

Times = dict[tuple[str, int], list[float]]
AGE = 2.1  # seconds after which an edit is no longer young


def chain_needs(number: int, size: int) -> list[int]:
    return [number + 1] if number + 1 < size else []


def built(root: Path) -> None:
    """Record all that r0 needs as built."""
    os.fsync = lambda _: None  # thousands of records, and nothing to lose
    from orchestrator.cli.opening import this_platform
    from orchestrator.digest import blake3_bytes, key_of
    from orchestrator.graph.keys import derivation_document, derivation_keys
    from orchestrator.graph.options import parse_settings
    from orchestrator.graph.resolve import resolve
    from orchestrator.recipe import find_project, load_recipes
    from orchestrator.store import Realisation, open_store, write_realisation

    project = find_project(root)
    recipes = load_recipes(project)
    settings = parse_settings((), recipes, project.options)
    graph = resolve(recipes, project.options, ("r0",), settings, this_platform())
    layout = open_store(root / "store")
    keys = derivation_keys(graph)
    outputs = {node.name: blake3_bytes(node.name.encode()) for node in graph.nodes}
    for node in graph.nodes:
        home = layout.object(outputs[node.name])
        (home / "tree").mkdir(parents=True, exist_ok=True)
        (home / "manifest.json").write_text("{}\n")
        derivation = derivation_document(node, keys), "derivation"
        for document, kind in (derivation, (derivation_document(node, outputs), "build")):
            write_realisation(
                layout,
                Realisation(
                    key=key_of(document), kind="derivation" if kind == "derivation" else "build", name=node.name,
                    version=node.version, document=document, output=outputs[node.name], seconds=1.0, finished=1.0,
                ),
            )  # fmt: skip


class Orch:
    """A project and the command line in it."""

    def __init__(self, root: Path, size: int, orch: tuple[str, ...], *, chain: bool) -> None:
        self.root, self.orch, self.leaf = root, orch, size - 1
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
        self.env |= {"PYTHONPATH": str(REPOSITORY)} if len(orch) > 1 else {}
        self.env.pop("PYTHONDONTWRITEBYTECODE", None)
        if chain:
            chain_project(root, size)
        else:
            orch_project(root, size)
        built(root)

    def edit(self, number: int, text: str) -> None:
        file = self.root / f"recipes/r{number}/recipe.toml"
        head = file.read_text().rpartition("script = ")[0]
        file.write_text(f'{head}script = "echo {number}{text}"\n')

    def ask(self, *words: str) -> None:
        subprocess.run([*self.orch, *words], cwd=self.root, env=self.env, stdout=subprocess.DEVNULL, check=True)

    def forget(self) -> None:
        for file in (self.root / "store/index").iterdir():
            file.unlink()


def chain_project(root: Path, size: int) -> None:
    """Each recipe is built with the next one; nothing but the base runs with it."""
    files = {"orch.toml": "", "recipes/base/recipe.toml": noop.BASE, "recipes/base/base.lock": noop.LOCK}
    for number in range(size):
        build = ", ".join(f'"{name}"' for name in ("base", *(f"r{below}" for below in chain_needs(number, size))))
        files[f"recipes/r{number}/recipe.toml"] = (
            f'name = "r{number}"\n[inputs]\nbuild = [{build}]\nruntime = ["base"]\n'
            f'[versions."1"]\norigin = "source"\n[build]\nscript = "echo {number}"\n'
        )
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    noop.finish(root)


class Nix:
    """The same for nix-instantiate."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.leaf = root, size - 1
        self.env = nix_environment(root.parent / "nix")
        nix_project(root, size)

    def edit(self, number: int, text: str) -> None:
        file = self.root / f"recipes/r{number}.nix"
        name, needs = file.read_text().split('"')[1], file.read_text().partition("[")[2]
        file.write_text(f'make: r: make "{name.partition("-")[0]}{text}" [{needs}')

    def ask(self) -> None:
        command = ["nix-instantiate", "default.nix"]
        subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, check=True)


def bare(orch: tuple[str, ...]) -> None:
    subprocess.run([orch_python(orch), "-c", "pass"], check=True)


def timed(task: Callable[[], None]) -> float:
    began = time.perf_counter()
    task()
    return 1000 * (time.perf_counter() - began)


def rounds(subject: Orch | Nix, runs: int, label: str) -> Iterator[tuple[str, float]]:
    """Every question in turn, `runs` times, with what it is called."""
    orch = isinstance(subject, Orch)
    for number in range(runs):
        if isinstance(subject, Orch):
            yield f"{label} done", timed(lambda: subject.ask("build", "r0"))
            yield f"{label} look", timed(lambda: subject.ask("build", "r0", "--dry-run"))
        else:
            yield label, timed(subject.ask)
        for edited, what in ((subject.leaf, "leaf"), (0, "goal")):
            subject.edit(edited, f"-{what}{number}-{time.time_ns()}")
            time.sleep(AGE if orch else 0)
            task = (lambda: subject.ask("plan", "r0")) if isinstance(subject, Orch) else subject.ask
            yield f"{label} {what}", timed(task)
            if orch:
                yield f"{label} {what}, again", timed(task)
            subject.edit(edited, "")
        if isinstance(subject, Orch):
            time.sleep(AGE)
            if number < 2:
                subject.forget()
                yield f"{label} first", timed(lambda: subject.ask("plan", "r0"))
            subject.ask("build", "r0")  # looks again, and saves what holds from now on


def table(times: Times, sizes: list[int]) -> str:
    names = list(dict.fromkeys(name for name, _ in times))
    lines = [f"| milliseconds | {' | '.join(map(str, sizes))} |", f"|---|{'---:|' * len(sizes)}"]
    for name in names:
        taken = (times.get((name, size), []) for size in sizes)
        cells = (f"{statistics.median(one):.0f} ({min(one):.0f})" if one else "" for one in taken)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10,100,1000,5000")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--orch", metavar="PATH", help="the program (else the one beside this Python)")
    wanted = parser.parse_args()
    orch = orch_program(wanted.orch)
    sizes = [int(size) for size in wanted.sizes.split(",")]
    times: Times = {}
    with tempfile.TemporaryDirectory(prefix="orch-planning-", dir=os.environ.get("TMPDIR")) as place:
        room = Path(place).resolve()
        for size in sizes:
            subjects: list[tuple[str, Orch | Nix]] = [
                ("orch", Orch(room / f"orch-{size}", size, orch, chain=False)),
                ("orch, a chain,", Orch(room / f"chain-{size}", size, orch, chain=True)),
            ]
            if shutil.which("nix-instantiate"):
                subjects.append(("nix-instantiate", Nix(room / f"nix-{size}", size)))
            time.sleep(AGE)
            for label, subject in subjects:
                for _ in range(2):  # the first fills caches and saves what is remembered
                    subject.ask(*(("build", "r0") if isinstance(subject, Orch) else ()))
                for name, taken in rounds(subject, wanted.runs, label):
                    times.setdefault((name, size), []).append(taken)
            for _ in range(wanted.runs):
                times.setdefault(("python -c pass", size), []).append(timed(lambda: bare(orch)))
            print(f"{size} recipes: done", file=sys.stderr)
        subprocess.run(["chmod", "-R", "u+w", str(room)], check=True)
    print(
        f"{' '.join(orch)}, median (best) of {wanted.runs} runs; load {os.getloadavg()[0]:.1f}\n\n{table(times, sizes)}"
    )


if __name__ == "__main__":
    main()
