"""Image recipes that are right, and each way of being wrong with its field, line, fact and hint."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.recipe import Image, Project, load_image, load_images, load_recipes, lock_input
from orchestrator.recipe.image import CHECKS, Python
from orchestrator.recipe.load import beside

SHA = "ab" * 32
OCI = f"oci:registry.example:5000/team/base@sha256:{SHA}"
WHOLE = """\
name = "small"
summary = "A small image"
version = "0.9.1"
components = ["ucx"]
options = { cuda = "12", origin = "vendor", "ucx.version" = "1.13.1" }
refuses = { "aarch64-linux" = "no wheels" }

[base]
recipe = "debian-runtime"

[python]
requirements = ["sniffio>=1.3", "nixl[cu12]==0.9.0"]
constraints = ["idna<4"]
overrides = ["anyio>=4"]
excludes = ["nixl-cu13"]
provided = { nixl = "nixl" }
indexes = ["https://wheels.example/simple/"]
exclude_newer = "2026-03-05"

[[winners]]
path = "/opt/dynamo/venv/x.py"
component = "wheel:sniffio"
reason = "the newer"

[[drop]]
path = "usr/share/doc/*"
component = "debian-runtime"
reason = "nobody reads it there"

[config]
env = { SGLANG_FORCE_SHUTDOWN = "1" }
ldconf = ["/opt/lib"]
links = { "/opt/lib/libnccl.so" = "libnccl.so.2" }
directories = ["/workspace"]
entrypoint = ["python", "-m", "x"]
labels = { "org.opencontainers.image.title" = "small" }

[checks]
plugins = ["UCX"]
ucx_modules = ["uct_ib"]
dlopen = ["libucp.so.0"]
budget = 1_000_000
off = { glibc = "the base is older on purpose" }

[[checks.waive]]
check = "requirements"
name = "nixl[[]cu12]"
reason = "the recipe brings it"

