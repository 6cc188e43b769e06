"""What a person sees of real builds: progress, failures, and what the verbs that answer say afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess

import pytest
from projects import BASE, ORCH, Project, environment

pytestmark = pytest.mark.integration


def masked(project: Project, text: str) -> str:
    """Without this run's places, times and keys."""
    text = text.replace(str(project.store), "STORE").replace(str(project.root), "ROOT")
    text = re.sub(r"\d{8}T\d{6}\.\d+Z-[0-9a-f]{12}\.log", "LOG", text)
    text = re.sub(r"[0-9a-f]{64}", "HEX", text)
    text = re.sub(r", in \d+(\.\d)? s$", ", in TIME", text, flags=re.MULTILINE)
    text = re.sub(r"  \d+(\.\d)? s\b", "  TIME", text)
    return re.sub(r"^(\w+ FAILED .*)  TIME$", r"\1", text, flags=re.MULTILINE)  # told from a twentieth of a second on


def test_progress_without_a_terminal(project: Project) -> None:
    project.simple("quiet", 'mkdir -p "$OUT/opt"; echo quiet > "$OUT/opt/quiet"')
    script = 'phase configure\nsleep 0.1\nphase install\nmkdir -p "$OUT/opt"; cp /opt/quiet "$OUT/opt/loud"'
    project.simple("loud", script, build=["quiet"], check="sleep 0.1; test -s /opt/loud")
    result = project.orch("build", "loud")
    assert result.status == 0
    assert masked(project, result.out) == "STORE/objects/HEX/tree\n"
    assert (
        re.sub(r"  TIME", "", masked(project, result.err))
        == """\
2 to build, 1 to check, time unknown; 1 there already
build quiet ...
build quiet: store
built           quiet
build loud ...
build loud: configure
build loud: install
build loud: store
built           loud
check loud ...
check passed    loud
built 2, checked 1, in TIME
"""
    )
    again = project.orch("build", "loud")
    assert (again.status, again.out, again.err) == (0, result.out, "")


def test_what_is_there_is_shown(project: Project) -> None:
    project.simple("loud", 'phase install\nmkdir -p "$OUT/opt"; echo loud > "$OUT/opt/loud"', check="echo checked")
    path = project.path("loud")
    assert "loud       1.0       source  in store  a test's\n" in project.done("list").out
    shown = project.done("show", "loud").out
    assert "\n  state     in store\n" in shown
    assert f"\n  output    {path}\n" in shown
    assert "\n  size      5 B in 1 file\n" in shown
    document = project.done("show", "loud", "--json").document
    assert (document["state"], document["path"], document["bytes"]) == ("in store", str(path), 5)
    assert (document["output"], document["files"]) == (f"blake3:{path.parent.name}", 1)
    assert project.done("plan", "loud").out == f"loud: nothing to do\n  done    loud 1.0  blake3:{path.parent.name}\n"
    assert project.done("log", "loud").out == "==> phase: install\n"
    assert project.done("log", "loud", "--check").out == "checked\n"
    log = project.done("log", "loud", "--check", "--path").out.strip()
    assert project.done("log", "loud", "--check", "--json").document == {
        "schema": 1,
        "command": "log",
        "name": "loud",
        "path": log,
        "lines": ["checked"],
    }


def test_a_build_that_fails(project: Project) -> None:
    script = 'phase compile\nfor n in $(seq 50); do echo "line $n"; done\n'
    project.simple("bad", script + 'printf "x.c:1: error: \\033[31mno\\033[0m\\n"; exit 3')
    result = project.orch("build", "bad")
    assert (result.status, result.out) == (1, "")
    said = "".join(f"bad> line {number}\n" for number in range(1, 51))
    tail = "".join(f"  | line {number}\n" for number in range(12, 51))
    assert (
        masked(project, result.err)
        == f"""\
1 to build, time unknown; 1 there already
build bad ...
build bad: compile
{said}bad> x.c:1: error: no
build FAILED    bad
error: building bad 1.0 failed
  last 40 lines:
{tail}  | x.c:1: error: no
  first error: x.c:1: error: no
  where: STORE/logs/bad/LOG
  why:   exit status 3
  hint:  the whole log: orch log bad; to look inside, run again with --keep-failed
failed 1, in TIME
what was finished is kept; to go on: orch build bad
"""
    )
    assert len(project.log("bad")) == 52
    result = project.orch("build", "bad", "--json")
    assert result.status == 1
    error = result.document["error"]
    assert result.document["failures"] == [error]
    assert (error["step"], error["code"], error["why"]) == ("build bad", "build-failed", "exit status 3")
    assert (len(error["tail"]), error["tail"][0]) == (40, "line 12")
    assert error["first_error"] == "x.c:1: error: \x1b[31mno\x1b[0m"
    # The failure is not remembered as a state.
    assert "state     not built" in project.done("show", "bad").out


def test_two_inputs_with_one_file(project: Project) -> None:
    for name in ("left", "right"):
        project.simple(name, f'mkdir -p "$OUT/opt"; echo {name} > "$OUT/opt/file"')
    project.simple("both", "true", build=["left", "right"])
    result = project.orch("build", "both")
    assert (result.status, result.out) == (3, "")
    assert (
        masked(project, result.err).partition("build FAILED    both\n")[2]
        == """\
error: right and left both have /opt/file, with different content
  where: recipes/right and recipes/left
  why:   in one root one of them would hide the other without a word
  hint:  install it elsewhere in one of the two, or leave left out of the inputs
built 2, failed 1, in TIME
what was finished is kept; to go on: orch build both
"""
    )


