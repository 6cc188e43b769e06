"""Images made of six trees, 2 GB in 50,000 files: orch, tar+zstd by hand, umoci and buildah side by side in one run.

    python tests/bench/images.py [--megabytes 2000] [--files 50000] [--rounds 3] [--room DIR] [--orch PATH] [--only A,B]

The trees are generated, the same for the same seed (image_tree.py). Contenders take turns, each measured as whole
processes with the trees in the page cache and all written before synced to the disk. What each does:

  cold       from six trees to an image of six layers in an OCI layout; orch takes them into its store first, from
             staged trees that it may move, and syncs all it writes, as no other here does
  unchanged  the same again with nothing changed
  changed    one component (50 MB of 2 GB) has another version; each contender has it at its best place, the last
  intake     the trees into a store alone: orch, nix-store --add, and BLAKE3 of every file, which is the bound

By hand is no image: an archive each tree, in one go; "+ sha256" also makes the two digests each that an image has to
name. A small run, --megabytes 100 --files 2500, takes seconds. A tool that is not there is left out with a line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from image_tree import SHAPES, Maker
from noop import REPOSITORY, nix_environment, orch_program  # also puts the repository on sys.path

NAMES = [shape.name for shape in SHAPES]
CHANGED = NAMES[-1]
NEEDED = 4.5  # times the trees' bytes, of disk
QUESTIONS = 10  # runs of a command with nothing to do, in each round
TAR = "tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@315532800 -C {tree} -cf - ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """One run: seconds, and the blobs or archives that were not there before."""

    seconds: float
    blobs: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Table:
    """All runs, by section and row, in the order in which they first came."""

    sections: dict[str, dict[str, list[Took]]] = field(default_factory=dict)

    def add(self, section: str, row: str, took: Took) -> None:
        self.sections.setdefault(section, {}).setdefault(row, []).append(took)
        print(f"  {section:<10} {row:<28} {took.seconds:8.2f} s", file=sys.stderr, flush=True)

    def lines(self) -> Iterator[str]:
        """Markdown, so that it can be kept: ratios are to the section's first row, orch."""
        for section, rows in self.sections.items():
            yield f"\n| {section} | runs | median s | best | worst | x orch | new blobs | new MB |"
            yield "|---|---:|---:|---:|---:|---:|---:|---:|"
            first = statistics.median(took.seconds for took in next(iter(rows.values())))
            for row, taken in rows.items():
                seconds = [took.seconds for took in taken]
                middle = statistics.median(seconds)
                new = f"{taken[-1].blobs} | {taken[-1].bytes / 1e6:.1f}" if taken[-1].blobs else "|"
                span = " | ".join(
                    f"{value:.{2 if value >= 0.1 else 3}f}" for value in (middle, min(seconds), max(seconds))
                )
                yield f"| {row} | {len(seconds)} | {span} | {middle / first:.2f} | {new} |"


class Bench:
    """The room, the trees and what every contender needs."""

    def __init__(self, room: Path, table: Table) -> None:
        self.room = room
        self.trees = room / "trees"
        self.table = table

    def took(self, section: str, row: str, out: Path, work: Callable[[], None]) -> None:
        """Measure `work`, whose blobs or archives are below `out`."""
        os.sync()
        before = _sizes(out)
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        new = {name: size for name, size in _sizes(out).items() if name not in before}
        self.table.add(section, row, Took(seconds=seconds, blobs=len(new), bytes=sum(new.values())))

    @contextmanager
    def next_version(self) -> Iterator[None]:
        """Meanwhile the changed component's tree is the other one."""
        there, other, aside = self.trees / CHANGED, self.room / "next" / CHANGED, self.room / "aside"
        there.rename(aside)
        other.rename(there)
        try:
            yield
        finally:
            there.rename(other)
            aside.rename(there)

    def remove(self, *names: str) -> None:
        for name in names:
            path = self.room / name
            if path.exists():
                subprocess.run(["chmod", "-R", "u+w", str(path)], check=True)
                shutil.rmtree(path)


