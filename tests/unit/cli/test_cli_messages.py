"""Every wrong input with its exact message, as text and as JSON, and its exit status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_project import ORCH, REPOSITORY, Cli, InProcess

from orchestrator.cli import main
from orchestrator.cli.complaint import render
from orchestrator.errors import OrchError

APP = "recipes/app/recipe.toml"
LIB = "recipes/lib/recipe.toml"


@dataclass(frozen=True)
class Case:
    """Edits of the project (file, old, new; or file to remove), a command, what it says."""

    name: str
    edits: tuple[tuple[str, str, str] | str, ...]
    command: str
    status: int
    code: str
    text: str


def case(name: str, command: str, said: str, *edits: tuple[str, str, str] | str, code: str = "recipe") -> Case:
    status = {"usage": 2, "recipe": 3, "machine": 4}[code]
    return Case(name, edits, command, status, code, said.removeprefix("\n"))


CASES = [
    # -- recipes
    case(
        "unknown input",
        "plan app",
        """
error: app names an unknown input 'libb'
  where: recipes/app/recipe.toml: inputs.build
  hint:  did you mean 'lib'?
""",
        (APP, '"base", "lib"', '"base", "libb"'),
    ),
    case(
        "unknown input like no other",
        "plan app",
        """
error: app names an unknown input 'quux'
  where: recipes/app/recipe.toml: inputs.build
  hint:  recipes: app, base, lib, tool
""",
        (APP, '"base", "lib"', '"base", "quux"'),
    ),
    case(
        "cycle",
        "plan app",
        """
error: a cycle: app -> lib -> app
  where: recipes/app/recipe.toml: inputs.build
  why:   recipes/app/recipe.toml: inputs.build names lib; recipes/lib/recipe.toml: inputs.runtime names app
  hint:  drop one
""",
        (LIB, 'runtime = ["base"]', 'runtime = ["base", "app"]'),
    ),
    case(
        "cycle of one",
        "plan app",
        """
error: a cycle: lib -> lib
  where: recipes/lib/recipe.toml: inputs.build
  why:   recipes/lib/recipe.toml: inputs.build names lib
  hint:  drop one
""",
        (LIB, 'build = ["base"]', 'build = ["base", "lib"]'),
    ),
    case(
        "no base",
        "plan app",
        """
error: app 1.1 has no base among its build inputs
  where: recipes/app/recipe.toml: inputs.build
  hint:  add a base, such as base
""",
        (APP, 'build = ["base", "lib"]', 'build = ["lib"]'),
    ),
    case(
        "malformed TOML",
        "plan app",
        """
error: not TOML: Expected ']' at the end of a table declaration
  where: recipes/app/recipe.toml:16
""",
        (APP, "[check]", "[check"),
    ),
    case(
        "malformed orch.toml",
        "plan app",
        """
error: not TOML: Expected '=' after a key in a key/value pair
  where: orch.toml:3
""",
        ("orch.toml", "values =", "values"),
    ),
    case(
        "unknown keys",
        "plan app",
        """
error: unknown key 'flag'
  where: recipes/lib/recipe.toml:20: versions.2.0.flag
  why:   also wrong:
         recipes/lib/recipe.toml:24: versions.2.0.sources[0].bytes: unknown key 'bytes'
  hint:  did you mean 'flags'?
""",
        (LIB, 'flags = ["--prefix', 'flag = ["--prefix'),
        (LIB, "size =", "bytes ="),
    ),
    case(
        "missing hash",
        "plan app",
        """
error: no sha256: a source is pinned by its hash
  where: recipes/lib/recipe.toml:21: versions.2.0.sources[0].sha256
  hint:  add sha256 = "..." (sha256sum FILE prints it), or say locked = false for this version
""",
        (LIB, 'sha256 = "', '# "'),
    ),
    case(
        "malformed hash",
        "plan app",
        """