def test_a_source_that_is_not_what_is_pinned(project: Project) -> None:
    wanted = hashlib.sha256(b"what the recipe wants").hexdigest()
    file = project.root / "file.txt"  # elsewhere: what lies beside the recipe is looked at before anything runs
    source = f'[[versions."1.0".sources]]\nfrom = "file:{file}"\nsha256 = "{wanted}"\nunpack = ""'
    project.simple("pinned", "true", extra=source)
    file.write_bytes(b"something else")
    got = hashlib.sha256(b"something else").hexdigest()
    before = sorted(path.name for path in (project.store / "sources").rglob("*"))
    result = project.orch("build", "pinned", "--json")
    assert result.status == 3
    error = result.document["error"]
    assert (error["step"], error["code"], error["what"]) == (
        "fetch file.txt",
        "source",
        f"file:{file} is not what is pinned",
    )
    assert error["where"] == "recipes/pinned/recipe.toml: versions.1.0.sources[0]"
    assert f"expected sha256:{wanted}, got sha256:{got}" in error["why"]
    assert sorted(path.name for path in (project.store / "sources").rglob("*")) == before


def test_no_space(project: Project) -> None:
    content = os.urandom(3 << 20)
    sha256 = hashlib.sha256(content).hexdigest()
    source = f'[[versions."1.0".sources]]\nfrom = "file:big"\nsha256 = "{sha256}"\nunpack = ""'
    project.simple("big", "true", extra=source)
    file = project.recipe("big").parent / "big"
    file.write_bytes(content)
    disk = project.root / "disk"
    disk.mkdir()
    rights = ["--user", "--map-root-user"] if os.geteuid() else []
    done = subprocess.run(
        ["unshare", *rights, "--mount", "--propagation", "private", "sh", "-c",
         f'mount -t tmpfs -o size=1m none "{disk}" && exec "$@"', "sh", *ORCH, "source", "add", str(file)],
        cwd=project.root,
        env=environment(disk / "store"),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    text = re.sub(
        r"\d+ bytes and \d+ inodes",
        "N bytes and N inodes",
        masked(project, done.stderr.replace(str(disk / "store"), "STORE")),
    )
    assert (
        text
        == """\
error: cannot copy big to the store STORE: No space left on device
  where: ROOT/recipes/big/big
  why:   No space left on device; N bytes and N inodes are free on its file system
  hint:  free some space or inodes there, then run the same command again: nothing finished was lost
"""
    )


def test_a_terminal_gets_a_view_and_stdout_stays_clean(project: Project) -> None:
    import pty

    project.simple(
        "slow",
        'phase work\nfor n in 1 2 3 4 5; do echo "step $n"; sleep 0.2; done\nmkdir "$OUT/opt"; echo > "$OUT/opt/slow"',
    )
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [*ORCH, "build", "slow"],
        cwd=project.root,
        env=environment(project.store) | {"TERM": "xterm", "COLUMNS": "50", "LINES": "20"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=inner,
    )
    os.close(inner)
    said = bytearray()
    while True:
        try:
            piece = os.read(outer, 65536)
        except OSError:  # the last one who had it open is gone
            break
        if not piece:
            break
        said += piece
    out, _ = process.communicate(timeout=60)
    os.close(outer)
    assert process.returncode == 0
    assert masked(project, out.decode()) == "STORE/objects/HEX/tree\n"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r", "\n")
    assert re.search(r"^slow  work  \d s  step \d", text, re.MULTILINE)
    assert re.search(r"^0 of 1 done, 1 running, \d s, time unknown", text, re.MULTILINE)
    assert re.search(r"^built           slow  1\.\d s", text, re.MULTILINE)
    assert all(len(line) <= 50 for line in text.split("\n"))
    assert re.search(r"^built 1, in 1\.\d s$", text, re.MULTILINE)
    assert said.rfind(b"\x1b[?25h") > said.rfind(b"\x1b[?25l") >= 0  # the cursor is back


def test_the_base_is_fetched_in_two_lines(project: Project) -> None:
    """Of many sources plain progress tells begin and end, not each."""
    listed = project.done("source", "ls", BASE, "--json").document["sources"]
    debs = project.root / "debs"
    for source in listed:
        path = debs / source["source"].removeprefix("debian:")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(project.store / "sources/sha256" / source["sha256"])
    server = subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(debs), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        mirrors = f"[mirrors]\ndebian = {json.dumps([f'http://127.0.0.1:{port[1]}'])}\n"
        (project.root / "orch.toml").write_text((project.root / "orch.toml").read_text() + mirrors)
        result = project.orch("source", "fetch", BASE, "--store", str(project.root / "other"))
    finally:
        server.terminate()
        server.communicate()
    assert result.status == 0
    count = len(listed)
    first, began, ended, last = masked(project, result.err).splitlines()
    size = first.removeprefix(f"{count} sources, ").removesuffix(" to fetch")
    assert began == f"fetch {BASE}: {count} sources, {size} ..."
    assert ended == f"fetched         {BASE}  TIME  ({count} sources, {size})"
    assert last == f"{count} of {count} sources are here"