def _sizes(out: Path) -> dict[tuple[str, int], int]:
    """Sizes of all blobs or archives below `out`; an archive that was made again is another one."""
    sizes = {}
    for path in out.rglob("*"):
        if path.parent.name == "sha256" or path.name.endswith(".zst"):
            facts = path.stat()
            sizes[path.name, 0 if path.parent.name == "sha256" else facts.st_mtime_ns] = facts.st_size
    return sizes


def call(command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nfailed with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def orch(bench: Bench, program: tuple[str, ...]) -> None:
    """All rows of orch in one round."""
    from image_steps import make_project

    make_project(bench.room / "project")
    out = bench.room / "project/store/oci"
    phases: dict[str, float] = {}

    def step(name: str) -> None:
        phases.clear()
        command = [sys.executable, __file__, "--step", name, "--room", str(bench.room)]
        phases.update(json.loads(call(command))["phases"])

    def stage(names: list[str]) -> None:
        (bench.room / "staged").mkdir(exist_ok=True)
        for name in names:
            call(["cp", "-a", str(bench.trees / name), str(bench.room / "staged")])

    stage(NAMES)
    bench.took("cold", "orch", out, lambda: step("image"))
    for phase in ("intake", "layers"):
        bench.table.add("cold", f"  of it {phase}", Took(seconds=phases[phase]))
    bench.table.add("intake", "orch", Took(seconds=phases["intake"]))
    questions(bench, program)
    bench.took("unchanged", "orch: layers, manifest", out, lambda: step("image"))
    step("again")
    bench.table.add("intake", "orch, again", Took(seconds=phases["again"]))
    with bench.next_version():
        stage([CHANGED])
        bench.took("changed", "orch", out, lambda: step("image"))
    for phase in ("intake", "layers"):
        bench.table.add("changed", f"  of it {phase}", Took(seconds=phases[phase]))
    bench.remove("project", "staged")
    (bench.room / "objects.json").unlink()


def questions(bench: Bench, program: tuple[str, ...]) -> None:
    """Whole commands that have nothing to do."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    env |= {"PYTHONPATH": str(REPOSITORY)} if len(program) > 1 else {}
    time.sleep(3.1)  # what is younger is looked at again
    words = {"orch image bench, whole": ("image", "bench"), "orch build r0, whole": ("build", "r0")}
    taken: dict[str, list[float]] = {name: [] for name in words}
    for run in range(QUESTIONS + 2):
        for name, verb in words.items():
            began = time.perf_counter()
            call([*program, *verb], env=env, cwd=bench.room / "project")
            if run >= 2:  # the first fill caches
                taken[name].append(time.perf_counter() - began)
    for name, seconds in taken.items():
        bench.table.add("unchanged", name, Took(seconds=statistics.median(seconds)))


def by_hand(bench: Bench, row: str, compressor: str) -> None:
    """tar and zstd, one archive each tree."""
    out = bench.room / "hand"

    def pack(names: list[str]) -> None:
        for name in names:
            tar, file = TAR.format(tree=bench.trees / name), out / f"{name}.tar.zst"
            file.unlink(missing_ok=True)
            call(["bash", "-c", f"set -o pipefail; {tar} | {compressor.format(out=file)}"])

    out.mkdir()
    bench.took("cold", row, out, lambda: pack(NAMES))
    bench.took("unchanged", row, out, lambda: pack(NAMES))
    with bench.next_version():
        bench.took("changed", row, out, lambda: pack([CHANGED]))
    bench.remove("hand")


def hand(level: int) -> str:
    return f"zstd -q -T{cores()} -{level} -o {{out}}"


def hashed(level: int) -> str:
    return f"tee >(sha256sum >{{out}}.diff) | zstd -q -T{cores()} -{level} | tee {{out}} | sha256sum >{{out}}.sha"


def umoci(bench: Bench) -> None:
    """Six inserts; gzip is the one compression it has."""
    out = bench.room / "umoci"
    rootless = ["--rootless"] if os.geteuid() else []

    def insert(source: str, name: str, tag: str) -> None:
        place = [str(bench.trees / name / "opt" / name), f"/opt/{name}"]
        call(["umoci", "insert", *rootless, "--image", f"{out}:{source}", "--tag", tag, *place])

    def image(tag: str) -> None:
        if not out.exists():
            call(["umoci", "init", "--layout", str(out)])
        call(["umoci", "new", "--image", f"{out}:{tag}"])
        for name in NAMES[:-1]:
            insert(tag, name, tag)
        call(["umoci", "tag", "--image", f"{out}:{tag}", f"{tag}-without"])
        insert(tag, CHANGED, tag)

    bench.took("cold", "umoci (gzip)", out, lambda: image("first"))
    bench.took("unchanged", "umoci (gzip)", out, lambda: image("again"))
    with bench.next_version():
        bench.took("changed", "umoci (gzip)", out, lambda: insert("first-without", CHANGED, "changed"))
    bench.remove("umoci")


def buildah(bench: Bench) -> None:
    """A layer each COPY, with its cache, then pushed into an OCI layout (gzip)."""
    out, state = bench.room / "buildah-oci", bench.room / "buildah"
    state.mkdir()
    recipe = state / "Containerfile"
    recipe.write_text("FROM scratch\n" + "".join(f"COPY {name}/ /\n" for name in NAMES))
    env = dict(os.environ) | {"TMPDIR": str(state)}
    places = ["--root", str(state / "root"), "--runroot", str(state / "run"), "--storage-driver"]
    base = ["buildah", *places, "overlay"]
    if subprocess.run([*base, "images"], env=env, capture_output=True).returncode != 0:
        base = ["buildah", *places, "vfs"]
        print("buildah has no overlay file systems here: it copies instead (vfs)", file=sys.stderr)

    def image() -> None:
        words = ["bud", "--layers", "--isolation", "chroot", "-t", "bench", "-f", str(recipe), str(bench.trees)]
        call([*base, *words], env=env)
        call([*base, "push", "bench", f"oci:{out}:bench"], env=env)

    bench.took("cold", "buildah (gzip)", out, image)
    bench.took("unchanged", "buildah (gzip)", out, image)
    with bench.next_version():
        bench.took("changed", "buildah (gzip)", out, image)
    subprocess.run([*base, "rmi", "--all", "--force"], env=env, capture_output=True)
    for mount in ("root/overlay", "root/vfs"):  # it leaves its own directory mounted
        subprocess.run(["umount", str(state / mount)], capture_output=True)
    bench.remove("buildah", "buildah-oci")


def nix_store(bench: Bench) -> None:
    """nix-store --add, in a store of its own."""
    out = bench.room / "nix"
    out.mkdir()
    env = nix_environment(out)
    command = ["nix-store", "--add", *(str(bench.trees / name) for name in NAMES)]
    bench.took("intake", "nix-store --add", out / "none", lambda: void(call(command, env=env)))
    bench.took("intake", "nix-store --add, again", out / "none", lambda: void(call(command, env=env)))
    bench.remove("nix")


def blake3(bench: Bench) -> None:
    command = [sys.executable, __file__, "--step", "hash", "--room", str(bench.room)]
    seconds = json.loads(call(command))["phases"]["hash"]
    bench.table.add("intake", "BLAKE3 of every file (bound)", Took(seconds=seconds))


def void(_: object) -> None:
    """Nothing."""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def machine(room: Path) -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    kind = call(["df", "--output=fstype", str(room)]).split()[-1]
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = f" ({line.partition(':')[2].strip()})"
            break
    load = os.getloadavg()[0]
    kernel = platform.release()
    return f"{cores()} cores{model}, {memory:.0f} GiB of memory, Linux {kernel}, {kind}; load at the start {load:.1f}"


def generate(bench: Bench, size: int, files: int, seed: int) -> None:
    """The trees, and the other version of the one that changes."""
    maker = Maker(seed)
    for shape in SHAPES:
        maker.component(bench.trees / shape.name, shape, size, files)
    (bench.room / "next").mkdir()
    call(["cp", "-a", str(bench.trees / CHANGED), str(bench.room / "next")])
    maker.touch_up(bench.room / "next" / CHANGED)


CONTENDERS: dict[str, tuple[tuple[str, ...], Callable[[Bench], None]]] = {  # what it needs on PATH
    "tar1": (("tar", "zstd"), lambda bench: by_hand(bench, "tar+zstd -1 by hand", hand(1))),
    "tar3": (("tar", "zstd"), lambda bench: by_hand(bench, "tar+zstd -3 by hand", hand(3))),
    "tar3sha": (("tar", "zstd"), lambda bench: by_hand(bench, "tar+zstd -3 + sha256", hashed(3))),
    "umoci": (("umoci",), umoci),
    "buildah": (("buildah",), buildah),
    "nix": (("nix-store",), nix_store),
    "blake3": ((), blake3),
}
SLOW = ("umoci", "buildah", "nix")


def chosen(wanted: str | None) -> list[str]:
    """The peers that are there and wanted; what is missing is told."""
    names = wanted.split(",") if wanted is not None else list(CONTENDERS)
    found = []
    for name in names:
        if name == "orch":
            continue
        missing = [tool for tool in CONTENDERS[name][0] if shutil.which(tool) is None]
        if missing:
            print(f"no {', '.join(missing)} on PATH: {name} is left out")
        else:
            found.append(name)
    return found


def measure(bench: Bench, wanted: argparse.Namespace) -> None:
    size = wanted.megabytes * 1_000_000
    free = shutil.disk_usage(bench.room).free
    if free < NEEDED * size:
        sys.exit(f"{bench.room} has {free / 1e9:.1f} GB free, {NEEDED * size / 1e9:.1f} GB are needed: use --room")
    peers = chosen(wanted.only)
    began = time.perf_counter()
    generate(bench, size, wanted.files, wanted.seed)
    print(f"made {size / 1e6:.0f} MB, {wanted.files} files in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    program = orch_program(wanted.orch)
    for number in range(wanted.rounds):
        orch(bench, program)
        for name in peers:
            if name not in SLOW or number < wanted.slow_rounds:
                CONTENDERS[name][1](bench)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=99, help=f"rounds in which {', '.join(SLOW)} take part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--room", metavar="DIR", type=Path, help="where to work (else a temporary directory)")
    parser.add_argument("--orch", metavar="PATH", help="the program (else the one beside this Python)")
    parser.add_argument("--only", metavar="A,B", help=f"peers, of {', '.join(CONTENDERS)}; orch is always there")
    parser.add_argument("--step", choices=("image", "again", "hash"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.step:
        from image_steps import run_step

        run_step(wanted.step, wanted.room)
        return
    if unknown := set((wanted.only or "orch").split(",")) - {*CONTENDERS, "orch"}:
        parser.error(f"--only: no {', '.join(sorted(unknown))}")
    table = Table()
    with tempfile.TemporaryDirectory(prefix="orch-images-", dir=wanted.room, ignore_cleanup_errors=True) as place:
        bench = Bench(Path(place).resolve(), table)
        told = machine(bench.room)
        try:
            measure(bench, wanted)
        finally:
            subprocess.run(["chmod", "-R", "u+w", str(bench.room)], capture_output=True)
    print(f"{wanted.megabytes} MB, {wanted.files} files, {wanted.rounds} rounds in turn; {told}")
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