error: sha256 is not 64 lower-case hex digits: \
'sha256:28ba65c83f76c3dc11c8732b98442144e96d24d78982c071641c60b7ecac5598'
  where: recipes/lib/recipe.toml:23: versions.2.0.sources[0].sha256
  hint:  leave out what stands before the colon
""",
        (LIB, 'sha256 = "', 'sha256 = "sha256:'),
    ),
    case(
        "missing patch",
        "plan app",
        """
error: fix.patch does not exist beside the recipe
  where: recipes/lib/recipe.toml:19: versions.2.0.patches[0]
  hint:  files there: lib.txt
""",
        (LIB, 'reads = ["cuda"', 'patches = ["fix.patch"]\nreads = ["cuda"'),
    ),
    case(
        "missing lock",
        "plan app",
        """
error: base.lock does not exist beside the recipe
  where: recipes/base/recipe.toml:8: versions.bookworm.lock
  hint:  make it: orch lock base
""",
        "recipes/base/base.lock",
    ),
    case(
        "missing recipe.toml",
        "plan app",
        """
error: the recipe cannot be read
  where: recipes/app/recipe.toml
  why:   No such file or directory
""",
        APP,
    ),
    case(
        "a NUL character",
        "plan app",
        """
error: a string holds a NUL character
  where: recipes/lib/recipe.toml:19: versions.2.0.patches[0]
""",
        (LIB, 'reads = ["cuda"', 'patches = ["fix\\u0000.patch"]\nreads = ["cuda"'),
    ),
    case(
        "a name that no file can have",
        "plan app",
        f"""
error: {"x" * 300} cannot be read: File name too long
  where: recipes/lib/recipe.toml:19: versions.2.0.patches[0]
  hint:  files there: lib.txt
""",
        (LIB, 'reads = ["cuda"', f'patches = ["{"x" * 300}"]\nreads = ["cuda"'),
    ),
    case(
        "an address that is none",
        "plan app",
        """
error: not a https source: 'https://[::1/lib.txt'
  where: recipes/lib/recipe.toml:22: versions.2.0.sources[0].from
  hint:  it is spelt https://HOST/PATH
""",
        (LIB, "file:lib.txt", "https://[::1/lib.txt"),
    ),
    case(
        "lists in lists",
        "plan app",
        """
error: its tables or lists are nested too deeply
  where: recipes/lib/recipe.toml
""",
        (LIB, 'licence = "MIT"', f"licence = {'[' * 3000}{']' * 3000}"),
    ),
    case(
        "a store in nobody's home",
        "plan app",
        """
error: there is no home directory for ~nobody-of-that-name
  where: orch.toml: store.path
""",
        ("orch.toml", "[options.cuda]", '[store]\npath = "~nobody-of-that-name/store"\n[options.cuda]'),
    ),
    # -- versions
    case(
        "not locked",
        "build lib --set lib.version=3.0",
        """
error: lib 3.0 is not locked
  where: recipes/lib/recipe.toml: versions.3.0.locked
  why:   some hash of its sources is not known yet
  hint:  orch source lock lib@3.0 completes it where its hosts answer
""",
    ),
    case(
        "another platform",
        "plan app",
        """
error: lib 2.0 is not for x86_64-linux
  where: recipes/lib/recipe.toml: versions.2.0.platforms
  why:   it is for riscv64-linux
  hint:  --set lib.version=1.0
""",
        (LIB, 'reads = ["cuda"', 'platforms = ["riscv64-linux"]\nreads = ["cuda"'),
    ),
    case(
        "runtime only",
        "plan app --set app.version=1.0 --set lib.version=1.0",
        """
error: lib 1.0 cannot be a build input of app 1.0: it has no headers
  where: recipes/app/recipe.toml: inputs.build
  why:   1.0 was chosen: --set lib.version=1.0
  hint:  --set lib.version=2.0
""",
    ),
    case(
        "link only",
        "plan app",
        """
