"""What a node costs besides its own work: `orch build` beside ninja driving bwrap, nix-build and BuildStream.

    python tests/bench/overhead.py [--sizes 100,1000] [--linear 5000] [--runs 3] [--edits 1] [--plot docs/overhead.svg]

Every node is one `echo` in a sandbox and reads what two others made; all but the leaves do, and the goal needs all of
them. Each contender has the same root (bash and what it needs), two jobs, and a place of its own that nothing else
writes to; they take turns. Times are whole processes; orch is the program installed beside this Python, as users have
it. Three questions: all of it from nothing; one leaf edited, so that it and all above it, up to the goal, come out
different; one leaf edited so that its output stays the same.

orch makes the root first, which is not measured; its few .debs come from ORCH_TEST_STORE, else from where apt has them.
ninja's bwrap has namespaces and read-only mounts alike, but no limits, no log, no hash and nothing synced: a bound.
nix-build has its sandbox on and its store by the input's address; "nix, ca" has it by content. What is not on this
machine is left out, and said: BuildStream is looked for as `bst` on PATH or with --bst.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/integration"), str(REPOSITORY / "tests/bench")]

from noop import orch_program  # noqa: E402
from projects import BASE, empty_project  # noqa: E402

from orchestrator.digest import sha256_file  # noqa: E402

JOBS = 2
MODULUS = 1_000_003
NAMES = ("orch", "ninja+bwrap", "nix", "nix, ca", "BuildStream")


def needs(number: int, size: int) -> list[int]:
    return [below for below in (2 * number + 1, 2 * number + 2) if below < size]


def cone(size: int) -> int:
    """Nodes from the last leaf up to the goal."""
    count, number = 1, size - 1
    while number:
        count, number = count + 1, (number - 1) // 2
    return count


@dataclass(frozen=True, slots=True)
class Edit:
    """What the last leaf looks like: `value` reaches its output, `remark` does not."""

    value: int = 0
    remark: int = 0


def script(number: int, size: int, edit: Edit, out: str, prefix: Callable[[int], str]) -> str:
    """The one command line of a node, for bash; `prefix` says where another node's output is."""
    below = needs(number, size)
    leaf = number == size - 1
    terms = [str(number + (edit.value if leaf else 0)), *(f"$(< {prefix(one)}) * 31" for one in below)]
    remark = f" {': ' * bool(edit.remark)}{edit.remark or ''}".rstrip()
    return f"echo $(( ({' + '.join(terms)}) % {MODULUS} )) > {out}" + (f";{remark}" if leaf and remark else "")


