"""`orch graph` as it is asked: what is where, in which state, in every form."""

from __future__ import annotations

from xml.etree import ElementTree

from cli_project import Cli

from orchestrator.store import BuildRecord, StepRecord, open_store, write_build


def test_a_tree_of_what_is_to_be_done(cli: Cli) -> None:
    result = cli.run("graph", "app", "tool")
    assert (result.status, result.err) == (0, "")
    assert (
        result.out
        == """\
app, tool: 3 to build, 1 to fetch
app 1.1              to build  never built here
└─ lib 2.0           to build  never built here
   └─ base bookworm  to fetch  never built here
tool 1               to build  never built here
└╌ base bookworm     to fetch  … as above

── runs with   ╌╌ only built with
"""
    )
    assert not cli.store.exists()  # a question makes none


def test_what_is_not_locked_is_shown_so(cli: Cli) -> None:
    result = cli.run("graph", "lib", "--set", "lib.version=3.0")
    assert result.status == 0
    assert (
        "lib 3.0           not locked  a hash of its sources is not known yet: orch source lock lib@3.0" in result.out
    )


def test_what_failed_last_time(cli: Cli) -> None:
    step = StepRecord(
        step="build tool", node="tool", version="1", outcome="failed", began=0.0, seconds=1.0, detail="exit 2"
    )
    run = BuildRecord(
        id="20261122T000000Z-00000a",
        verb="build",
        goals=("tool",),
        options=(),
        words=("build", "tool"),
        began=0.0,
        seconds=1.0,
        ending="failed",
        steps=(step,),
    )
    write_build(open_store(cli.store), run)
    assert "tool 1            failed    exit 2\n" in cli.run("graph", "tool").out


def test_as_json(cli: Cli) -> None:
    document = cli.run("graph", "app", "--json").document
    assert (document["schema"], document["command"], document["goals"]) == (1, "graph", ["app"])
    assert [(node["name"], node["state"]) for node in document["nodes"]] == [
        ("base", "to fetch"),
        ("lib", "to build"),
        ("app", "to build"),
    ]
    assert {"from": "app", "to": "lib", "kind": "runtime"} in document["edges"]
    assert {"from": "app", "to": "lib", "kind": "build"} in document["edges"]
    assert {"from": "app", "to": "base", "kind": "runtime"} not in document["edges"]
    everything = cli.run("graph", "app", "--json", "--all-edges").document
    assert {"from": "app", "to": "base", "kind": "runtime"} in everything["edges"]
    assert [node["name"] for node in cli.run("graph", "app", "--json", "--depth", "1").document["nodes"]] == [
        "lib",
        "app",
    ]


def test_a_file_whose_name_says_the_format(cli: Cli) -> None:
    for name, start in (("a.svg", "<svg "), ("a.dot", "digraph "), ("a.mmd", "flowchart "), ("a.txt", "app 1.1 ")):
        result = cli.run("graph", "app", "-o", name)
        assert (result.status, result.out, result.err) == (0, f"{name}\n", "")
        assert (cli.root / name).read_text().startswith(start)
    assert cli.run("graph", "app", "-o", "a.txt", "--format", "dot").status == 0
    assert (cli.root / "a.txt").read_text().startswith("digraph ")
    assert not list(cli.root.glob(".*.new"))
    ElementTree.parse(cli.root / "a.svg")


def test_a_name_that_says_no_known_format(cli: Cli) -> None:
    result = cli.run("graph", "app", "-o", "a.pdf")
    assert (result.status, result.out) == (2, "")
    assert "no format of .pdf files is known" in result.err
    assert not (cli.root / "a.pdf").exists()
    assert cli.run("graph", "app", "-o", "a").status == 0
    assert (cli.root / "a").read_text().startswith("app 1.1 ")


def test_the_file_is_written_whole_or_not_at_all(cli: Cli) -> None:
    result = cli.run("graph", "app", "-o", "none/a.svg")
    assert (result.status, result.out) == (2, "")
    assert "there is no directory none" in result.err
    (cli.root / "real.svg").write_text("before")
    (cli.root / "link.svg").symlink_to("real.svg")
    assert cli.run("graph", "app", "-o", "link.svg").status == 0
    assert (cli.root / "link.svg").is_symlink()
    assert (cli.root / "real.svg").read_text().startswith("<svg ")
    assert cli.run("graph", "app", "-o", "recipes").status == 2
    assert cli.run("graph", "app", "--format", "dot", "-o", "/dev/stdout").out.startswith("digraph ")


def test_wheels_are_an_images(cli: Cli) -> None:
    result = cli.run("graph", "app", "--wheels")
    assert result.status == 2
    assert "--wheels is for images" in result.err


def test_a_goal_that_is_not_there(cli: Cli) -> None:
    result = cli.run("graph", "apq")
    assert result.status == 2
    assert "there is no recipe 'apq'" in result.err
