"""An image with a component from a developer's own tree: labelled, listed so, written where told, never pushed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_project import BASE, IMAGE, made, make_wheel, write_base, write_image
from projects import NOTHING, Project, copy_store, empty_project, unlock

from orchestrator.errors import UsageError
from orchestrator.image.push import push
from orchestrator.store import latest_image, open_store

pytestmark = pytest.mark.integration

SCRIPT = "mkdir -p $OUT/usr/share/plain; cp text $OUT/usr/share/plain/text"


@pytest.fixture
def project(snake_store: Path, tmp_path: Path) -> Iterator[Project]:
    """An image of one component, whose one source is an archive beside its recipe."""
    copy_store(snake_store, tmp_path / "store")
    project = empty_project(tmp_path / "project", tmp_path / "store")
    write_base(project)
    sha256 = project.tarball("plain", "plain.tar", {"plain/text": b"as released\n"})
    project.write(
        "plain",
        f'name = "plain"\n[inputs]\nbuild = ["{BASE}"]\nruntime = ["{BASE}"]\n[versions.1]\norigin = "source"\n'
        f'sources = [{{ from = "file:plain.tar", sha256 = "{sha256}" }}]\n[build]\nscript = "{SCRIPT}"\n',
    )
    write_image(project, make_wheel(tmp_path, "one", {"one.py": b""}))
    yield project
    unlock(project.store)


def labels(project: Project, config: str) -> dict[str, str]:
    file = project.store / "oci/blobs/sha256" / config.removeprefix("sha256:")
    found: dict[str, str] = json.loads(file.read_text())["config"]["Labels"]
    return found


def test_a_dirty_image(project: Project, tmp_path: Path) -> None:
    clean = made(project)
    assert clean["dirty"] == []
    assert "orch.dirty" not in labels(project, clean["config"])

    own = tmp_path / "own"
    own.mkdir()
    (own / "text").write_text("as released\n")
    source = ("--source", f"plain={own}")
    same = made(project, *source)
    assert [layer["digest"] for layer in same["layers"]] == [layer["digest"] for layer in clean["layers"]]
    assert same["key"] != clean["key"], "nobody knows that it is the same"
    (own / "text").write_text("edited\n")
    dirty = made(project, *source)
    assert dirty["dirty"] == ["plain"]
    found = labels(project, dirty["config"])
    assert found["orch.dirty"] == "plain"
    assert found["orch.component.plain"].startswith("1 dirty ")
    assert "dirty: plain" in project.done("images").out

    for words in (("--push", "127.0.0.1:1/team/demo:1"), ("--push", "127.0.0.1:1/team/demo:1", "--dry-run")):
        refused = project.orch("image", IMAGE, *source, *words)
        assert refused.status == 2
        assert refused.err.startswith(f"error: {IMAGE} is not pushed: plain came of a developer's own tree\n")
    layout = open_store(project.store)
    record = latest_image(layout, IMAGE)
    assert record is not None
    with pytest.raises(UsageError, match="is not pushed"):
        push(layout, record, "127.0.0.1:1/team/demo:1", insecure=True)

    out = tmp_path / "out"
    project.done("image", IMAGE, *source, "-o", f"oci:{out}")
    config = dirty["config"].removeprefix("sha256:")
    assert hashlib.sha256((out / "blobs/sha256" / config).read_bytes()).hexdigest() == config

    assert made(project)["manifest"] == clean["manifest"], "without --source it is what was released"
    project.done("image", IMAGE, *source)
    before = latest_image(layout, IMAGE)
    (own / "text").write_text("edited again\n")
    project.done("image", IMAGE, *source)
    after = latest_image(layout, IMAGE)
    assert before is not None
    assert after is not None
    assert after.manifest != before.manifest


def test_an_image_cannot_hide_that_it_is_dirty(project: Project, tmp_path: Path) -> None:
    file = project.root / "recipes/images" / IMAGE / "image.toml"
    file.write_text(file.read_text() + '\n[config.labels]\n"orch.dirty" = "nothing"\n"team.name" = "ours"\n')
    own = tmp_path / "own"
    own.mkdir()
    (own / "text").write_text("edited\n")
    found = labels(project, made(project, "--source", f"plain={own}")["config"])
    assert (found["orch.dirty"], found["team.name"]) == ("plain", "ours")


USER = f"""\
name = "user"
[inputs]
build = ["{BASE}", "plain"]
runtime = ["{BASE}"]
[versions.1]
origin = "source"
[build]
script = "mkdir -p $OUT/opt; cp /usr/share/plain/text $OUT/opt/user"
"""


def records_of_builds(project: Project, name: str) -> list[Path]:
    files = [file for file in (project.store / "realisations").glob("*.json") if file.is_file()]
    read = [(file, json.loads(file.read_text().splitlines()[0])) for file in files]
    return [file for file, one in read if (one["name"], one["kind"]) == (name, "build")]


def test_nothing_clean_comes_of_what_is_dirty_though_the_bytes_are_the_same(project: Project, tmp_path: Path) -> None:
    project.write("user", USER)
    project.done("build", BASE)
    own = tmp_path / "own"
    own.mkdir()
    (own / "text").write_text("as released\n")
    assert project.build("user", "--source", f"plain={own}").built == {"plain", "user"}
    clean = project.build("user")
    assert (clean.built, clean.same) == ({"plain", "user"}, frozenset())
    assert project.build("user") == NOTHING
    (record,) = records_of_builds(project, "user")
    assert json.loads(record.read_text().splitlines()[0])["origin"] == "source"


def test_what_was_made_again_with_something_dirty_is_not_pushed(project: Project, tmp_path: Path) -> None:
    own, key = tmp_path / "own", tmp_path / "k"
    own.mkdir()
    (own / "text").write_text("as released\n")
    project.write("user", USER)
    project.done("build", "user")
    (record,) = records_of_builds(project, "user")
    record.unlink()
    assert project.build("user", "--source", f"plain={own}").built == {"plain", "user"}
    project.done("cache", "keygen", "k", str(key))
    words = ("cache", "push", str(tmp_path / "cache"), "user", "--key", str(key), "--json")
    outcomes = {one["name"]: one["outcome"] for one in project.orch(*words).document["pushed"]}
    assert (outcomes["user"], outcomes["plain"]) == ("dirty", "pushed")