# -- contenders -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contender:
    """One program on one project; `write` brings its files up to an edit."""

    name: str
    root: Path
    size: int
    command: tuple[str, ...]
    env: dict[str, str]
    write: Callable[[Edit], None]
    prepare: Callable[[], None]
    ran: re.Pattern[str]  # one match a node that was run, in all that the command says

    def run(self) -> tuple[float, int]:
        """Seconds, and how many nodes were run."""
        began = time.perf_counter()
        done = subprocess.run(
            self.command,
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{self.name}: exit status {done.returncode}\n{done.stdout[-4000:]}")
        return took, len(set(self.ran.findall(done.stdout)))


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCH_", "NIX_", "PYTHON"))}
    return kept | more


def make_base(room: Path) -> tuple[Path, Path]:
    """A store with the tiny base, and the base's tree."""
    project = empty_project(room / "base/project", room / "base/store")
    cache = os.environ.get("ORCH_TEST_STORE")
    if cache:
        wanted = project.done("source", "ls", "--json").document["sources"]
        files = [Path(cache, "sources/sha256", source["sha256"]) for source in wanted]
        there = [str(file) for file in files if file.is_file() and sha256_file(file).hex == file.name]
        if there:
            project.done("source", "add", *there)
    return project.store, project.path(BASE)


def orch(room: Path, size: int, base_store: Path) -> Contender:
    root, store = room / f"orch-{size}/project", room / f"orch-{size}/store"
    project = empty_project(root, store)

    def recipe(number: int, edit: Edit) -> None:
        inputs = json.dumps([BASE, *(f"r{below}" for below in needs(number, size))])
        line = script(number, size, edit, f'"$OUT"/r{number}', lambda below: f"/r{below}")
        project.write(
            f"r{number}",
            f'name = "r{number}"\nsummary = "number {number}"\n[inputs]\nbuild = {inputs}\nruntime = ["{BASE}"]\n'
            f"[versions.\"1\"]\norigin = \"source\"\n[build]\nscript = '''\n{line}\n'''\n",
        )

    def prepare() -> None:
        remove(store)
        subprocess.run(["cp", "-a", str(base_store), str(store)], check=True)

    for number in range(size):
        recipe(number, Edit())
    program = orch_program(None)
    return Contender(
        name="orch",
        root=root,
        size=size,
        command=(*program, "build", "r0", "--jobs", str(JOBS), "--cores", str(JOBS)),
        env=environment(ORCH_STORE=str(store), **({"PYTHONPATH": str(REPOSITORY)} if len(program) > 1 else {})),
        write=lambda edit: recipe(size - 1, edit),
        prepare=prepare,
        ran=re.compile(r"^built +(r\d+)", re.MULTILINE),
    )


NINJA_RULE = """\
rule node
  command = bwrap --unshare-all --die-with-parent --new-session --cap-drop ALL --clearenv --uid 1000 --gid 1000 $
    --ro-bind BASE / --proc /proc --dev /dev --tmpfs /tmp $mounts --bind $dir /out -- /bin/bash -c '$script'
  restat = 1
"""


def ninja(room: Path, size: int, base: Path) -> Contender:
    """The root is copied, because bwrap needs somewhere to mount to."""
    root = room / f"ninja-{size}"
    root.mkdir()
    top = root / "root"
    subprocess.run(["cp", "-a", str(base), str(top)], check=True)
    top.chmod(0o755)
    for folder in ("proc", "dev", "tmp", "out", "in/0", "in/1"):
        (top / folder).mkdir(parents=True, exist_ok=True)

    def write(edit: Edit) -> None:
        lines = [NINJA_RULE.replace("BASE", str(top))]
        for number in range(size):
            below = needs(number, size)
            inside = {one: f"/in/{place}/r" for place, one in enumerate(below)}
            line = script(number, size, edit, "/out/r.new", inside.__getitem__)
            # As restat wants it: a file with the same content is left alone.
            line += '; [ -e /out/r ] && [ "$(< /out/r)" = "$(< /out/r.new)" ] || echo "$(< /out/r.new)" > /out/r'
            mounts = " ".join(f"--ro-bind out/r{one} /in/{place}" for place, one in enumerate(below))
            lines.append(
                f"build out/r{number}/r: node {' '.join(f'out/r{one}/r' for one in below)}\n  mounts = {mounts}\n"
                f"  dir = out/r{number}\n  script = {line.replace('$', '$$')}\n"
            )
        (root / "build.ninja").write_text("".join(lines))

    def prepare() -> None:
        remove(root / "out")
        for name in (".ninja_log", ".ninja_deps"):
            (root / name).unlink(missing_ok=True)

    write(Edit())
    return Contender(
        name="ninja+bwrap",
        root=root,
        size=size,
        command=("ninja", "-j", str(JOBS), "-v", "out/r0/r"),
        env=environment(),
        write=write,
        prepare=prepare,
        ran=re.compile(r"--bind out/(r\d+) /out"),
    )


NIX = """\
let
  make = name: script: needs: derivation ({
    inherit name needs;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" script ];
  } // EXTRA);
  r = {
FILES
  };
in r.r0
"""
BY_CONTENT = '{ __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }'


def nix(room: Path, size: int, base: Path, *, by_content: bool) -> Contender:
    """nix-build on a store of its own, its sandbox made of the same root."""
    name = "nix, ca" if by_content else "nix"
    root = room / f"nix{'-ca' * by_content}-{size}"
    (root / "recipes").mkdir(parents=True)
    top = {entry.name: entry.resolve() for entry in base.iterdir()}
    paths = " ".join(f"/{entry}={place}" for entry, place in top.items() if entry in ("bin", "lib", "lib64", "usr"))
    names = {"STORE_DIR": "store", "STATE_DIR": "state", "LOG_DIR": "log", "CONF_DIR": "conf", "LOCALSTATE_DIR": "var"}
    places = {f"NIX_{one}": str(root / place) for one, place in names.items()}
    config = f"substituters =\nsandbox = true\nsandbox-fallback = false\nsandbox-paths = {paths}\nbuild-users-group =\n"
    config += "experimental-features = ca-derivations\n" if by_content else ""

    def recipe(number: int, edit: Edit) -> None:
        below = needs(number, size)
        line = script(number, size, edit, "$out", lambda one: f"${{r.r{one}}}")
        inputs = " ".join(f"r.r{one}" for one in below)
        (root / f"recipes/r{number}.nix").write_text(f"make: r: make \"r{number}\" ''{line}'' [ {inputs} ]\n")

    def prepare() -> None:
        for place in names.values():
            remove(root / place)

    for number in range(size):
        recipe(number, Edit())
    files = "\n".join(f"    r{number} = import ./recipes/r{number}.nix make r;" for number in range(size))
    extra = BY_CONTENT if by_content else "{ }"
    (root / "default.nix").write_text(NIX.replace("FILES", files).replace("EXTRA", extra))
    return Contender(
        name=name,
        root=root,
        size=size,
        command=("nix-build", "--no-out-link", "-j", str(JOBS), "--cores", "1"),
        env=environment(**places, NIX_CONFIG=config, NIX_REMOTE="local", HOME=str(root)),
        write=lambda edit: recipe(size - 1, edit),
        prepare=prepare,
        ran=re.compile(r"building '[^']*-(r\d+)\.drv'"),
    )


def buildstream(room: Path, size: int, base: Path, bst: Path) -> Contender:
    root = room / f"bst-{size}"
    (root / "elements").mkdir(parents=True)
    subprocess.run(["cp", "-a", str(base), str(root / "root")], check=True)
    (root / "project.conf").write_text("name: bench\nmin-version: 2.0\nelement-path: elements\n")
    (root / "elements/base.bst").write_text("kind: import\nsources:\n- kind: local\n  path: root\n")
    (root / "user.conf").write_text(f"scheduler:\n  builders: {JOBS}\nbuild:\n  max-jobs: 1\n")

    def element(number: int, edit: Edit) -> None:
        line = script(number, size, edit, f'"%{{install-root}}"/r{number}', lambda below: f"/r{below}")
        inputs = "".join(f"- {one}.bst\n" for one in ("base", *(f"r{below}" for below in needs(number, size))))
        text = f"kind: manual\nbuild-depends:\n{inputs}config:\n  install-commands:\n  - |\n    {line}\n"
        (root / f"elements/r{number}.bst").write_text(text)

    for number in range(size):
        element(number, Edit())
    home = root / "home"
    return Contender(
        name="BuildStream",
        root=root,
        size=size,
        command=(str(bst), "--no-interactive", "--no-colors", "-c", "user.conf", "build", "r0.bst"),
        env=environment(HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), XDG_CONFIG_HOME=str(home / "config")),
        write=lambda edit: element(size - 1, edit),
        prepare=lambda: remove(home),
        ran=re.compile(r"\[ *build:(r\d+)\.bst *\] *START"),
    )


