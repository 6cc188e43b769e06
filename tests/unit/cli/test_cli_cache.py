"""`orch cache` as a person uses it, on a store made by hand: what is said, as text and as JSON, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_project import Cli, InProcess

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.store import (
    ClosureItem,
    ComponentFields,
    Goal,
    ImageRecord,
    LayerFields,
    Layout,
    Realisation,
    open_store,
    publish_tree,
    staging,
    write_goal,
    write_image,
    write_realisation,
)
from orchestrator.tree import scan

EVERY = (
    ("ls",),
    ("ls", "--kind", "source"),
    ("ls", "--kind", "layer"),
    ("show", "app"),
    ("tree", "app"),
    ("cat", "app", "usr/app"),
    ("closure", "app"),
    ("closure", "app", "--build"),
    ("references", "app"),
    ("referrers", "lib"),
    ("why-depends", "app", "lib"),
    ("du",),
    ("du", "--by", "component"),
    ("du", "--by", "image"),
    ("stats",),
)


def key_of(name: str, version: str) -> Digest:
    return blake3_bytes(f"{name} {version}".encode())


def make(layout: Layout, name: str, version: str, runtime: dict[str, str], text: str = "", origin: str = "") -> Digest:
    with staging(layout, name) as room:
        tree = room / "tree"
        (tree / "usr").mkdir(parents=True)
        (tree / "usr" / name).write_text(text or f"{name} {version}\n")
        (tree / "usr" / "link").symlink_to(name)
        output = publish_tree(layout, tree, scan(tree))
    made = Realisation(
        key=key_of(name, version),
        kind="derivation",
        name=name,
        version=version,
        document={"builder": "script", "inputs": {}, "options": {"cuda": version[0]}, "platform": "x86_64-linux",
                  "sandbox": 1, "sources": [{"file_name": "a.tar", "sha256": "ab" * 32}]},
        output=output,
        seconds=12.0,
        finished=100.0 + len(version),
        log="logs/x/1.log",
        sandbox={"cores": 2, "kernel": "6.1"},
        origin=origin or "source",
        runtime={one: str(key_of(one, number)) for one, number in runtime.items()},
    )  # fmt: skip
    write_realisation(layout, made)
    return output


@pytest.fixture
def made(cli: Cli) -> dict[str, Digest]:
    """lib 1 and 2.0, app on lib 2.0, which a goal keeps."""
    layout = open_store(cli.store)
    old = make(layout, "lib", "1", {})
    lib = make(layout, "lib", "2.0", {}, text="x" * 2000)
    app = make(layout, "app", "1", {"lib": "2.0"}, origin="vendor")
    items = tuple(
        ClosureItem(name, version, "source", digest, key_of(name, version))
        for name, version, digest in (("lib", "2.0", lib), ("app", "1", app))
    )
    goal = Goal(key=blake3_bytes(b"goal"), goal="app", options=(), output=app, closure=items, finished=200.0)
    write_goal(layout, goal)
    return {"old": old, "lib": lib, "app": app}


def asked(in_process: InProcess, *words: str, status: int = 0) -> Any:
    found, out = in_process("cache", *words, "--json")
    assert found == status, out
    document = json.loads(out)
    assert (document["schema"], document["command"]) == (1, f"cache {words[0]}")
    return document


@pytest.mark.parametrize("words", EVERY)
def test_every_question_is_answered_in_text_and_json(
    made: dict[str, Digest], in_process: InProcess, words: tuple[str, ...]
) -> None:
    status, out = in_process("cache", *words)
    assert status == 0
    assert out
    assert "\x1b" not in out  # no colours where there is no terminal
    asked(in_process, *words)


@pytest.mark.parametrize("words", [("ls",), ("du",), ("stats",), ("ls", "--kind", "source")])
def test_an_absent_store_is_an_empty_one_and_is_not_made(
    cli: Cli, in_process: InProcess, words: tuple[str, ...]
) -> None:
    asked(in_process, *words)
    assert in_process("cache", *words)[0] == 0
    assert not cli.store.exists()


def test_ls_lists_filters_and_sorts(made: dict[str, Digest], in_process: InProcess) -> None:
    def listed(*words: str) -> list[tuple[str, str]]:
        return [(one["name"], one["version"]) for one in asked(in_process, "ls", *words)["entries"]]

    assert listed() == [("app", "1"), ("lib", "1"), ("lib", "2.0")]
    assert listed("--sort", "size") == [("lib", "2.0"), ("app", "1"), ("lib", "1")]
    assert listed("li") == [("lib", "1"), ("lib", "2.0")]
    assert listed("--unkept") == [("lib", "1")]
    assert listed("--origin", "vendor") == [("app", "1")]
    assert listed("--larger", "1kB") == [("lib", "2.0")]
    assert listed("--older-than", "1d") == []
    assert listed("--kind", "base") == []
    assert listed("--sort", "age")[-1] == ("lib", "2.0")
    app = asked(in_process, "ls", "app")["entries"][0]
    assert app["kept"] == ["goal app"]
    assert app["digest"] == str(made["app"])
    assert app["key"] == str(key_of("app", "1"))
    assert app["options"] == {"cuda": "1"}
    rows = in_process("cache", "ls")[1].splitlines()
    assert re.fullmatch(r"name +version +origin +options +key +size +age +used +kept by", rows[0])
    assert len({line.rindex("  goal app") for line in rows[1:4] if "goal" in line}) == 1  # aligned
    assert rows[2].endswith("  -")


def test_show_says_all_that_the_record_tells(made: dict[str, Digest], in_process: InProcess) -> None:
    shown = asked(in_process, "show", "app")
    assert shown["object"] == str(made["app"])
    assert shown["sandbox"] == {"schema": 1, "cores": 2, "kernel": "6.1"}
    assert [(one["name"], one["version"], one["here"]) for one in shown["runtime"]] == [("lib", "2.0", True)]
    assert shown["sources"] == [{"file": "a.tar", "hash": "ab" * 32, "here": False}]
    assert (shown["log"], shown["log_there"], shown["kept"]) == ("logs/x/1.log", False, ["goal app"])
    text = in_process("cache", "show", "lib@1")[1]
    assert "kept by   nothing: it goes with the next orch gc" in text
    assert "rebuilds  none is recorded" in text
    assert "(gone)" in text


def test_show_of_an_early_record_says_that_it_does_not_know(cli: Cli, in_process: InProcess) -> None:
    layout = open_store(cli.store)
    make(layout, "tool", "1", {})
    record = next(layout.realisations.glob("*.json"))
    line = record.read_bytes().splitlines()[0]
    document = json.loads(line)
    del document["origin"], document["runtime"]
    line = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    record.write_bytes(line + b'\n{"blake3":"%s"}\n' % blake3_bytes(line).hex.encode())
    shown = asked(in_process, "show", "tool")
    assert (shown["origin"], shown["runtime"]) == ("unknown", None)
    assert "runtime   unknown" in in_process("cache", "show", "tool")[1]
    assert asked(in_process, "closure", "tool")["known"] is False
    assert "unknown" in in_process("cache", "closure", "tool")[1]
    assert asked(in_process, "references", "tool")["known"] is False
    assert asked(in_process, "referrers", "tool")["unclear"] == 1


def test_rebuilds_are_shown(made: dict[str, Digest], cli: Cli, in_process: InProcess) -> None:
    from orchestrator.store import BuildRecord, StepRecord, write_build

    layout = open_store(cli.store)
    log = f"logs/app-rebuild/20261122T181010.000000Z-{made['app'].hex[:12]}.log"
    (layout.root / log).parent.mkdir(parents=True)
    (layout.root / log).touch()
    step = StepRecord(step="rebuild app", node="app", outcome="identical", began=0.0, seconds=1.0, log=log)
    write_build(
        layout,
        BuildRecord(
            id="20261122T181000Z-0a1b2c", verb="build", goals=("app",), options=(), words=(), began=1.0, seconds=20.0,
            ending="done", steps=(step,),
        ),
    )  # fmt: skip
    again = asked(in_process, "show", "app")["rebuilds"]
    assert [(one["outcome"], one["log"]) for one in again] == [("identical", log)]
    assert "rebuilds  identical" in in_process("cache", "show", "app")[1]


def test_tree_and_cat_look_inside(made: dict[str, Digest], in_process: InProcess) -> None:
    assert in_process("cache", "cat", "app", "/usr/link") == (0, "app 1\n")
    assert asked(in_process, "cat", "app", "usr/app")["text"] == "app 1\n"
    assert in_process("cache", "tree", "lib")[1].splitlines()[:3] == [
        "2.0 kB  usr/",
        "2.0 kB    lib",
        "          link -> lib",
    ]
    assert len(asked(in_process, "tree", "lib", "--depth", "1")["paths"]) == 1
    assert [one["path"] for one in asked(in_process, "tree", "lib", "usr")["paths"]] == ["/usr/lib", "/usr/link"]


def test_cat_of_bytes_is_base64_in_json(cli: Cli, in_process: InProcess) -> None:
    layout = open_store(cli.store)
    with staging(layout, "x") as room:
        (room / "tree").mkdir()
        (room / "tree" / "f").write_bytes(b"\xff\x00")
        digest = publish_tree(layout, room / "tree", scan(room / "tree"))
    assert asked(in_process, "cat", digest.hex, "f")["base64"] == "/wA="


def test_diff_tells_files_and_ends_with_5(made: dict[str, Digest], in_process: InProcess) -> None:
    found = asked(in_process, "diff", "lib@1", "lib@2.0", status=5)
    assert [one["path"] for one in found["changed"]] == ["/usr/lib"]
    assert (found["added"], found["removed"], found["same"]) == ([], [], False)
    status, out = in_process("cache", "diff", "lib@1", "app")
    assert status == 5
    assert out.splitlines() == [
        "+ /usr/app  6 B",
        "- /usr/lib  6 B",
        "~ /usr/link  -> lib became -> app",
        "lib 1 -> app 1: 1 added, 1 removed, 1 changed; 6 B -> 6 B",
    ]
    assert in_process("cache", "diff", "app", "app")[0] == 0


def test_why_depends_and_its_no(made: dict[str, Digest], in_process: InProcess) -> None:
    way = asked(in_process, "why-depends", "app", "lib")["way"]
    assert [(one["reason"], one["name"], one["version"]) for one in way] == [("runtime", "lib", "2.0")]
    assert "needs at run time lib 2.0" in in_process("cache", "why-depends", "app", "lib")[1]
    error = asked(in_process, "why-depends", "lib", "app", status=5)["error"]
    assert error["what"] == "lib 2.0 does not depend on app 1"
    assert asked(in_process, "why-depends", "app", "lib@1", status=5)["error"]["code"]


def test_du_says_what_deleting_would_free(made: dict[str, Digest], in_process: InProcess) -> None:
    found = asked(in_process, "du")
    assert [(one["label"], one["alone_bytes"], one["shared_bytes"]) for one in found["shares"]] == [
        ("goal app", 2006, 0)
    ]
    assert (found["objects_bytes"], found["unkept_bytes"]) == (2012, 6)
    components = asked(in_process, "du", "--by", "component")["shares"]
    assert [(one["label"], one["alone_bytes"], one["shared_bytes"]) for one in components] == [
        ("lib", 6, 2000),
        ("app", 0, 6),
    ]


def test_an_image_keeps_its_layers_and_says_what_they_take(
    made: dict[str, Digest], cli: Cli, in_process: InProcess
) -> None:
    layout = open_store(cli.store)
    blobs = {
        name: Digest("sha256", hashlib.sha256(name.encode()).hexdigest())
        for name in ("layer", "gone", "config", "manifest")
    }
    for name in ("layer", "config", "manifest"):
        (layout.oci / "blobs" / "sha256" / blobs[name].hex).write_bytes(name.encode())
    (layout.oci / "blobs" / "sha256" / ("f" * 64)).write_bytes(b"123456789")
    component = ComponentFields("lib", "2.0", "source", "recipe", made["lib"], None, (), "", 2000)
    layers = tuple(LayerFields(name, "tar", blobs[name], 5, blobs[name], 2000, ("lib",)) for name in ("layer", "gone"))
    write_image(
        layout,
        ImageRecord(
            key=blake3_bytes(b"image"), name="box", version="1", platform="x86_64-linux", options=(),
            manifest=blobs["manifest"], manifest_size=8, config=blobs["config"], config_size=6, created="",
            layers=layers, components=(component,), unpacked=2000,
        ),
    )  # fmt: skip
    shares = asked(in_process, "du", "--by", "image")["shares"]
    assert [(one["label"], one["alone_bytes"], one["shared_bytes"]) for one in shares] == [
        ("image box", 5 + 6 + 8, 2000)  # lib is app's too
    ]
    assert asked(in_process, "ls", "lib")["entries"][1]["kept"] == ["image box", "goal app"]
    listed = {one["name"]: one for one in asked(in_process, "ls", "--kind", "layer")["entries"]}
    assert set(listed) == {"layer", "configuration", "manifest", "unknown"}
    assert (listed["layer"]["kept"], listed["unknown"]["kept"]) == (["image box"], [])
    assert "box is an image" in asked(in_process, "show", "box", status=2)["error"]["hint"]


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (("show", "ap"), "nothing in this store was made of 'ap'", "did you mean app?"),
        (("ls", "lbi"), "nothing in this store is called 'lbi'", "did you mean 'orch cache ls lib'?"),
        (("cat", "app", "usr"), "usr of app 1 is a directory", "orch cache tree app usr"),
        (("cat", "app", "no"), "app 1 has no file no", "orch cache tree app lists all"),
        (("tree", "app", "no"), "app 1 has no directory no", "orch cache tree NAME lists all"),
        (("tree", "lib@3"), "there is no lib@3 in this store", "orch cache ls"),
        (("ls", "--larger", "big"), "argument --larger", "--help"),
    ],
)
def test_mistakes_get_a_hint(
    made: dict[str, Digest], in_process: InProcess, words: tuple[str, ...], what: str, hint: str
) -> None:
    error = asked(in_process, *words, status=2)["error"]
    assert what in error["what"]
    assert hint in error["hint"]


def test_a_read_only_question_changes_nothing_but_the_index(
    made: dict[str, Digest], cli: Cli, in_process: InProcess
) -> None:
    def state() -> list[tuple[Path, int]]:
        return sorted((p, p.lstat().st_mtime_ns) for p in cli.store.rglob("*") if "index" not in p.parts)

    before = state()
    for words in EVERY:
        in_process("cache", *words)
    assert state() == before