[run]
files = ["smoke.py"]
script = "python smoke.py"
"""
PYTHON = Python(
    requirements=("sniffio>=1.3", "nixl[cu12]==0.9.0"),
    constraints=("idna<4",),
    overrides=("anyio>=4",),
    excludes=("nixl-cu13",),
    indexes=("https://wheels.example/simple/",),
    exclude_newer="2026-03-05",
)
LOCK = f"""\
# orch python lock 1
# python 3.11
# platform x86_64-manylinux_2_36
# exclude-newer 2026-03-05
# input {lock_input(PYTHON)}
# made 2026-11-22
sniffio 1.3.1 sniffio-1.3.1-py3-none-any.whl 10235 {SHA}
"""
Load = Callable[..., Image]


@pytest.fixture
def load_small(project: Project) -> Load:
    """Load the whole image with `old` replaced by `new`, and this lock (None: none)."""
    for name in ("debian-runtime", "nixl", "images/small"):
        (project.root / "recipes" / name).mkdir(parents=True)
    directory = project.root / "recipes/images/small"
    (directory / "smoke.py").write_text("print()\n")

    def loaded(old: str = "", new: str = "", *, lock: str | None = LOCK, to_lock: bool = False) -> Image:
        assert WHOLE.count(old) == 1 or not old
        (directory / "image.toml").write_text(WHOLE.replace(old, new) if old else WHOLE)
        if lock is not None:
            (directory / "python.lock").write_text(lock)
        return load_image(directory / "image.toml", project, to_lock=to_lock)

    return loaded


def refused(load: Load, old: str = "", new: str = "", **more: str) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        load(old, new, **more)
    return caught.value.document()


def test_a_whole_image(load_small: Load) -> None:
    image = load_small()
    document = image.document
    assert (image.name, image.where) == ("small", "recipes/images/small/image.toml")
    assert image.lock is not None
    assert not image.lock_missing
    assert [wheel.name for wheel in image.lock.wheels] == ["sniffio"]
    assert image.files["smoke.py"].sha256 == hashlib.sha256(b"print()\n").hexdigest()
    assert document.python is not None
    assert (document.python.prefix, document.config.uid, document.config.umask) == ("/opt/dynamo/venv", 1000, "002")
    assert document.checks.waive[0].path == "*"
    assert document.base.from_ is None


def test_a_small_image_needs_little(load_small: Load, project: Project) -> None:
    file = project.root / "recipes/images/small/image.toml"
    file.write_text(f'name = "small"\nsummary = "s"\nversion = "1"\n[base]\nfrom = "{OCI}"\n')
    image = load_image(file, project)
    assert (image.lock, image.lock_missing, image.files) == (None, False, {})
    assert image.document.base.from_ == OCI


def test_a_missing_lock_is_for_whoever_builds_to_refuse(load_small: Load) -> None:
    image = load_small(lock=None)
    assert (image.lock, image.lock_missing) == (None, True)


RECIPES = "recipes: debian-runtime, nixl, ucx"
NORMAL = "not a normalised path:"
PINNED = "an image is pinned by its digest: oci:REPO@sha256:HEX (64 lower-case hex digits), REPO with its host"
SPELT = "spell it like 'nixl', 'sglang==0.5.8' or 'vllm[runai]>=0.14'"
REASON = "say in `reason` why that is right"
ROOT = "paths here are relative to the image's root: usr/lib/x.so"
TIME = "spell it like 1980-01-01T00:00:00Z, in UTC, not before 1970"
WHEELS = "ARCH-manylinux_2_N, such as x86_64-manylinux_2_36"
CHECK_NAMES = f"checks: {', '.join(CHECKS)}"
EXCLUDE = 'exclude_newer = "2026-03-05"\n'
BASE = 'recipe = "debian-runtime"\n'
HEAD = "[config]\n"


# What is replaced by what; what the line that is named starts with; field, fact, hint.
@pytest.mark.parametrize(
    ("old", "new", "line", "field", "what", "hint"),
    [
        ("ldconf =", "ldcnf =", "ldcnf", "config.ldcnf", "unknown key 'ldcnf'", "did you mean 'ldconf'?"),
        (EXCLUDE, "", "[python]", "python.exclude_newer", "exclude_newer is missing", ""),
        ('name = "small"', 'name = "large"', "name", "name", "name is 'large', its directory is 'small'", ""),
        ('"A small image"', '" "', "summary", "summary", "the summary is empty", ""),
        ('"0.9.1"', '"v 1"', "version", "version", "a version cannot be called 'v 1'", ""),
        ('["ucx"]', '["ucs"]', "components", "components[0]", "there is no recipe 'ucs'", "did you mean 'ucx'?"),
        ('["ucx"]', '["ucx", "ucx"]', "components", "components[1]", "ucx is named twice", "name it once"),
        ('cuda = "12"', 'cuda = "11"', "options", "options.cuda", "'11' is not a value of cuda", "values: 12, 13"),
        ('cuda = "12"', 'cuad = "12"', "options", "options.cuad", "unknown option 'cuad'", "did you mean 'cuda'?"),
        ('"ucx.version"', '"hwloc.version"', "options", "options.hwloc.version",
         "unknown option 'hwloc.version': there is no recipe 'hwloc'", RECIPES),
        ('"ucx.version"', '"ucx.V"', "options", "options.ucx.V", "a recipe has no option called 'V'", ""),
        ('"1.13.1"', '""', "options", "options.ucx.version", "ucx.version has no value", ""),
        ('"no wheels"', '""', "refuses", "refuses.aarch64-linux", "the reason is empty",
         "say why there is no such image"),
        ("aarch64-linux", "arm64", "refuses", "refuses.arm64", "not a platform: 'arm64'",
         "platforms: x86_64-linux, aarch64-linux"),
        ("aarch64-linux", "x86_64-linux", "refuses", "refuses.x86_64-linux",
         "x86_64-linux is refused and among the platforms", "leave one out"),
        ('"debian-runtime"\n\n', '"debian"\n\n', "recipe", "base.recipe", "there is no recipe 'debian'",
         "did you mean 'debian-runtime'?"),
        (BASE, 'from = "oci:debian:12"\n', "from", "base.from", "not a pinned image: 'oci:debian:12'", PINNED),
        (BASE, f'from = "oci:host/base@sha256:{SHA[1:]}"\n', "from", "base.from",
         f"not a pinned image: 'oci:host/base@sha256:{SHA[1:]}'", PINNED),
        (BASE, f'recipe = "nixl"\nfrom = "{OCI}"\n', "recipe", "base.recipe",
         "both recipe and from: an image stands on one of them", "leave one out"),
        ('"sniffio>=1.3", "nixl[cu12]==0.9.0"', "", "requirements", "python.requirements", "no requirements",
         "name what is to be there, or leave [python] out"),
        ('"sniffio>=1.3"', '"sniffio>=>1"', "requirements", "python.requirements[0]", "not a requirement:", SPELT),
        ('"idna<4"', '"idna four"', "constraints", "python.constraints[0]", "not a requirement:", SPELT),
        ('"idna<4"', '"idna @ https://x.example/i.whl"', "constraints", "python.constraints[0]",
         "'idna @ https://x.example/i.whl' names an address: a lock names none",
         "name the distribution, and its index in python.indexes if it has its own"),
        ('"anyio>=4"', '"anyio>"', "overrides", "python.overrides[0]", "not a requirement:", SPELT),
        ('"nixl-cu13"', '"nixl_cu13"', "excludes", "python.excludes[0]", "not a normalised name: 'nixl_cu13'",
         "write 'nixl-cu13'"),
        ('"nixl-cu13"', '"nixl==1"', "excludes", "python.excludes[0]", "not a distribution's name: 'nixl==1'",
         "only the name, without a version"),
        ('nixl = "nixl"', 'nixl = "nxl"', "provided", "python.provided.nixl", "there is no recipe 'nxl'",
         "did you mean 'nixl'?"),
        ("https://wheels", "https://me:secret@wheels", "indexes", "python.indexes[0]",
         "not an index: 'https://me:secret@wheels.example/simple/'", "it is spelt https://HOST/PATH"),
        ("2026-03-05", "2026-02-30", "exclude_newer", "python.exclude_newer", "not a date: '2026-02-30'",
         "spell it YYYY-MM-DD"),
        (EXCLUDE, f'{EXCLUDE}version = "3"\n', "version", "python.version", "not a version of Python: '3'",
         'such as "3.11"'),
        (EXCLUDE, f'{EXCLUDE}platform = "linux"\n', "platform", "python.platform", "not a platform of wheels: 'linux'",
         WHEELS),
        (EXCLUDE, f'{EXCLUDE}platform = "aarch64-manylinux_2_5"\n', "platform", "python.platform",
         "not a platform of wheels: 'aarch64-manylinux_2_5'", WHEELS),
        (EXCLUDE, f'{EXCLUDE}platform = "aarch64-manylinux_2_36"\n', "platform", "python.platform",
         "the wheels are for aarch64, the image for x86_64-linux",
         "change [python] platform or platforms"),
        (EXCLUDE, f'{EXCLUDE}prefix = "opt"\n', "prefix", "python.prefix", "not an absolute path: 'opt'", ""),
        (EXCLUDE, f'{EXCLUDE}prefix = "/"\n', "prefix", "python.prefix", "the root itself cannot be named here",
         "name a path below it"),
        (EXCLUDE, f'{EXCLUDE}lock = "../x"\n', "lock", "python.lock", "not a file beside the recipe: '../x'",
         'such as "python.lock"'),
        ('"/opt/dynamo/venv/x.py"', '"/opt/../x"', "path", "winners[0].path", f"{NORMAL} '/opt/../x'", ""),
        ('"wheel:sniffio"', '"wheel:Sniffio"', "component", "winners[0].component",
         "there is no component 'wheel:Sniffio'",
         "a component is wheel:NAME (as the lock spells it) or a recipe: debian-runtime, nixl, ucx"),
        ('"the newer"', '""', "reason", "winners[0].reason", "the reason is empty", REASON),
        ('"usr/share/doc/*"', '"/usr/share/doc/*"', "path", "drop[0].path", "matches nothing: '/usr/share/doc/*'",
         ROOT),
        ('"nobody reads it there"', '" "', "reason", "drop[0].reason", "the reason is empty", REASON),
        ("SGLANG_FORCE_SHUTDOWN", '"SGLANG-X"', "env", "config.env.SGLANG-X", "not a name of a variable: 'SGLANG-X'",
         ""),
        ('["/opt/lib"]', '["opt/lib"]', "ldconf", "config.ldconf[0]", "not an absolute path: 'opt/lib'", ""),
        ('"/opt/lib/libnccl.so"', '"/opt//l"', "links", "config.links./opt//l", f"{NORMAL} '/opt//l'",
         "write '/opt/l'"),
        ('"libnccl.so.2"', '""', "links", "config.links./opt/lib/libnccl.so", "a link to ''",
         "name what it leads to"),
        ('["/workspace"]', '["/workspace/"]', "directories", "config.directories[0]", f"{NORMAL} '/workspace/'",
         "write '/workspace'"),
        ('["/workspace"]', '["/opt/lib/libnccl.so"]', "directories", "config.directories[0]",
         "/opt/lib/libnccl.so is a directory and a link", "leave one out"),
        (HEAD, f'{HEAD}workdir = "//w"\n', "workdir", "config.workdir", f"{NORMAL} '//w'", "write '/w'"),
        (HEAD, f'{HEAD}user = "A B"\n', "user", "config.user", "not a user's name: 'A B'",
         "lower case, digits, _ and -, at most 32"),
        (HEAD, f"{HEAD}uid = -1\n", "uid", "config.uid", "uid is -1", "it is from 0 to 4294967294"),
        (HEAD, f"{HEAD}gid = 4294967295\n", "gid", "config.gid", "gid is 4294967295", "it is from 0 to 4294967294"),
        (HEAD, f"{HEAD}uid = 0\n", "uid", "config.uid", "the user dynamo with uid 0", "root, and only root, has uid 0"),
        (HEAD, f'{HEAD}umask = "8"\n', "umask", "config.umask", "not a umask: '8'",
         'three octal digits, such as "002"'),
        (HEAD, f'{HEAD}created = "2026-01-01"\n', "created", "config.created", "not a time: '2026-01-01'", TIME),
        (HEAD, f'{HEAD}created = "2026-01-01T00:00:00+01:00"\n', "created", "config.created",
         "not a time: '2026-01-01T00:00:00+01:00'", TIME),
        (HEAD, f'{HEAD}created = "2026-02-30T00:00:00Z"\n', "created", "config.created",
         "not a time: '2026-02-30T00:00:00Z'", TIME),
        (HEAD, f'{HEAD}created = "1969-12-31T23:59:59Z"\n', "created", "config.created",
         "not a time: '1969-12-31T23:59:59Z'", TIME),
        ("org.opencontainers.image.title", "a b", "labels", "config.labels.a b", "not a name of a label: 'a b'", ""),
        ('"python", "-m"', '"", "-m"', "entrypoint", "config.entrypoint[0]", "the program of entrypoint has no name",
         ""),
        ('["UCX"]', '["a/b"]', "plugins", "checks.plugins[0]", "cannot be a name in plugins: 'a/b'", ""),
        ('["libucp.so.0"]', '["/x.so"]', "dlopen", "checks.dlopen[0]", "cannot be a name in dlopen: '/x.so'", ""),
        ("1_000_000", "0", "budget", "checks.budget", "the budget is 0 bytes", ""),
        ("glibc =", "libc =", "off", "checks.off.libc", "there is no check 'libc'", "did you mean 'glibc'?"),
        ('"the base is older on purpose"', '""', "off", "checks.off.glibc", "the reason is empty",
         "say why it is not run"),
        ('"requirements"', '"xyz"', "check", "checks.waive[0].check", "there is no check 'xyz'", CHECK_NAMES),
        ('"requirements"', '"glibc"', "check", "checks.waive[0].check",
         "glibc is off: there is nothing to waive", "leave one out"),
        ('"the recipe brings it"', '""', "reason", "checks.waive[0].reason", "the reason is empty", REASON),
        ('name = "nixl[[]cu12]"\n', 'name = "?*"\npath = "/**"\n', "[[checks.waive]]", "checks.waive[0]",
         "waives all that requirements finds", "name the one finding by path, name or both, or switch the check off"),
        ('name = "nixl[[]cu12]"\n', "", "[[checks.waive]]", "checks.waive[0]", "waives all that requirements finds",
         "name the one finding by path, name or both, or switch the check off"),
        ('name = "nixl[[]cu12]"', 'path = "../usr/*"', "path", "checks.waive[0].path", "matches nothing: '../usr/*'",
         ROOT),
        ('["smoke.py"]', '["smok.py"]', "files", "run.files[0]", "smok.py does not exist beside the recipe",
         "did you mean 'smoke.py'?"),
        ('["smoke.py"]', '["../x"]', "files", "run.files[0]", "../x leaves the recipe's directory",
         "files there: python.lock, smoke.py"),
    ],
)  # fmt: skip
def test_what_is_wrong(load_small: Load, old: str, new: str, line: str, field: str, what: str, hint: str) -> None:
    found = refused(load_small, old, new, lock=LOCK)
    where, _, named = found["where"].partition(": ")
    file, _, number = where.rpartition(":")
    text = WHOLE.replace(old, new).split("\n")
    assert (file, named) == ("recipes/images/small/image.toml", field)
    assert text[int(number) - 1].startswith(line)
    assert (found["what"] if not what.endswith("requirement:") else found["what"][: len(what)]) == what
    assert found["hint"] == hint


def test_one_error_for_all_that_is_wrong(load_small: Load) -> None:
    old = 'summary = "A small image"\nversion = "0.9.1"\ncomponents = ["ucx"]'
    found = refused(load_small, old, 'summary = ""\nversion = ""\ncomponents = ["ucx", "u"]')
    assert found["what"] == "the summary is empty"
    assert found["why"] == (
        "also wrong:\nrecipes/images/small/image.toml:3: version: a version cannot be called ''\n"
        "recipes/images/small/image.toml:4: components[1]: there is no recipe 'u'"
    )


def test_an_image_and_a_recipe_of_one_name(load_small: Load, project: Project) -> None:
    (project.root / "recipes/small").mkdir()
    assert refused(load_small)["what"] == "there is a recipe 'small' too"


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (EXCLUDE, 'exclude_newer = "2026-03-06"\n', "its exclude_newer is 2026-03-05, the recipe's 2026-03-06"),
        (EXCLUDE, EXCLUDE + 'version = "3.12"\n', "its Python is 3.11, the recipe's 3.12"),
        (EXCLUDE, EXCLUDE + 'platform = "x86_64-manylinux_2_28"\nversion = "3.10"\n',
         "its Python is 3.11, the recipe's 3.10; "
         "its platform is x86_64-manylinux_2_36, the recipe's x86_64-manylinux_2_28"),
        ("sniffio>=1.3", "sniffio>=1.2",
         "requirements, constraints, overrides, excludes or indexes have changed since it was made on 2026-11-22"),
    ],
)  # fmt: skip
def test_a_stale_lock(load_small: Load, old: str, new: str, difference: str) -> None:
    found = refused(load_small, old, new)
    assert found["what"] == f"the lock is stale, python.lock: {difference}"
    assert found["where"] == "recipes/images/small/image.toml:11: python.lock"
    assert found["hint"] == "make it again: orch lock small"
    image = load_small(old, new, to_lock=True)
    assert image.lock is not None
    assert not image.lock_missing


def test_a_lock_that_cannot_be_read_names_its_own_line(load_small: Load) -> None:
    bad = LOCK.replace("py3-none-any", "cp310-cp310-manylinux_2_17_x86_64")
    found = refused(load_small, lock=bad)
    assert found["where"] == "recipes/images/small/python.lock:7"
    assert found["what"].endswith("is a wheel for another Python, not for CPython 3.11")
    assert found["hint"] == "make it again: orch lock small"
    image = load_small(lock=bad, to_lock=True)
    assert (image.lock, image.lock_missing) == (None, True)


def test_who_makes_the_lock_still_hears_of_the_rest(load_small: Load) -> None:
    assert refused(load_small, '"0.9.1"', '""', to_lock=True)["what"] == "a version cannot be called ''"  # type: ignore[arg-type]


def test_a_lock_that_leads_elsewhere(load_small: Load, project: Project) -> None:
    (project.root / "python.lock").write_text(LOCK)
    (project.root / "recipes/images/small/python.lock").symlink_to("../../../python.lock")
    found = refused(load_small, lock=None)  # type: ignore[arg-type]
    assert found["what"] == "python.lock leaves the recipe's directory"


def test_images_are_listed_at_once_and_read_when_asked_for(load_small: Load, project: Project) -> None:
    load_small()
    (project.root / "recipes/images/broken").mkdir()
    (project.root / "recipes/images/broken/image.toml").write_text("name =")
    (project.root / "recipes/images/files").mkdir()  # no image
    images = load_images(project)
    assert images.names == tuple(images) == ("broken", "small")
    assert (len(images), "files" in images) == (2, False)
    assert images["small"] is images["small"]
    with pytest.raises(RecipeError, match="not TOML"):
        images["broken"]
    assert images.get("none") is None
    with pytest.raises(KeyError):
        images.to_lock("none")
    assert images.to_lock("small").lock is not None


def test_images_are_no_recipes(load_small: Load, project: Project) -> None:
    assert load_recipes(project).names == ("debian-runtime", "nixl", "ucx")


def test_a_project_without_images(project: Project) -> None:
    assert load_images(project).names == ()


def test_the_checks_that_a_recipe_may_name_are_those_there_are() -> None:
    from orchestrator.image.checks import CHECKS as there

    assert tuple(there) == CHECKS


def test_building_recipes_imports_nothing_of_images() -> None:
    code = (
        "import sys, orchestrator.recipe as room; before = set(sys.modules); room.load_images, room.lock_input; "
        "print(sorted(m for m in before if 'image' in m or m.startswith(('packaging', 'pydantic'))), "
        "sorted(m for m in sys.modules if m.startswith(('packaging', 'pydantic'))))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[] []\n"


def test_every_name_of_the_room_is_there() -> None:
    import orchestrator.recipe as room

    assert all(getattr(room, name) for name in room.__all__)
    with pytest.raises(AttributeError):
        room.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_file_of_run_may_be_a_link_to_one_that_images_share_and_to_no_other(tmp_path: Path) -> None:
    directory = tmp_path / "recipes/images/one"
    directory.mkdir(parents=True)
    (directory.parent / "shared.py").write_text("x")
    (tmp_path / "recipes/elsewhere.py").write_text("x")
    (directory / "in.py").symlink_to("../shared.py")
    (directory / "out.py").symlink_to("../../elsewhere.py")
    found = beside(directory, "in.py", directory.parent)
    assert isinstance(found, Path)
    assert found.read_text() == "x"
    assert beside(directory, "out.py", directory.parent) == "out.py leaves the recipe's directory"
    assert beside(directory, "in.py") == "in.py leaves the recipe's directory"
