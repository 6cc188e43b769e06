"""Recipes that are right, and each way of being wrong with its exact message."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from orchestrator.errors import RecipeError
from orchestrator.recipe import Project, Recipe, load_recipes

SHA = "ab" * 32
Load = Callable[..., Recipe]


def refused(load: Load, old: str, new: str, **more: str) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        load(old, new, **more)
    return caught.value.document()


def test_a_whole_recipe(load: Load) -> None:
    recipe = load()
    version = recipe.versions["1.13.1"]
    assert (recipe.name, recipe.where, recipe.summary) == ("ucx", "recipes/ucx/recipe.toml", "Transports")
    assert version.reading == ("verbs", "cuda")
    assert version.sources[1].from_ == "pypi:cuda/cuda-12.whl"
    assert version.sources[1].unpack == ""
    assert version.platforms == ("x86_64-linux",)
    assert recipe.options["verbs"].values["on"].flags == ("--with-verbs",)
    assert recipe.files["fix.patch"].sha256 == hashlib.sha256(b"--- a\n").hexdigest()
    assert recipe.parts["source"].runtime.env == {"UCX_HOME": "/usr/local/ucx"}
    assert recipe.base is None


def test_a_table_of_an_origin_replaces_the_shared_one_whole(load: Load) -> None:
    recipe = load("[build]\n", '[vendor.inputs]\nbuild = ["base"]\n[vendor.build]\nscript = "cp"\n[build]\n')
    assert recipe.parts["source"].inputs.runtime == ("base",)
    assert recipe.parts["vendor"].inputs.build == ("base",)
    assert recipe.parts["vendor"].inputs.runtime == ()
    assert recipe.parts["vendor"].inputs_field == "vendor.inputs"
    assert recipe.parts["vendor"].build is not None
    assert recipe.parts["vendor"].build.script == "cp"
    assert recipe.parts["vendor"].check == recipe.parts["source"].check


V = "versions.1.13.1"
S = f"{V}.sources[0]"
PIN = f'sha256 = "{SHA}"\nsize'
FORMS = (
    "sources are spelt pypi:PROJECT/FILE, debian:POOL-PATH, https://HOST/PATH, git:https://HOST/PATH@COMMIT, file:PATH"
)
LOCK = 'add sha256 = "..." (sha256sum FILE prints it), or say locked = false for this version'
HEADER = '[versions."1.13.1"]\n'
ENTRY = '[[versions."1.13.1".sources]]'


# What is replaced by what; the text that stands on the line that is named; field, fact, hint.
@pytest.mark.parametrize(
    ("old", "new", "line", "field", "what", "hint"),
    [
        ("summary =", "summary", "summary", "", "not TOML: Expected '=' after a key in a key/value pair", ""),
        ('flags = ["--p', 'flag = ["--p', "flag = ", f"{V}.flag", "unknown key 'flag'", "did you mean 'flags'?"),
        ("[check]", "[chekc]", "[chekc]", "chekc", "unknown key 'chekc'", "did you mean 'check'?"),
        ("size", "bytes", "bytes", f"{S}.bytes", "unknown key 'bytes'",
         "keys here: from, sha256, tree, size, unpack, when"),
        ("size = 10", "size = '10'", "size", f"{S}.size", "size is a string, not an integer", ""),
        ("size = 10", "size = -1", "size", f"{S}.size", "size is -1 bytes", ""),
        ('build = ["base", "cuda"]', 'build = "base"', "build = ", "inputs.build", "build is a string, not a list", ""),
        ('build = ["base", "cuda"]', "build = [1]", "build = ", "inputs.build[0]",
         "build[0] is a number, not a string", ""),
        ('"Transports"', "2026-11-22", "summary", "summary", "summary is a date or time, not a string", ""),
        ('origin = "source"\n', "", HEADER, f"{V}.origin", "origin is missing", ""),
        ('"source"', '"sources"', "origin", f"{V}.origin", "origin is 'sources'", "it is 'source' or 'vendor'"),
        ('name = "ucx"', 'name = "uxc"', "name", "name", "name is 'uxc', its directory is 'ucx'", ""),
        (PIN, "size", ENTRY, f"{S}.sha256", "no sha256: a source is pinned by its hash", LOCK),
        (PIN, 'sha256 = "sha256:ab"\nsize', "sha256", f"{S}.sha256",
         "sha256 is not 64 lower-case hex digits: 'sha256:ab'", "leave out what stands before the colon"),
        (PIN, 'sha256 = "AB"\nsize', "sha256", f"{S}.sha256", "sha256 is not 64 lower-case hex digits: 'AB'", ""),
        ("size = 10", f'tree = "{SHA}"', "tree", f"{S}.tree",
         "both sha256 and tree: a source is pinned by one of them", ""),
        ("debian:", "apt:", "apt:", f"{S}.from", "unknown source scheme 'apt'", FORMS),
        ("debian:", "", "from = ", f"{S}.from", "no source scheme in 'pool/main/u/ucx/ucx_1.13.1.orig.tar.xz'", FORMS),
        ("debian:pool/main/u/ucx/", "pypi:", "from = ", f"{S}.from",
         "not a pypi source: 'pypi:ucx_1.13.1.orig.tar.xz'", "it is spelt pypi:PROJECT/FILE"),
        ("debian:pool/main/u/ucx/", "http://example.org/", "from = ", f"{S}.from",
         "not a http source: 'http://example.org/ucx_1.13.1.orig.tar.xz'", "it is spelt https://HOST/PATH"),
        ("debian:pool/main/u/ucx/ucx_1.13.1.orig.tar.xz", "git:https://example.org/ucx@v1.13.1", "from = ", f"{S}.from",
         "not a full commit: 'v1.13.1'; a branch or a tag can move, a short one be two",
         "write the 40 hex digits of the commit: git ls-remote https://example.org/ucx v1.13.1"),
        ("debian:pool/main/u/ucx/ucx_1.13.1.orig.tar.xz", "git:https://example.org/ucx", "from = ", f"{S}.from",
         "not a git source: 'git:https://example.org/ucx'",
         "it is spelt git:https://HOST/PATH@COMMIT, COMMIT 40 hex digits"),
        ("debian:pool/main/u/ucx/", "file:../", "from = ", f"{S}.from",
         "../ucx_1.13.1.orig.tar.xz leaves the recipe's directory", "put it beside the recipe, or name it absolutely"),
        ("size = 10", 'unpack = "../x"', "unpack", f"{S}.unpack", "../x leaves /build",
         "name a directory below /build"),
        ("fix.patch", "fixx.patch", "fixx.patch", f"{V}.patches[0]",
         "fixx.patch does not exist beside the recipe", "did you mean 'fix.patch'?"),
        ("fix.patch", "../fix.patch", "patches", f"{V}.patches[0]",
         "../fix.patch leaves the recipe's directory", "did you mean 'fix.patch'?"),
        ('"verbs", "cuda"', '"verbs", "cuda", "cudda"', "reads", f"{V}.reads[2]",
         "reads an unknown option 'cudda'", "did you mean 'cuda'?"),
        ('"verbs", "cuda"', '"verbs"', "when", f"{V}.sources[1].when.cuda",
         "when names cuda, which the version does not read", "add 'cuda' to versions.1.13.1.reads"),
        ('cuda = "12"', 'cuda = "11"', "when", f"{V}.sources[1].when.cuda", "'11' is not a value of cuda",
         "values: 12, 13"),
        ("when = { cuda", "when = { cudda", "when", f"{V}.sources[1].when.cudda",
         "unknown option 'cudda'", "did you mean 'cuda'?"),
        ('default = "off"', 'default = "of"', "default", "options.verbs.default",
         "'of' is not a value of verbs", "values: off, on"),
        ("[options.verbs", "[options.cuda", "[options.cuda]", "options.cuda",
         "cuda is an option of the whole project already", ""),
        ('">=12"', '"12+"', "requires", f"{V}.requires[0].version",
         "not a version requirement: '12+'", "spell it like '>=1.19' or '>=1.19,<2'"),
        ('version = ">=12", ', "", "requires", f"{V}.requires[0]", "requires of cuda has one of version and feature",
         ""),
        ('ldconf = ["/', 'ldconf = ["', "ldconf", "runtime.ldconf[0]", "not an absolute path: 'usr/local/ucx/lib'", ""),
        ("UCX_HOME", "UCX-HOME", "UCX-HOME", "runtime.env.UCX-HOME", "not a name of a variable: 'UCX-HOME'", ""),
        ("[build]", "[vendor.build]", HEADER, V, "no build script for origin source",
         "add [build] with script = '''...'''"),
        ("[build]", "[versions.2]\norigin = 'vendor'\nlock = 'l'\n[build]", "lock =", "versions.2.lock",
         "only a base has a lock",
         "list the sources, or add [base]"),
    ],
)  # fmt: skip
def test_each_way_of_being_wrong(
    load: Load, project: Project, old: str, new: str, line: str, field: str, what: str, hint: str
) -> None:
    document = refused(load, old, new)
    text = (project.root / "recipes/ucx/recipe.toml").read_text()
    number = text[: text.index(line)].count("\n") + 1
    where = f"recipes/ucx/recipe.toml:{number}" + (f": {field}" if field else "")
    assert (document["where"], document["what"], document["hint"]) == (where, what, hint)


def test_all_that_is_wrong_is_said_at_once(load: Load, whole: str) -> None:
    text = whole.replace("fix.patch", "nix.patch").replace("/usr/local/ucx/lib", "lib")
    document = refused(load, '"source"', '"source"\nlock = "l"', text=text)
    assert document["where"] == "recipes/ucx/recipe.toml:18: versions.1.13.1.lock"
    assert document["what"] == "only a base has a lock"
    assert document["why"].splitlines() == [
        "also wrong:",
        "recipes/ucx/recipe.toml:21: versions.1.13.1.patches[0]: nix.patch does not exist beside the recipe",
        "recipes/ucx/recipe.toml:35: runtime.ldconf[0]: not an absolute path: 'lib'",
    ]


def test_a_base_has_a_lock_and_no_inputs(load: Load) -> None:
    document = refused(load, "[check]", '[base]\nsuite = "s"\npackages = []\n[check]')
    assert (document["where"], document["what"]) == ("recipes/ucx/recipe.toml:5: inputs", "a base has no inputs")
    assert "versions.1.13.1.lock: a base has a lock\n" in document["why"]
    assert document["why"].endswith("versions.1.13.1.sources: a base's sources are those of its lock")


def test_an_unlocked_version_may_lack_hashes(load: Load, whole: str) -> None:
    recipe = load(f'sha256 = "{SHA}"\nsize = 10', "", text=whole.replace("reads =", "locked = false\nreads ="))
    assert not recipe.versions["1.13.1"].locked


def test_a_link_that_leads_out_is_refused(load: Load, project: Project) -> None:
    (project.root / "secret").write_text("x")
    (project.root / "recipes/ucx/fix.patch").unlink()
    (project.root / "recipes/ucx/fix.patch").symlink_to("../../secret")
    assert refused(load, "", "")["what"] == "fix.patch leaves the recipe's directory"


def test_recipes_are_read_when_asked_for(load: Load, project: Project) -> None:
    load()
    (project.root / "recipes/broken").mkdir()
    (project.root / "recipes/broken/recipe.toml").write_text("name")
    recipes = load_recipes(project)
    assert recipes.names == ("broken", "ucx")
    assert "broken" in recipes
    assert recipes["ucx"] is recipes["ucx"]
    with pytest.raises(RecipeError) as caught:
        recipes["broken"]
    assert caught.value.where == "recipes/broken/recipe.toml:1"
    with pytest.raises(KeyError):
        recipes["absent"]


def test_a_directory_without_a_recipe(project: Project) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipes(project)["ucx"]
    assert caught.value.document() == {
        "code": "recipe",
        "what": "the recipe cannot be read",
        "where": "recipes/ucx/recipe.toml",
        "why": "No such file or directory",
        "hint": "",
    }


def test_the_validator_is_not_imported_before_a_file_is_parsed() -> None:
    rooms = "orchestrator.recipe, orchestrator.graph.resolve, orchestrator.graph.keys"
    code = f"import sys, {rooms}; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


ORCHS_OWN = "/build/.orch is orch's own: the build's script lies there"


@pytest.mark.parametrize("name", [".orch/build.sh", "./.orch/x", ".orch"])
@pytest.mark.parametrize(("old", "field"), [("fix.patch", f"{V}.patches[0]"), ("check.c", "check.files[0]")])
def test_the_directory_of_orchs_own_files_is_reserved(
    load: Load, project: Project, name: str, old: str, field: str
) -> None:
    file = project.root / "recipes/ucx" / (name if "/" in name else "x")
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    document = refused(load, f'"{old}"', f'"{name}"')
    assert (document["where"].partition(": ")[2], document["what"]) == (field, ORCHS_OWN)


@pytest.mark.parametrize("unpack", [".orch", "./.orch/x"])
def test_nothing_is_unpacked_over_orchs_own_files(load: Load, unpack: str) -> None:
    document = refused(load, 'unpack = ""', f'unpack = "{unpack}"')
    assert (document["where"].partition(": ")[2], document["what"]) == (f"{V}.sources[1].unpack", ORCHS_OWN)
    document = refused(load, "cuda-12.whl", ".orch")
    assert (document["where"].partition(": ")[2], document["what"]) == (f"{V}.sources[1].from", ORCHS_OWN)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('/usr/local/ucx" }', '/usr\\u0000" }', "runtime.env.UCX_HOME"),
        ("--prefix=/usr", "--prefix=\\u0000/usr", f"{V}.flags[0]"),
        ("--with-verbs", "--with\\u0000", "options.verbs.values.on.flags[0]"),
    ],
)
def test_no_string_holds_a_nul(load: Load, old: str, new: str, field: str) -> None:
    document = refused(load, old, new)
    assert (document["where"].partition(": ")[2], document["what"]) == (field, "a string holds a NUL character")


def test_two_sources_in_one_place(load: Load) -> None:
    def second(name: str, sha: str, cuda: str = "", unpack: str = "") -> tuple[str, str]:
        when = f'when = {{ cuda = "{cuda}" }}\n' if cuda else ""
        entry = f'[[versions."1.13.1".sources]]\nfrom = "{name}"\nsha256 = "{sha}"\nunpack = "{unpack}"\n{when}'
        return "[runtime]\n", f"{entry}[runtime]\n"

    first, other = "pypi:cuda/cuda-12.whl", "cd" * 32
    for name, sha, cuda, unpack, what in (
        (first, other, "", "", f"{first} is there already, pinned otherwise"),
        (first, other, "", "elsewhere", f"{first} is there already, pinned otherwise"),
        (first, SHA, "12", "", "another source is /build/cuda-12.whl already"),
        ("https://example.org/cuda-12.whl", other, "", "", "another source is /build/cuda-12.whl already"),
    ):
        document = refused(load, *second(name, sha, cuda, unpack))
        assert (document["where"].partition(": ")[2], document["what"]) == (f"{V}.sources[2].from", what)
    for name, sha, cuda, unpack in (
        (first, other, "13", ""),
        ("https://example.org/cuda-12.whl", other, "", "elsewhere"),
        ("https://example.org/cuda-13.whl", other, "", ""),
    ):
        assert len(load(*second(name, sha, cuda, unpack)).versions["1.13.1"].sources) == 3