error: lib 2.0 cannot be a runtime input of app 1.1: a stub: it does nothing
  where: recipes/app/recipe.toml: inputs.runtime
  why:   2.0 was chosen: the first listed
  hint:  --set lib.version=1.0
""",
        (LIB, 'reads = ["cuda"', 'link_only = "a stub: it does nothing"\nreads = ["cuda"'),
    ),
    case(
        "requires",
        "plan app --set lib.version=1.0",
        """
error: app 1.1 needs lib >= 2: lib_open
  where: recipes/app/recipe.toml: versions.1.1.requires[0]
  why:   lib 1.0 was chosen: --set lib.version=1.0
  hint:  leave out --set lib.version=1.0 or --set lib.version=2.0
""",
        (APP, 'build = ["base", "lib"]', 'build = ["base"]'),
    ),
    case(
        "a version that needs another option",
        "plan app --set lib.version=2.0",
        """
error: lib 2.0 exists only with cuda=13, and here cuda=12
  where: recipes/lib/recipe.toml: versions.2.0.when
  hint:  say --set cuda=13 too, or leave out --set lib.version=2.0
""",
        (LIB, 'origin = "source"', 'origin = "source"\nwhen = { cuda = "13" }'),
    ),
    # -- options
    case(
        "unknown option",
        "plan app --set cudda=13",
        """
error: unknown option 'cudda'
  where: --set
  hint:  did you mean 'cuda'?
""",
    ),
    case(
        "a recipe's option without its name",
        "plan app --set fast=on",
        """
error: unknown option 'fast'
  where: --set
  why:   it is an option of one recipe
  hint:  --set lib.fast=on
""",
    ),
    case(
        "unknown option of a recipe",
        "plan app --set lib.fats=on",
        """
error: unknown option 'lib.fats'
  where: --set
  why:   lib has version, fast
  hint:  did you mean 'fast'?
""",
    ),
    case(
        "option of an unknown recipe",
        "plan app --set lob.fast=on",
        """
error: unknown option 'lob.fast': there is no recipe 'lob'
  where: --set
  hint:  did you mean 'lib'?
""",
    ),
    case(
        "unknown value",
        "plan app --set cuda=14",
        """
error: '14' is not a value of cuda
  where: --set
  why:   values: 12, 13
""",
    ),
    case(
        "unknown value, when listing",
        "list --set cuda=14",
        """
error: '14' is not a value of cuda
  where: --set
  why:   values: 12, 13
""",
    ),
    case(
        "unknown value of a recipe's option",
        "plan app --set lib.fast=no",
        """
error: 'no' is not a value of lib.fast
  where: --set
  why:   values: off, on
""",
    ),
    case(
        "unknown version",
        "plan app --set lib.version=2.1",
        """
error: '2.1' is not a value of lib.version
  where: --set
  why:   values: 2.0, 1.0, 3.0
  hint:  did you mean '2.0'?
""",
    ),
    case(
        "an option nobody reads",
        "plan tool --set cuda=13",
        """
error: nothing in the closure of tool reads cuda
  where: --set cuda=13
  why:   read by lib 2.0
  hint:  leave out --set cuda=13
""",
    ),
    case(
        "an option of a recipe that is not there",
        "plan tool --set lib.fast=on",
        """
error: nothing in the closure of tool reads lib.fast
  where: --set lib.fast=on
  why:   lib is not in it; read by lib 2.0
  hint:  leave out --set lib.fast=on
""",
    ),
    case(
        "not a setting",
        "plan app --set cuda",
        """
error: not a setting: 'cuda'
  where: --set
  hint:  write --set NAME=VALUE
""",
        code="usage",
    ),
    case(
        "set twice",
        "plan app --set cuda=12 --set cuda=13",
        """
error: cuda is set to 12 and to 13
  where: --set
  hint:  set it once
""",
        code="usage",
    ),
    # -- the command line
    case(
        "goal misspelt",
        "build ap",
        """
error: there is no recipe 'ap'
  hint:  did you mean 'app'?