def remove(path: Path) -> None:
    if path.exists():
        subprocess.run(["chmod", "-R", "u+w", str(path)], check=True)
        shutil.rmtree(path)


# -- measuring --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """One contender's answer to one question."""

    case: str
    size: int
    name: str
    seconds: list[float] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(contenders: Iterable[Contender], runs: int, edits: int) -> list[Row]:
    """All questions, in turn, so that a busy moment is shared, and by another first each time: who comes after one like
    himself finds the caches warm. What one left in memory for the disk is written before the next begins: orch syncs
    the file system, and would be charged for it. `runs` times from nothing, and after each of them `edits` edits of
    either kind."""
    rows: dict[tuple[str, str], Row] = {}

    def ask(case: str, one: Contender) -> None:
        row = rows.setdefault((case, one.name), Row(case, one.size, one.name))
        os.sync()
        seconds, ran = one.run()
        row.seconds.append(seconds)
        row.ran.append(ran)
        print(f"{case:<16} {one.size:>5} {one.name:<12} {seconds:8.3f} s, {ran} nodes", file=sys.stderr)

    them = list(contenders)
    for run in range(1, runs + 1):
        for one in them:
            if run > 1 and one.name == "BuildStream":
                continue  # it takes as long as all others together
            one.write(Edit())
            one.prepare()
            ask("cold", one)
        for number in range((run - 1) * edits + 1, run * edits + 1):
            for case, edit in (("edit", Edit(number)), ("edit, same bytes", Edit(number, remark=number))):
                first = number % len(them)
                for one in (*them[first:], *them[:first]):
                    if run > 1 and one.name == "BuildStream":
                        continue
                    one.write(edit)
                    ask(case, one)
    return list(rows.values())


