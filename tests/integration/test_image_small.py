"""`orch image` on a small image, as a person uses it: made, made again, changed, refused, named only when good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image_project import BASE, IMAGE, SITE, MadeWheel, edit_image, made, make_wheel, write_base, write_image
from projects import Project, copy_store, empty_project, listing, remove, sources_alone, unlock, wait_for

pytestmark = pytest.mark.integration

PLAIN = "echo plain > /dev/null; mkdir -p $OUT/usr/share/plain; echo one > $OUT/usr/share/plain/file"


@pytest.fixture(scope="module")
def base(snake_store: Path) -> Path:
    return snake_store


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Iterator[Project]:
    """The image's project in a store that holds its base."""
    copy_store(base, tmp_path / "store")
    yield (made_project := a_project(tmp_path / "project", tmp_path / "store"))
    unlock(made_project.store)


def a_project(root: Path, store: Path) -> Project:
    project = empty_project(root, store)
    write_base(project)
    project.write(
        "plain",
        f'name = "plain"\nsummary = "plain"\n[inputs]\nbuild = ["{BASE}"]\nruntime = ["{BASE}"]\n'
        f'[versions."1.0"]\norigin = "source"\n[versions."2.0"]\norigin = "source"\n'
        f"[build]\nscript = '''\n{PLAIN}\necho $version > $OUT/usr/share/plain/version\n'''\n",
    )
    return project


def wheels(directory: Path) -> tuple[MadeWheel, MadeWheel]:
    one = make_wheel(directory, "one", {"one/__init__.py": b"VALUE = 1\n", "one/big.bin": os.urandom(1)})
    return one, make_wheel(directory, "two", {"two.py": b"import one\n"}, requires=("one>=1",))


def refs(project: Project) -> list[str]:
    index = project.store / "oci/index.json"
    if not index.exists():
        return []
    entries = json.loads(index.read_text())["manifests"]
    return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries]


def blobs(project: Project) -> set[str]:
    return {path.name for path in (project.store / "oci/blobs/sha256").iterdir()}


def blob(project: Project, digest: str) -> Any:
    return json.loads((project.store / "oci/blobs/sha256" / digest.removeprefix("sha256:")).read_text())


def test_an_image_is_made_run_and_described(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path), imports="import two; print(two.one.VALUE)")
    result = made(project)
    assert refs(project) == [IMAGE]
    log = project.log("demo-run")
    assert log[-4:] == ["uid=1000(dynamo) gid=0(root) groups=0(root)", "0002", "hello", "1"]
    manifest = blob(project, result["manifest"])
    config = blob(project, manifest["config"]["digest"])
    assert [layer["digest"] for layer in manifest["layers"]] == [layer["digest"] for layer in result["layers"]]
    assert config["rootfs"]["diff_ids"] == [layer["diff_id"] for layer in result["layers"]]
    assert config["created"] == "1980-01-01T00:00:00Z"
    assert config["config"]["User"] == "1000:0"
    assert "GREETING=hello" in config["config"]["Env"]
    path = next(value for value in config["config"]["Env"] if value.startswith("PATH="))
    assert path.startswith("PATH=/opt/dynamo/venv/bin:")
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == IMAGE
    assert labels["org.opencontainers.image.revision"] == result["key"]
    assert {name for name in labels if name.startswith("orch.component.")} == {
        f"orch.component.{name}" for name in (BASE, "plain", "wheel.one", "wheel.two", "bytecode")
    }
    assert result["layers"][0]["components"] == [BASE]
    assert result["layers"][-1]["components"] == ["system"]


