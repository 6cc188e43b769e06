"""How long it takes to ask a big store: the index, and marking for gc. Medians of whole processes.

    python tests/bench/store.py [--entries 10000,100000] [--runs 5] [--dir DIR]

Stores are generated: objects of one empty file each, two realisations and, for every ten objects, a goal that keeps
nine of them. One object in ten is garbage.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from orchestrator.digest import blake3_bytes  # noqa: E402
from orchestrator.store import Layout, open_store  # noqa: E402

ORCH = (sys.executable, "-c", "from orchestrator.cli.main import entry; entry()")
GROUP = 10
MARK = """\
import sys, time
from pathlib import Path
from orchestrator.store import open_store
from orchestrator.store.index import open_index
from orchestrator.store.keep import find_roots
from orchestrator.store.survey import survey
layout = open_store(Path(sys.argv[1]))
with open_index(layout) as index:
    began = time.perf_counter()
    found = survey(layout, index, find_roots(layout, index), {"object": set(), "source": set(), "blob": set()})
    print(time.perf_counter() - began)
"""


def record(path: Path, document: dict[str, object]) -> None:
    line = json.dumps({"schema": 1, **document}, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(line + b'\n{"blake3":"%s"}\n' % blake3_bytes(line).hex.encode())


def make_object(layout: Layout, number: int) -> str:
    entry = {"path": "file", "kind": "file", "mode": 420, "size": 0, "digest": f"{number:064x}"}
    data = json.dumps({"entries": [entry], "schema": 1}).encode()
    digest = blake3_bytes(data).hex
    home = layout.objects / digest
    (home / "tree").mkdir(parents=True)
    (home / "tree" / "file").touch()
    (home / "manifest.json").write_bytes(data)
    return digest


def realisation(layout: Layout, kind: str, name: str, output: str) -> str:
    key = blake3_bytes(f"{kind} {name}".encode()).hex
    document = {"builder": "script", "inputs": {}, "options": {}, "platform": "x86_64-linux", "sources": []}
    record(
        layout.realisations / f"{key}.json",
        {
            "key": f"blake3:{key}", "kind": kind, "name": name, "version": "1", "document": document,
            "output": f"blake3:{output}", "seconds": 1.0, "finished": 1.0, "log": "", "sandbox": {},
            "origin": "source", "runtime": {},
        },
    )  # fmt: skip
    return key


def generate(root: Path, entries: int) -> None:
    layout = open_store(root)
    closure: list[dict[str, object]] = []
    for number in range(entries):
        name = f"r{number}"
        output = make_object(layout, number)
        realisation(layout, "build", name, output)
        key = realisation(layout, "derivation", name, output)
        if number % GROUP:
            item = {"name": name, "version": "1", "origin": "source", "digest": f"blake3:{output}"}
            closure.append(item | {"derivation": f"blake3:{key}"})
        if number % GROUP == GROUP - 1:
            goal = blake3_bytes(f"goal {name}".encode()).hex
            document = {"key": f"blake3:{goal}", "goal": name, "options": [], "output": closure[-1]["digest"]}
            record(layout.goals / f"{goal}.json", document | {"closure": closure, "finished": 1.0})
            closure = []


def seconds(command: tuple[str, ...], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measure(root: Path, runs: int) -> list[tuple[str, float]]:
    env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY), "ORCH_STORE": str(root)}
    rows = [("index made anew, and `orch gc --dry-run`", seconds((*ORCH, "gc", "--dry-run"), env))]
    for words in QUESTIONS:
        row = statistics.median(seconds((*ORCH, *words), env) for _ in range(runs))
        rows.append((f"`orch {' '.join(words)}`", row))
    marks = [
        subprocess.run((sys.executable, "-c", MARK, str(root)), env=env, stdout=-1, check=True) for _ in range(runs)
    ]
    rows.append(("of that, marking", statistics.median(float(done.stdout) for done in marks)))
    return rows


QUESTIONS = (
    ("gc", "--dry-run"),
    ("cache", "ls"),
    ("cache", "ls", "r77"),
    ("cache", "show", "r77"),
    ("cache", "tree", "r77"),
    ("cache", "closure", "r78"),
    ("cache", "referrers", "r77"),
    ("cache", "du"),
    ("cache", "du", "--by", "component"),
    ("cache", "stats"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", default="10000,100000")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", type=Path)
    wanted = parser.parse_args()
    print("| entries | what | seconds |\n|---:|---|---:|")
    for entries in map(int, wanted.entries.split(",")):
        with tempfile.TemporaryDirectory(dir=wanted.dir) as room:
            generate(Path(room) / "store", entries)
            for what, took in measure(Path(room) / "store", wanted.runs):
                print(f"| {entries:,} | {what} | {took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