def table(rows: list[Row]) -> str:
    lines = [
        "| case | nodes | program | runs | median s | best | worst | ms a node | x ninja | x nix | nodes run |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        rivals = [next((r for r in rows if (r.case, r.size, r.name) == (row.case, row.size, n)), None) for n in NAMES]
        ratios = [f"{row.median / rivals[n].median:.2f}" if rivals[n] else "" for n in (1, 2)]  # type: ignore[union-attr]
        each = f"{1000 * row.median / row.size:.1f}" if row.case == "cold" else ""
        ran = "-".join(map(str, sorted(set(row.ran))))
        lines.append(
            f"| {row.case} | {row.size} | {row.name} | {len(row.seconds)} | {row.median:.3f} | {min(row.seconds):.3f} "
            f"| {max(row.seconds):.3f} | {each} | {ratios[0]} | {ratios[1]} | {ran} |"
        )
    return "\n".join(lines)


COLOURS = {"orch": "#0b6", "ninja+bwrap": "#888", "nix": "#57c", "nix, ca": "#9bd", "BuildStream": "#c73"}


def plot(rows: list[Row]) -> str:
    """Milliseconds a node of the cold runs, a bar each, as SVG."""
    cold = [row for row in rows if row.case == "cold"]
    top = max(1000 * row.median / row.size for row in cold)
    height, left, wide = 26, 190, 420
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 90}" height="{height * len(cold) + 40}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="8" y="20" font-weight="bold">All of it from nothing: milliseconds a node (two jobs)</text>',
    ]
    for place, row in enumerate(cold):
        each = 1000 * row.median / row.size
        y = 34 + place * height
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{row.name}, {row.size} nodes</text>')
        parts.append(
            f'<rect x="{left}" y="{y}" width="{wide * each / top:.1f}" height="20" fill="{COLOURS[row.name]}"/>'
        )
        parts.append(f'<text x="{left + wide * each / top + 6:.1f}" y="{y + 15}">{each:.1f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def contenders(room: Path, size: int, wanted: list[str], store: Path, base: Path, bst: str | None) -> list[Contender]:
    made = []
    for name in wanted:
        if name == "orch":
            made.append(orch(room, size, store))
        elif name == "ninja+bwrap" and shutil.which("ninja"):
            made.append(ninja(room, size, base))
        elif name.startswith("nix") and shutil.which("nix-build"):
            made.append(nix(room, size, base, by_content=name == "nix, ca"))
        elif name == "BuildStream" and bst is not None:
            made.append(buildstream(room, size, base, Path(bst)))
        else:
            print(f"not had on this machine: {name}", file=sys.stderr)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000")
    parser.add_argument("--linear", default="5000", help="sizes at which orch alone is run, once")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--edits", type=int, default=1, help="edits of either kind after each run from nothing")
    parser.add_argument("--only", default=";".join(NAMES), help="the contenders, with ';' between them")
    parser.add_argument("--bst", default=shutil.which("bst"), metavar="PATH", help="BuildStream's program")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    wanted = parser.parse_args()
    rows: list[Row] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="orch-overhead-") as place:
        room = Path(place).resolve()
        store, base = make_base(room)
        for size in map(int, filter(None, wanted.sizes.split(","))):
            them = contenders(room, size, wanted.only.split(";"), store, base, wanted.bst)
            rows += measure(them, wanted.runs, wanted.edits)
        for size in map(int, filter(None, wanted.linear.split(","))):
            rows += measure([orch(room, size, store)], 1, wanted.edits)
        subprocess.run(["chmod", "-R", "u+w", str(room)], check=True)
    print(f"load {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end\n")
    print(table(rows))
    if wanted.plot is not None:
        wanted.plot.write_text(plot(rows))


if __name__ == "__main__":
    main()