def test_again_touches_nothing(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    first = made(project)
    before = listing(project.store)
    again = made(project)
    assert {name: value for name, value in listing(project.store).items() if not name.startswith("answers")} == {
        name: value for name, value in before.items() if not name.startswith("answers")
    }
    assert (first["made"], again["made"]) == (True, False)
    assert again["manifest"] == first["manifest"]


def test_two_stores_make_the_same_bytes(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    first = made(project)
    other = tmp_path / "other"
    sources_alone(project.store, other)
    remove(project.store)
    second = made(Project(root=project.root, store=other))
    assert second["manifest"] == first["manifest"]
    unlock(other)


def test_a_changed_recipe_changes_its_layer_alone(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    first = made(project)
    before = blobs(project)
    second = made(project, "--set", "plain.version=2.0")
    changed = {layer["digest"] for layer in second["layers"]} - {layer["digest"] for layer in first["layers"]}
    assert [layer["name"] for layer in second["layers"] if layer["digest"] in changed] == ["plain"]
    assert len(blobs(project) - before) == 3  # the layer, the config, the manifest
    back = made(project)
    assert back["manifest"] == first["manifest"]
    assert refs(project) == [IMAGE]
    assert json.loads((project.store / "oci/index.json").read_text())["manifests"][0]["digest"] == first["manifest"]


def test_the_differences_are_told(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    first = made(project)
    second = made(project, "--set", "plain.version=2.0")
    result = project.orch("diff", first["manifest"], IMAGE, "--json")
    assert result.status == 5
    document = result.document
    assert [(one["name"], one["text"]) for one in document["components"]] == [("plain", "1.0 -> 2.0")]
    assert [layer["name"] for layer in document["layers"]["new"]] == ["plain"]
    assert document["bytes_saved"] + document["bytes_pulled"] == second["bytes"]
    assert project.orch("diff", IMAGE, IMAGE).status == 0


def test_a_file_is_found_from_layer_to_source_and_back(project: Project, tmp_path: Path) -> None:
    one, two = wheels(tmp_path)
    write_image(project, one, two)
    result = made(project)
    (place,) = project.done("find", IMAGE, f"/{SITE}/two.py", "--json").document["paths"]
    assert place["component"] == "wheel:two"
    assert place["layer"]["digest"] in {layer["digest"] for layer in result["layers"]}
    assert place["sources"] == [f"pypi:two/{two.file.name} sha256:{two.sha256}"]
    (component,) = project.done("find", IMAGE, one.sha256, "--files", "--json").document["components"]
    assert component["name"] == "wheel:one"
    assert f"/{SITE}/one/__init__.py" in component["paths"]
    (place,) = project.done("find", IMAGE, "/etc/passwd", "--json").document["paths"]
    assert place["component"] == "system"
    missing = project.orch("find", IMAGE, "/etc/nothing")
    assert missing.status == 5
    assert "has no /etc/nothing" in missing.err


def test_images_are_listed(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    assert "not made" in project.done("images").out
    made(project)
    assert "made: " in project.done("images").out


def refused(project: Project, *words: str) -> str:
    """`orch image demo` fails with these words in its message, and the image has no name."""
    result = project.orch("image", IMAGE)
    assert result.status in (1, 3), result.err
    for word in words:
        assert word in result.err, result.err
    assert refs(project) == []
    return result.err


def test_a_clash_is_refused_until_the_recipe_says_who_wins(project: Project, tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "one", {"shared.py": b"x = 1\n"})
    two = make_wheel(tmp_path, "two", {"shared.py": b"x = 2\n"})
    write_image(project, one, two, imports="import shared; print(shared.x)")
    refused(project, f"/{SITE}/shared.py has different content in wheel:one and in wheel:two", "[[winners]]")
    winner = f'[[winners]]\npath = "/{SITE}/shared.py"\ncomponent = "wheel:two"\nreason = "it is newer"\n[config]'
    edit_image(project, "[config]", winner)
    made(project)
    assert project.log("demo-run")[-1] == "2"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"one.libs/libucp-b39b3ed9.so.0.0.0": b"\x7fELF", "two.libs/libucp.so.0": b"\x7fELE"}, ("one-copy", "libucp")),
        ({"one/lib64/stubs/libcuda.so": b"\x7fELF"}, ("stubs", "libcuda.so")),
        (
            {"one/id_rsa": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"},
            ("secrets",),
        ),
    ],
    ids=["one-copy", "stubs", "secrets"],
)
def test_a_broken_image_is_refused_with_the_file(
    project: Project, tmp_path: Path, files: dict[str, bytes], words: tuple[str, ...]
) -> None:
    write_image(project, make_wheel(tmp_path, "one", {"one/__init__.py": b"", **files}), extra="")
    refused(project, *words)


def test_two_majors_of_cuda_are_refused(project: Project, tmp_path: Path) -> None:
    names = ("nvidia-a-cu12", "nvidia-b-cu12", "nvidia-c-cu13")
    write_image(project, *(make_wheel(tmp_path, name, {}) for name in names))
    message = refused(project, "cuda-major", "nvidia-c-cu13 1.0 is for CUDA 13, and the image is CUDA 12")
    assert "nvidia-a-cu12 1.0 is for" not in message


def test_a_missing_plugin_a_missing_requirement_and_the_budget_are_told_together(
    project: Project, tmp_path: Path
) -> None:
    one = make_wheel(tmp_path, "one", {"one.py": b""}, requires=("absent>=2",))
    write_image(project, one, extra='[checks]\nucx_modules = ["uct_ib"]\nbudget = 10\n')
    refused(project, "plugins", "uct_ib", "requirements", "absent>=2", "budget")


def test_a_waiver_lets_pass_what_it_names_and_one_that_matches_nothing_is_refused(
    project: Project, tmp_path: Path
) -> None:
    one = make_wheel(tmp_path, "one", {"one.py": b""}, requires=("absent>=2",))
    waiver = '[[checks.waive]]\ncheck = "requirements"\nname = "{}"\nreason = "a test"\n'
    write_image(project, one, extra=waiver.format("absent*") + waiver.format("nothing*"))
    refused(project, "nothing*")
    write_image(project, one, extra=waiver.format("absent*"))
    waived = [text for text in made(project)["waived"] if text.startswith("requirements: ")]
    assert len(waived) == 1


def test_a_failed_run_names_no_image_and_shows_why(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path), imports="import absent")
    message = refused(project, "running demo failed", "No module named 'absent'", "orch log demo --run")
    assert "first error" in message
    assert "ModuleNotFoundError" in project.done("log", IMAGE, "--run").out


def test_a_stale_lock_and_a_missing_one_name_the_command(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    edit_image(project, 'requirements = ["one", "two"]', 'requirements = ["one"]')
    refused(project, "stale", "orch lock demo")
    (project.root / "recipes/images" / IMAGE / "python.lock").unlink()
    refused(project, "demo is not locked", "orch lock demo")


def test_another_platform_is_refused_with_the_reason(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    platform = f"{os.uname().machine}-linux"
    (other,) = {"x86_64-linux", "aarch64-linux"} - {platform}
    lines = f'platforms = ["{other}"]\nrefuses = {{ "{platform}" = "its wheels are elsewhere" }}'
    edit_image(project, 'version = "1"', f'version = "1"\n{lines}')
    wheels_for = f'platform = "{other.removesuffix("-linux")}-manylinux_2_36"'
    edit_image(project, "[python]", f"[python]\n{wheels_for}")
    (project.root / "recipes/images" / IMAGE / "python.lock").unlink()
    refused(project, f"cannot be made for {platform}", "its wheels are elsewhere")


def test_killed_at_any_moment_the_next_command_finishes(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    for marker in ("build bytecode ...", "image demo: checks", "layer "):
        process = project.start("image", IMAGE)
        assert process.stderr is not None
        said = ""

        def reached(marker: str = marker, process: subprocess.Popen[str] = process) -> bool:
            nonlocal said
            assert process.stderr is not None
            said += process.stderr.readline()
            return marker in said or process.poll() is not None

        wait_for(reached, seconds=60, what=marker)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert refs(project) == []
    made(project)
    assert refs(project) == [IMAGE]
    assert list((project.store / "stage").iterdir()) == []


def test_a_damaged_object_never_reaches_a_layer(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    project.done("build", "plain")
    victim = project.object("plain") / "tree/usr/share/plain/file"
    unlock(victim.parents[4])
    data = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(data.replace(b"one", b"two"))
    result = made(project)
    (place,) = project.done("find", IMAGE, "/usr/share/plain/file", "--json").document["paths"]
    assert place["component"] == "plain"
    assert list((project.store / "corrupt").iterdir())
    layer = next(layer for layer in result["layers"] if layer["name"] == "plain")
    import zstandard

    packed = (project.store / "oci/blobs/sha256" / layer["digest"].removeprefix("sha256:")).read_bytes()
    tar = zstandard.ZstdDecompressor().stream_reader(packed).read()
    assert b"one\n" in tar
    assert b"two\n" not in tar


def test_a_full_disk_is_said_before_any_work(project: Project, tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "one", {"one/big": b"\0" * (200 << 20)})
    write_image(project, one)
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)], check=False)
    if mount.returncode != 0:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        result = project.orch("image", IMAGE, "--store", str(small / "store"))
        assert result.status == 4
        assert "of disk" in result.err
        assert "are free" in result.err
        assert not list((small / "store/objects").iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_dry_run_makes_nothing(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    before = listing(project.store)
    out = project.done("image", IMAGE, "--dry-run").out
    assert "wheel:one" in out
    assert "needs about" in out
    assert listing(project.store) == before


def test_its_sources_are_listed_and_other_verbs_know_what_it_is(project: Project, tmp_path: Path) -> None:
    one, two = wheels(tmp_path)
    write_image(project, one, two)
    rows = project.done("source", "ls", IMAGE, "--json").document["sources"]
    assert {row["sha256"]: row["here"] for row in rows if row["recipe"].startswith("wheel:")} == {
        one.sha256: True,
        two.sha256: True,
    }
    for verb in ("build", "plan", "show"):
        result = project.orch(verb, IMAGE)
        assert result.status == 2
        assert "orch image demo" in result.err


def test_a_wheel_for_another_python_is_refused_by_line(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    lock = project.root / "recipes/images" / IMAGE / "python.lock"
    lock.write_text(
        lock.read_text().replace("one-1.0-py3-none-any.whl", "one-1.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    )
    refused(project, "python.lock:7", "cp312")


def test_find_follows_links_and_says_what_heals_a_lost_tree(project: Project, tmp_path: Path) -> None:
    write_image(project, *wheels(tmp_path))
    result = made(project)
    (place,) = project.done("find", IMAGE, "/lib/x86_64-linux-gnu/libc.so.6", "--json").document["paths"]
    assert (place["path"], place["component"]) == ("/usr/lib/x86_64-linux-gnu/libc.so.6", BASE)
    remove(project.object("plain"))
    lost = project.orch("find", IMAGE, "/usr/share/plain/file")
    assert lost.status == 4
    assert "the tree of plain is no longer in the store" in lost.err
    command = lost.err.partition("hint:")[2].partition(";")[0].split()
    assert command[0] == "rm"
    Path(command[1]).unlink()
    assert made(project)["manifest"] == result["manifest"]
    project.done("find", IMAGE, "/usr/share/plain/file")


def test_what_others_brought_is_not_given_to_the_user_and_root_may_be_the_user(
    project: Project, tmp_path: Path
) -> None:
    write_image(project, *wheels(tmp_path))
    edit_image(project, "[config]", '[config]\nworkdir = "/usr"')
    refused(project, "/usr is there already", "config.workdir")
    edit_image(project, 'workdir = "/usr"', 'user = "root"\nuid = 0\ngid = 0')
    edit_image(project, "umask\n", "umask\ntest $(id -u) = 0\n")
    made(project)