""",
        code="usage",
    ),
    case(
        "no such goal",
        "plan zzz",
        """
error: there is no recipe 'zzz'
  hint:  recipes: app, base, lib, tool
""",
        code="usage",
    ),
    case(
        "show misspelt",
        "show ap",
        """
error: there is no recipe 'ap'
  hint:  did you mean 'app'?
""",
        code="usage",
    ),
    case(
        "verb misspelt",
        "biuld app",
        """
error: no verb called 'biuld'
  hint:  did you mean 'orch build'?
""",
        code="usage",
    ),
    case(
        "no such verb",
        "frobnicate",
        """
error: no verb called 'frobnicate'
  hint:  orch --help lists the verbs
""",
        code="usage",
    ),
    case(
        "sub-verb misspelt",
        "source lsit",
        """
error: no verb called 'orch source lsit'
  hint:  did you mean 'orch source ls'?
""",
        code="usage",
    ),
    case(
        "no goal",
        "build",
        """
error: the following arguments are required: GOAL
  hint:  orch list names the recipes; orch build --help
""",
        code="usage",
    ),
    case(
        "jobs",
        "build app -j none",
        """
error: argument -j/--jobs: 'none' is not a whole number above zero
  hint:  orch build --help
""",
        code="usage",
    ),
    case(
        "cores",
        "build app --cores 0",
        """
error: argument --cores: '0' is not a whole number above zero
  hint:  orch build --help
""",
        code="usage",
    ),
    case(
        "a count beyond all sense",
        "history -n 99999999999999999999",
        """
error: argument -n: '99999999999999999999' is more than 1000000
  hint:  orch history --help
""",
        code="usage",
    ),
    case(
        "two goals and one link",
        "build app tool -o result",
        """
error: -o takes one goal
  why:   2 were given
  hint:  one command per link
""",
        code="usage",
    ),
    case(
        "flag misspelt",
        "build app --keep-fialed",
        """
error: unrecognized arguments: --keep-fialed
  hint:  did you mean '--keep-failed'?
""",
        code="usage",
    ),
    case(
        "flag shortened",
        "build app --dry",
        """
error: unrecognized arguments: --dry
  hint:  did you mean '--dry-run'?
""",
        code="usage",
    ),
    case(
        "no log",
        "log app --check",
        """
error: there is no log of a check of app
  where: STORE/logs
  why:   none was run in this store
  hint:  run one: orch build app
""",
        code="usage",
    ),
    case(
        "log misspelt",
        "log ap",
        """
error: there is no recipe 'ap'
  hint:  did you mean 'app'?
""",
        code="usage",
    ),
    case(
        "lock of what is no base",
        "lock app",
        """
error: 'app' is no image and no base
  hint:  images and bases: base
""",
        code="usage",
    ),
    case(
        "add a file that is not there",
        "source add nofile",
        """
error: no file nofile
  hint:  orch source ls GOAL names what is missing
""",
        code="usage",
    ),
    case(
        "add a file that nobody wants",
        "source add orch.toml",
        """
error: no recipe has a source with the content of orch.toml
  why:   orch.toml is sha256:6b59912655d90fee8b290efd9a1c74dc34c9396c093007633f59312de97db1b4
  hint:  orch source ls GOAL names what is wanted; the same name with another digest is another file
""",
        code="usage",
    ),
]


def rendered(fields: dict[str, str]) -> str:
    """An error's JSON fields as the text that a person sees."""
    return render(OrchError(fields["what"], where=fields["where"], why=fields["why"], hint=fields["hint"])) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_input(case: Case, cli: Cli, in_process: InProcess) -> None:
    for edit in case.edits:
        if isinstance(edit, str):
            (cli.root / edit).unlink()
        else:
            cli.edit(*edit)
    command = case.command.split(" ")
    result = cli.run(*command)
    assert (result.out, cli.shown(result.err), result.status) == ("", case.text, case.status)
    status, out = in_process(*command, "--json")
    document = json.loads(out)
    assert (document["schema"], document["command"], status) == (
        1,
        " ".join(command[: 2 if command[0] == "source" else 1]),
        case.status,
    )
    assert document["error"]["code"] == case.code
    assert cli.shown(rendered(document["error"])) == case.text


