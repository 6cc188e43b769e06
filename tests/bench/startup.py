"""How long it takes to ask: medians of whole processes, side by side.

    python tests/bench/startup.py [--store DIR] [--goal nixl] [--runs 20]

Run it in a project. `build` is measured only if the goal is done in the store: it is the no-op that is meant.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ORCH = (sys.executable, "-c", "from orchestrator.cli.main import entry; entry()")


def seconds(command: tuple[str, ...], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--goal", default="nixl")
    parser.add_argument("--runs", type=int, default=20)
    wanted = parser.parse_args()
    env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # as on a user's machine
    if wanted.store:
        env["ORCH_STORE"] = str(wanted.store.absolute())
    commands = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "orch --help": (*ORCH, "--help"),
        "orch list": (*ORCH, "list"),
        f"orch plan {wanted.goal}": (*ORCH, "plan", wanted.goal),
    }
    plan = subprocess.run([*ORCH, "plan", wanted.goal], env=env, capture_output=True, text=True, check=True)
    if "  done  " in plan.stdout:
        commands[f"orch build {wanted.goal} (done)"] = (*ORCH, "build", wanted.goal)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(wanted.runs + 1):
        for name, command in commands.items():  # in turn, so that a busy moment is shared
            took = seconds(command, env)
            if run:  # the first fills the caches
                taken[name].append(took)
    width = max(map(len, commands))
    print(f"{'milliseconds':<{width}}  median    best   worst")
    for name, values in taken.items():
        low, middle, high = (1000 * value for value in (min(values), statistics.median(values), max(values)))
        print(f"{name:<{width}}  {middle:6.0f}  {low:6.0f}  {high:6.0f}")


if __name__ == "__main__":
    main()
