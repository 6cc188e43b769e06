"""`orch report` as it is asked: of which run or image, where the page goes, what it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_project import Cli

from orchestrator.digest import Digest
from orchestrator.store import (
    BuildRecord,
    ImageRecord,
    LayerFields,
    Layout,
    Realisation,
    StepRecord,
    open_store,
    write_build,
    write_image,
    write_realisation,
)


def step(name: str, **changes: object) -> StepRecord:
    fields: dict[str, object] = {
        "step": name,
        "node": name.partition(" ")[2],
        "version": "1",
        "outcome": "built",
        "began": 0.0,
        "seconds": 2.0,
        **changes,
    }
    return StepRecord(**fields)  # type: ignore[arg-type]


def run(layout: Layout, number: int, *steps: StepRecord, goal: str = "app", **changes: object) -> BuildRecord:
    fields: dict[str, object] = {
        "id": f"20261122T00000{number}Z-00000{number}",
        "verb": "build",
        "goals": (goal,),
        "options": (),
        "words": ("build", goal),
        "began": 1795388000.0 + number,
        "seconds": 9.0,
        "ending": "done",
        "steps": steps,
        **changes,
    }
    build = BuildRecord(**fields)  # type: ignore[arg-type]
    write_build(layout, build)
    return build


@pytest.fixture
def layout(cli: Cli) -> Layout:
    return open_store(cli.store)


def test_the_newest_run_and_others_by_id_and_by_goal(cli: Cli, layout: Layout) -> None:
    run(layout, 1, step("build tool"), goal="tool")
    run(layout, 2, step("build lib"), step("check app", outcome="checked", began=2.0))
    result = cli.run("report")
    assert (result.status, result.out, result.err) == (0, "report-20261122T000002Z-000002.html\n", "")
    page = (cli.root / result.out.strip()).read_text()
    assert "orch build app" in page
    assert "build lib" in page
    for what in ("tool", "000001", "20261122T000001Z-000001"):
        assert cli.run("report", what, "-o", "one.html").out == "one.html\n"
        assert "orch build tool" in (cli.root / "one.html").read_text()
    assert not list(cli.root.glob(".*.new"))


def test_the_critical_path_by_records_and_by_recipes(cli: Cli, layout: Layout) -> None:
    # lib was made with base: a record says so, whatever the recipes say now; check app comes after lib by its recipe
    log = "logs/lib/1.log"
    made = Realisation(
        key=Digest("blake3", "ab" * 32),
        kind="derivation",
        name="lib",
        version="1",
        document={"inputs": {"tool": "x"}},
        output=Digest("blake3", "cd" * 32),
        seconds=3.0,
        finished=0.0,
        log=log,
    )
    write_realisation(layout, made)
    run(
        layout,
        1,
        step("build base", seconds=2.0),
        step("build tool", seconds=3.0),
        step("build lib", began=3.0, log=log),
        step("check app", outcome="checked", began=5.0),
    )
    document = cli.run("report", "--json").document
    assert document["command"] == "report"
    assert document["run"]["critical_path"] == ["build tool", "build lib", "check app"]
    assert Path(cli.root / document["path"]).is_file()


def test_what_was_cut_off_saved_what_it_took_last(cli: Cli, layout: Layout) -> None:
    key, output = Digest("blake3", "ab" * 32), Digest("blake3", "cd" * 32)
    write_realisation(
        layout,
        Realisation(
            key=key, kind="derivation", name="lib", version="1", document={}, output=output, seconds=52.0, finished=0.0
        ),
    )
    run(
        layout, 1, step("build base"), step("build lib", outcome="same", seconds=0.0, detail="inputs came out the same")
    )
    assert cli.run("report", "--json").document["run"]["saved_seconds"] == 52.0


def test_logs_are_shown_as_text_and_only_those_of_the_store(cli: Cli, layout: Layout) -> None:
    (layout.logs / "lib").mkdir()
    lines = "".join(f"line {number}\n" for number in range(200))
    log = b"\x1b[31m<script>alert(1)</script>\x1b[0m\nhalf\rwhole\r\n\xff\x00\n"
    (layout.logs / "lib" / "1.log").write_bytes(lines.encode() + log)
    (cli.root / "secret").write_text("do not show this")
    run(
        layout,
        1,
        step("build lib", outcome="failed", log="logs/lib/1.log", detail="exit 1"),
        step("build base", log="../project/secret"),
        step("build tool", log="logs/gone.log"),
        ending="failed",
    )
    cli.run("report", "-o", "one.html")
    page = (cli.root / "one.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\nwhole\n" in page
    assert "<script" not in page
    assert "half" not in page
    assert "do not show this" not in page
    assert "line 199" in page
    assert "line 100\n" not in page


def test_a_run_whose_recipes_are_gone(cli: Cli, layout: Layout) -> None:
    run(layout, 1, step("build old"), goal="old")
    assert cli.run("report", "000001", "-o", "one.html").status == 0
    assert "It is not drawn: there is no recipe &#x27;old&#x27;." in (cli.root / "one.html").read_text()


def test_an_image_by_its_run(cli: Cli, layout: Layout) -> None:
    manifest = Digest("sha256", "ef" * 32)
    record = ImageRecord(
        key=Digest("blake3", "ab" * 32),
        name="serving",
        version="1",
        platform="x86_64-linux",
        options=(),
        manifest=manifest,
        manifest_size=1,
        config=manifest,
        config_size=1,
        created="",
        layers=(LayerFields("base", "tar", manifest, 30_000_000, manifest, 90_000_000, ("base",)),),
        components=(),
        unpacked=90_000_000,
    )
    write_image(layout, record)
    made = {"serving": str(manifest)}
    run(layout, 1, step("layer base", node="", outcome="packed"), goal="serving", verb="image", outputs=made)
    assert cli.run("report", "-o", "one.html", "--json").document["image"]["name"] == "serving"
    page = (cli.root / "one.html").read_text()
    assert "<h2>Layers</h2>" in page
    assert "30 MB" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report",), "no run is recorded"),
        (("report", "app"), "no run of app is recorded"),
        (("report", "abcdef"), "no run abcdef is recorded"),
        (("report", "nothing"), "there is no recipe or image 'nothing'"),
    ],
)
def test_there_is_no_such_run(cli: Cli, words: tuple[str, ...], said: str) -> None:
    result = cli.run(*words)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert not list(cli.root.glob("*.html"))
