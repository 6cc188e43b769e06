"""What it costs to show a build that prints much: medians of whole processes, side by side, as a markdown table.

    python tests/bench/view.py [--lines 200000] [--runs 5]

The events of a build are told to the view as the engine tells them, by a thread for each of two steps; stderr is a
terminal of 100 columns whose other end is read as fast as can be, or a pipe. `nothing` is the same events told to
nobody. A step's own printing, its sandbox and its log are not in it.
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WAYS = ("nothing", "live", "plain", "json")
PRINTS = """
import resource, sys, threading, time
from orchestrator.cli.fetches import Fetches
from orchestrator.cli.progress import view
from orchestrator.events import StepFinished, StepOutput, StepPhase, StepStarted, silent
way, count = sys.argv[1], int(sys.argv[2])
def work(number, tell):
    step = f"build number-{number}"
    tell(StepStarted(step=step))
    tell(StepPhase(step=step, phase="compile"))
    for line in range(count // 2):
        tell(StepOutput(step=step, line=f"[{line}/{count}] cc -O2 -g -Iinclude -c src/file-{line}.c -o file-{line}.o"))
    tell(StepFinished(step=step, outcome="built", seconds=1.0))
def build(tell):
    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number, tell)) for number in (1, 2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return time.perf_counter() - began
if way == "nothing":
    waited = build(silent)
else:
    with view("2 to build", Fetches([]), log_format=way) as monitor:
        waited = build(monitor)
used = resource.getrusage(resource.RUSAGE_SELF)
print(waited, used.ru_utime + used.ru_stime)
"""


def run(way: str, lines: int, *, terminal: bool) -> tuple[float, float, float, int]:
    """Seconds of the whole process, seconds that its steps took, its processor's seconds, and bytes on stderr."""
    outer, inner = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(inner, (30, 100))
    env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"}
    command = (sys.executable, "-c", PRINTS, way, str(lines))
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=inner, text=True)
    os.close(inner)
    size = 0

    def read() -> None:
        nonlocal size
        try:
            while part := os.read(outer, 1 << 16):
                size += len(part)
        except OSError:  # a terminal whose last writer is gone
            return

    reader = threading.Thread(target=read)
    reader.start()
    out, _ = process.communicate()
    reader.join()
    took = time.perf_counter() - began
    os.close(outer)
    if process.returncode:
        raise SystemExit(f"{way}: exit status {process.returncode}")
    waited, used = map(float, out.split())
    return took, waited, used, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    wanted = parser.parse_args()
    load = os.getloadavg()[0]
    cases = [(way, terminal) for way in WAYS for terminal in (True, False) if terminal or way in ("plain", "json")]
    taken: dict[tuple[str, bool], list[tuple[float, float, float, int]]] = {case: [] for case in cases}
    for _ in range(wanted.runs):
        for way, terminal in cases:  # in turn, so that a busy moment is shared
            taken[way, terminal].append(run(way, wanted.lines, terminal=terminal))
    print(
        f"{wanted.lines} lines, {wanted.runs} runs, load {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    )
    print()
    print("| shown | on | median s | best | worst | s of the steps | s of processor | MB on stderr |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for (way, terminal), runs in taken.items():
        whole, steps, used, sizes = zip(*runs, strict=True)
        middle, waited, busy = map(statistics.median, (whole, steps, used))
        print(
            f"| {way} | {'a terminal' if terminal else 'a pipe'} | {middle:.2f} | {min(whole):.2f} | {max(whole):.2f} "
            f"| {waited:.2f} | {busy:.2f} | {statistics.median(sizes) / 1e6:.1f} |"
        )


if __name__ == "__main__":
    main()