def test_what_a_real_version_requires(cli: Cli) -> None:
    result = cli.run("plan", "nixl", "--set", "ucx.version=1.20.0+nixl0.10.1", cwd=REPOSITORY)
    assert (result.out, result.status) == ("", 3)
    assert (
        result.err
        == """\
error: nixl 1.4.1 needs ucx >= 1.21: ucp_device_local_mem_list_create
  where: recipes/nixl/recipe.toml: versions.1.4.1.requires[0]
  why:   ucx 1.20.0+nixl0.10.1 was chosen: --set ucx.version=1.20.0+nixl0.10.1
  hint:  leave out --set ucx.version=1.20.0+nixl0.10.1 or --set ucx.version=1.22.0+nixl1.4.1
"""
    )


def test_no_project(cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = cli.run("list", cwd=elsewhere)
    assert (result.out, result.status) == ("", 2)
    assert (
        result.err
        == f"""\
error: no orch.toml here or above
  where: {elsewhere}
  hint:  change to a project's directory, or start one with an empty orch.toml beside recipes/
"""
    )


def test_not_text(cli: Cli) -> None:
    (cli.root / APP).write_bytes(b'name = "\xff"\n')
    result = cli.run("plan", "app")
    assert (result.out, result.status) == ("", 3)
    assert (
        result.err
        == """\
error: not UTF-8 text
  where: recipes/app/recipe.toml
  why:   'utf-8' codec can't decode byte 0xff in position 8: invalid start byte
"""
    )


STORES = {
    "it is a file, not a directory": lambda store: store.write_text("x"),
    "it is a link to nothing": lambda store: store.symlink_to("nowhere"),
    "it is a directory with other things in it": lambda store: (store / "precious").mkdir(parents=True),
}


@pytest.mark.parametrize("why", STORES)
def test_a_store_that_is_none(why: str, cli: Cli, in_process: InProcess) -> None:
    STORES[why](cli.store)
    result = cli.run("build", "app")
    assert (result.out, result.status) == ("", 4)
    inside, kind = ("/precious", "an empty") if "other things" in why else ("", "a")
    assert (
        cli.shown(result.err)
        == f"""\
error: STORE is not a store
  where: STORE{inside}
  why:   {why}
  hint:  choose {kind} directory with --store or ORCH_STORE
"""
    )
    status, out = in_process("build", "app", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (4, "machine")


def test_a_store_that_may_not_be_written(cli: Cli) -> None:
    cli.store.mkdir()
    cli.store.chmod(0o555)
    # Root may write anywhere unless it gives its powers up.
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    try:
        result = cli.run("build", "app", before=powerless)
    finally:
        cli.store.chmod(0o755)
    assert (result.out, result.status) == ("", 4)
    assert (
        cli.shown(result.err)
        == """\
error: cannot write to the store STORE
  where: STORE
  why:   permission denied, or the file system is mounted read-only
  hint:  make it yours, or choose another with --store or ORCH_STORE
"""
    )


def test_no_sandbox(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("true", "unshare", "mount", "setpriv"):  # all but bwrap
        (tmp_path / "empty" / name).symlink_to(shutil.which(name) or "/nonexistent")
    result = cli.run("build", "app", PATH=str(tmp_path / "empty"))
    assert (result.out, result.status) == ("", 4)
    assert (
        result.err
        == """\
error: the program bwrap is not installed
  why:   no directory of PATH has it
  hint:  on Debian or Ubuntu: apt-get install bubblewrap
"""
    )


def test_several_things_wrong_at_once_exit_with_the_first(cli: Cli) -> None:
    cli.edit(APP, "[check]", "[check")
    result = cli.run("list")
    assert result.status == 3
    assert result.out.splitlines()[0].split() == ["app", "-", "-", "broken"]
    assert (
        result.err
        == """\
error: not TOML: Expected ']' at the end of a table declaration
  where: recipes/app/recipe.toml:16
"""
    )
    result = cli.run("list", "--json")
    assert (result.status, result.err) == (3, "")
    assert result.document["error"]["where"] == "recipes/app/recipe.toml:16"
    assert [row["state"] for row in result.document["recipes"]] == ["broken", "not built", "not built", "not built"]


def test_terminal_sequences_of_a_log_are_not_passed_on() -> None:
    error = OrchError("a \x1b[31mred\x1b[0m \x1b]0;title\x07word\rover")
    assert render(error) == "error: a red wordover"


def test_a_bug_is_one_message_and_an_exit_status_of_its_own(
    cli: Cli, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(arguments: list[str]) -> int:
        raise KeyError("forgotten")

    monkeypatch.setattr(main, "run", broken)
    status, out = in_process("list", "--json")
    error = json.loads(out)["error"]
    assert (status, error["code"], error["what"]) == (70, "bug", "a bug in orch: KeyError: 'forgotten'")
    assert f"{Path(__file__).name}:" in error["where"]
    monkeypatch.setenv("ORCH_DEBUG", "1")
    with pytest.raises(KeyError):
        in_process("list")


def test_an_interruption_is_told_to_scripts_too(
    cli: Cli, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run", interrupted)
    status, out = in_process("build", "app", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (130, "interrupted")


def test_a_reader_that_goes_away_is_no_error(cli: Cli) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec 3>&1; { "$@"; echo $? >&3; } | true', "sh", *ORCH, "show", "lib", "--json"],
        cwd=cli.root,
        env={**os.environ, "ORCH_STORE": str(cli.store), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("141", "0")  # it may all have been written before the reader went


@pytest.mark.parametrize(
    ("command", "streams", "status", "said"),
    [
        ("show lib", ">&-", 0, ""),
        ("show lib", "2>&-", 0, "lib"),
        ("show lib", "<&- >&- 2>&-", 0, ""),
        ("show lib", "2>/dev/full", 0, "lib"),
        ("show lib", ">/dev/full", 4, "error: No space left on device"),
        ("show nope", "2>/dev/full", 2, ""),
        ("show nope", "2>&-", 2, ""),
        ("show nope --json", ">&-", 2, ""),
        ("show nope --json", ">/dev/full", 2, "error: there is no recipe 'nope'"),
    ],
)
def test_streams_that_take_nothing(cli: Cli, command: str, streams: str, status: int, said: str) -> None:
    result = cli.run(*command.split(), before=("sh", "-c", f'exec "$@" {streams}', "sh"))
    text = result.out + result.err
    assert (result.status, text[: len(said)] if said else text) == (status, said)
    assert "Traceback" not in text
    assert "Exception" not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", ["", "trap '' INT; "])
def test_a_signal_is_told_to_scripts_too(cli: Cli, number: signal.Signals, ignored: str) -> None:
    code = (
        "import os, asyncio; from orchestrator.cli import main\n"
        f"async def wait(): asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), {int(number)}); "
        "await asyncio.sleep(9)\n"
        "main.run = lambda _: asyncio.run(wait()); main.entry()"
    )
    done = subprocess.run(
        ["sh", "-c", f'{ignored}exec "$@"', "sh", sys.executable, "-c", code, "build", "app", "--json"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (128 + number, "")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["what"]) == ("interrupted", "interrupted; what was finished is kept")


def test_nohup_is_respected(cli: Cli) -> None:
    code = (
        "import os, signal; from orchestrator.cli import main\n"
        "main.run = lambda _: os.kill(os.getpid(), signal.SIGHUP) or 0; main.entry()"
    )
    done = subprocess.run(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", code, "list"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0
