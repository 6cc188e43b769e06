"""The modules that commands import, in one file: used while it is right, and never in the way."""

from __future__ import annotations

import json
import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "orchestrator"
# Ends as `orch` does, but says by which loaders the modules came, and whether their source is found.
SHOWN = """
import json, os, sys
sys.path[:0] = [sys.argv.pop(1)]
def leave(status):
    import inspect
    modules = {n: type(m.__spec__.loader).__name__ for n, m in sys.modules.items() if getattr(m, "__spec__", None)}
    found = "SUMMARY" in inspect.getsource(sys.modules["orchestrator.cli.list"])
    print(json.dumps([status, modules, found]), file=sys.stderr, flush=True)
    end(status)
end, os._exit = os._exit, leave
from orchestrator.cli.main import entry
entry()
"""


class Copy:
    """A copy of the package, and a project to ask about."""

    def __init__(self, top: Path) -> None:
        self.package = top / "code/orchestrator"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        module = self.package / "cli/list.py"
        module.write_text(f"{module.read_text()}\nSUMMARY = 1\n")
        self.project = top / "project"
        self.project.mkdir()
        (self.project / "orch.toml").write_text("")
        (self.project / "recipes").mkdir()

    def listed(self, **env: str) -> tuple[str, set[str], bool]:
        """What `orch list` said, the modules that came out of the one file, and whether the source of one was found."""
        done, last = self._list(SHOWN, env)
        status, modules, found = last
        assert status == 0, done
        return done, {name for name, loader in modules.items() if loader == "_Loader"}, found

    def specs(self, **env: str) -> dict[str, list[str]]:
        """Of each module what its spec says, and its loader."""
        facts = "getattr(m, '__file__', 0), m.__package__, getattr(m, '__path__', 0), s.cached, s.origin, s.parent"
        each = f"[repr(({facts}, s.has_location, s.submodule_search_locations)), type(s.loader).__name__]"
        some = "for name, m in sys.modules.items() for s in [getattr(m, '__spec__', 0)] if hasattr(s, 'cached')"
        shown = SHOWN.replace("[status, modules, found]", f"{{name: {each} {some}}}")
        found: dict[str, list[str]] = self._list(shown, env)[1]
        return found

    def _list(self, program: str, env: dict[str, str]) -> tuple[str, Any]:
        """What `orch list` said, and what the program that runs it said of itself on the last line of stderr."""
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, str(self.package.parent), "list"],
            cwd=self.project,
            env={"PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout, json.loads(done.stderr.splitlines()[-1])

    @property
    def files(self) -> list[Path]:
        return sorted((self.package / "__pycache__").glob("modules-*"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_second_command_has_its_modules_from_one_file(copy: Copy) -> None:
    said, first, _ = copy.listed()
    assert not first
    assert len(copy.files) == 1
    again, second, found = copy.listed()
    assert again == said
    assert {"orchestrator.cli.list", "orchestrator.recipe.load", "argparse", "tomllib"} <= second
    assert found
    (file,) = copy.files  # with what the search for sources imported
    written = file.stat()
    copy.listed()
    assert [one.stat() for one in copy.files] == [written]


@pytest.mark.parametrize("keep_time", [True, False])
def test_a_module_that_was_edited_is_read_again(copy: Copy, keep_time: bool) -> None:
    copy.listed()
    module = copy.package / "cli/list.py"
    before = module.stat()
    module.write_text(f"{module.read_text()}\nprint('edited')\n")
    if keep_time:
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    said, used, _ = copy.listed()
    assert said.startswith("edited\n")
    assert "orchestrator.cli.list" not in used
    assert "orchestrator.recipe.load" in used


def test_an_edit_of_the_same_length(copy: Copy) -> None:
    module = copy.package / "cli/list.py"
    module.write_text(f"{module.read_text()}\nprint('one')\n")
    assert copy.listed()[0].startswith("one\n")
    later = module.stat().st_mtime_ns + 2_000_000_000  # Python's own file of it knows seconds only
    module.write_text(module.read_text().replace("print('one')", "print('two')"))
    os.utime(module, ns=(later, later))
    said, used, _ = copy.listed()
    assert said.startswith("two\n")
    assert "orchestrator.cli.list" not in used


@pytest.mark.parametrize("left", [0, 7, 20, 400, -1])
def test_a_file_that_is_not_whole_is_not_used_and_made_again(copy: Copy, left: int) -> None:
    said, *_ = copy.listed()
    (file,) = copy.files
    data = file.read_bytes()
    file.write_bytes(data[:left])
    again, used, _ = copy.listed()
    assert again == said
    assert not used
    assert copy.listed()[1]


def damage(data: bytes) -> Iterator[bytes]:
    """The file with as many bytes, but others."""
    form = data.index(b"\n") + 1
    yield data[: len(data) // 4] + bytes(len(data) - len(data) // 4)
    yield data[:form] + b"\xff" * 8 + data[form + 8 :]
    yield data[:form] + (1 << 42).to_bytes(8, "little") + data[form + 8 :]
    yield data[: form + 8] + marshal.dumps([1, 2]) + data[form + 8 + len(marshal.dumps([1, 2])) :]
    yield bytes(len(data))
    noise = Random(1)
    for _ in range(5):
        place = noise.randrange(form + 8, len(data) - 5000)
        yield data[:place] + noise.randbytes(5000) + data[place + 5000 :]


def test_a_damaged_file_is_not_used_and_made_again(copy: Copy) -> None:
    said, *_ = copy.listed()
    (file,) = copy.files
    for data in damage(file.read_bytes()):
        file.write_bytes(data)
        assert copy.listed()[0] == said
    copy.listed()
    assert "orchestrator.recipe.load" in copy.listed()[1]


def test_something_else_in_its_place(copy: Copy) -> None:
    said, *_ = copy.listed()
    (file,) = copy.files
    file.unlink()
    os.mkfifo(file)
    assert copy.listed()[0] == said
    assert copy.listed()[1]


def test_a_path_of_ones_own_means_no_file(copy: Copy, tmp_path: Path) -> None:
    """A module may come to stand there before another of its name."""
    copy.listed(PYTHONPATH=str(tmp_path))
    assert copy.files == []
    copy.listed()
    assert copy.listed(PYTHONPATH=str(tmp_path))[1] == set()


def test_specs_are_as_python_makes_them(copy: Copy) -> None:
    copy.listed()
    copy.listed()
    said = [copy.specs(**env) for env in ({}, {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy.project)})]
    ours, plain = said
    assert "_Loader" in {facts[-1] for facts in ours.values()}
    assert "_Loader" not in {facts[-1] for facts in plain.values()}
    names = {"orchestrator.recipe", "orchestrator.cli.list", "argparse", "json", "blake3.blake3", "_json"}
    for name in names & ours.keys() & plain.keys():
        assert ours[name][0] == plain[name][0]
    assert {"orchestrator.recipe", "argparse", "json"} <= ours.keys() & plain.keys()


def test_few_files_are_kept(copy: Copy) -> None:
    (copy.package / "__pycache__").mkdir()
    for number in range(12):
        file = copy.package / f"__pycache__/modules-{number:016x}"
        file.touch()
        os.utime(file, (number, number))
    copy.listed()
    assert len(copy.files) == 8


def test_nothing_is_written_where_python_may_not(copy: Copy) -> None:
    said, *_ = copy.listed(PYTHONDONTWRITEBYTECODE="1")
    assert copy.files == []
    (copy.package / "__pycache__").write_text("in the way")
    assert copy.listed()[0] == said


USUAL = r"""
import sys
from orchestrator.modules import import_usual
import_usual()
import orchestrator.recipe.toml
light = {"string", "datetime", "gettext", "urllib.parse"} & set(sys.modules)
import argparse, datetime, gettext, json, pathlib, re, string, tomllib, typing
from urllib.parse import urlsplit
when = tomllib.loads('when = 2020-01-02T03:04:05Z\nx = [1.5, "\\u00e4"]')
assert when == {"when": datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), "x": [1.5, "\u00e4"]}
for text in ("x = 1_", "x = 2020-13-01", "é = 1", 'x = "', "[a]\n[a]"):
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        print(error)
assert string.Template("$a").substitute(a=1) == "1" and datetime.date.fromisoformat("2020-01-02").year == 2020
assert pathlib.Path("/a b").as_uri() == "file:///a%20b" and urlsplit("a://b").netloc == "b"
assert gettext.ngettext("one", "many", 2) == "many" and typing.NamedTuple.__module__ == "typing"
assert isinstance(re.compile("a"), re.Pattern) and re.compile.__module__ == "re"
parser = argparse.ArgumentParser("x", description="a  b " * 40)
parser.add_argument("--number", type=int, help="one")
parser.add_argument("rest", nargs="*")
print(parser.format_help(), parser.parse_args(["--number", "-3", "-4", "a"]))
for text in ('{"a": [1.5, -2e3, "\\u00e9\\n", null, 12345678901234567890]}', '"\\ud83d\\ude00"', "[1,", "[01]", ""):
    try:
        print(ascii(json.loads(text)), json.dumps(json.loads(text)), json.dumps(json.loads(text), indent=1))
    except json.JSONDecodeError as error:
        print(error)
py = json.decoder.JSONDecoder()
py.parse_string, py.scan_once = json.decoder.py_scanstring, None
py.scan_once = json.scanner.py_make_scanner(py)
print(py.decode('{"a": [1.5, -2e3, "\\n"]}'), json.encoder.py_encode_basestring_ascii("é\n"))
print(sorted(light))
"""


def test_what_is_imported_lightly_is_whole_for_others() -> None:
    """The same is said with the modules as they are, and none of those that were left out was imported."""
    program = [sys.executable, "-P", "-S", "-c"]
    env = {"PYTHONPATH": f"{PACKAGE.parent}:{sysconfig.get_paths()['purelib']}", "PYTHONDONTWRITEBYTECODE": "1"}
    plain = "import argparse, datetime, json, pathlib, string, tomllib"
    done = [
        subprocess.run([*program, text], env=env, capture_output=True, text=True, check=True).stdout.splitlines()
        for text in (USUAL, USUAL.replace("import_usual()", plain))
    ]
    assert done[0][:-1] == done[1][:-1]
    assert done[0][-1] == "[]"
    assert "string" in done[1][-1]
    assert len(done[0]) > 5


def test_what_another_python_takes_is_left_to_it() -> None:
    text = "from orchestrator.modules import import_without as w; import sys; w('tomllib', {'string': {}}); "
    text += "assert 'string' not in sys.modules; import tomllib, string; print(tomllib.loads('a = 1'), string.digits)"
    program = [sys.executable, "-P", "-S", "-c", text]
    done = subprocess.run(program, env={"PYTHONPATH": str(PACKAGE.parent)}, capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': 1} 0123456789\n"
