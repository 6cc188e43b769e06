"""A picture as a tree, as dot, as mermaid and as SVG: what they say, and that nothing in a name can break them."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.drawing.languages import dot, mermaid
from orchestrator.cli.drawing.picture import STATES, Box, Edge, Picture
from orchestrator.cli.drawing.svg import graph_svg
from orchestrator.cli.drawing.tree import key_line, tree_lines

SVG = "{http://www.w3.org/2000/svg}"


def picture(**changes: Box) -> Picture:
    boxes = {
        "app": Box(name="app", version="1.1", origin="source", state="to build", reason="script line 3 changed"),
        "lib": Box(name="lib", version="2.0", origin="source", state="in store", bytes=41_000_000, seconds=65.0),
        "base": Box(name="base", version="bookworm", origin="vendor", state="in store", bytes=900),
        "tool": Box(name="tool", version="1", origin="source", state="failed", reason="exit 2"),
        **changes,
    }
    edges = [("app", "lib", "runtime"), ("app", "tool", "build"), ("lib", "base", "runtime"), ("tool", "base", "check")]
    return Picture(
        title="app",
        roots=("app",),
        boxes=tuple(boxes.values()),
        edges=tuple(Edge(source=s, target=t, kind=k) for s, t, k in edges),  # type: ignore[arg-type]
    )


def test_tree() -> None:
    assert list(tree_lines(picture(), colour=False)) == [
        "app 1.1              to build  script line 3 changed",
        "├─ lib 2.0           in store  41 MB  1 min 05 s",
        "│  └─ base bookworm  in store  900 B",
        "└╌ tool 1            failed    exit 2",
        "   └┄ base bookworm  in store  … as above",
    ]


def test_tree_to_a_depth() -> None:
    lines = list(tree_lines(picture(), colour=False, depth=1))
    assert [line.split("  ")[-1] for line in lines] == ["script line 3 changed", "… needs one more", "… needs one more"]


def test_tree_on_a_narrow_terminal_cuts_reasons_not_names() -> None:
    lines = list(tree_lines(picture(), colour=False, width=40))
    assert max(map(len, lines)) <= 40
    assert lines[0] == "app 1.1              to build  script l…"
    assert lines[-1] == "   └┄ base bookworm  in store  …"


def test_colours_change_no_word() -> None:
    plain = list(tree_lines(picture(), colour=False))
    coloured = list(tree_lines(picture(), colour=True))
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured] == plain
    assert "\x1b[1;31mfailed" in coloured[3]
    assert all(line.count("\x1b[") % 2 == 0 for line in coloured)


def test_a_reason_cannot_steer_the_terminal() -> None:
    odd = picture(tool=Box(name="tool", state="failed", reason="a\x1b[2J\nb\r\x9b31mc"))
    text = "\n".join(tree_lines(odd, colour=False))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert len(text.splitlines()) == 5


def test_the_key_names_what_is_there() -> None:
    assert key_line(picture()) == "── runs with   ╌╌ only built with   ┄┄ checked with"
    assert key_line(Picture(title="", roots=("a",), boxes=(Box(name="a"),), edges=())) == ""


def test_dot() -> None:
    text = dot(picture())
    assert '"lib" [label="lib 2.0\\nin store · 41 MB · 1 min 05 s"' in text
    assert '"app" -> "tool" [style=dashed' in text
    assert '"tool" -> "base" [style=dotted' in text


def test_mermaid() -> None:
    assert mermaid(picture()).splitlines() == [
        "flowchart LR",
        '  n0["app 1.1<br/>to build"]:::to_build',
        '  n1["lib 2.0<br/>in store · 41 MB · 1 min 05 s"]:::in_store',
        '  n2["base bookworm<br/>in store · 900 B"]:::in_store',
        '  n3["tool 1<br/>failed"]:::failed',
        "  n0 --> n1",
        "  n0 -.-> n3",
        "  n1 --> n2",
        "  n3 -. check .-> n2",
        "  classDef to_build stroke:#218bff,stroke-width:2px",
        "  classDef in_store stroke:#2da44e,stroke-width:2px",
        "  classDef failed stroke:#e5484d,stroke-width:2px",
    ]


def test_svg() -> None:
    root = ElementTree.fromstring(graph_svg(picture()))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert {"app 1.1", "lib 2.0", "in store · 41 MB · 1 min 05 s", "2 in store", "runs with"} <= set(texts)
    titles = {title.text for title in root.iter(f"{SVG}title")}
    assert "app 1.1 (source)\nto build: its sources are there\nscript line 3 changed" in titles
    assert "app is only built with tool" in titles
    assert "prefers-color-scheme:dark" in "".join(style.text or "" for style in root.iter(f"{SVG}style"))


def test_svg_in_a_page_brings_no_style_and_no_legend() -> None:
    root = ElementTree.fromstring(graph_svg(picture(), alone=False))
    assert root.find(f"{SVG}style") is None
    assert "2 in store" not in ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_every_state_has_a_colour() -> None:
    text = graph_svg(picture())
    for state in STATES:
        assert text.count(f"--{state.replace(' ', '-')}:") == 2  # light and dark


ODD = st.text(max_size=30) | st.sampled_from(
    ['"', "</title><script>alert(1)</script>", "]]>", "\\", "\\n", "end", "`#;"]
)


@settings(max_examples=150, deadline=None)
@given(ODD, ODD, ODD)
def test_no_name_breaks_the_svg(name: str, version: str, reason: str) -> None:
    odd = Picture(
        title=name,
        roots=("a",),
        boxes=(Box(name="a", version=version, reason=reason), Box(name=f"x{name}", version=version)),
        edges=(Edge(source="a", target=f"x{name}", kind="build"),),
    )
    text = graph_svg(odd)
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert len(list(root.iter(f"{SVG}rect"))) >= 4
    assert not list(root.iter(f"{SVG}script"))


@settings(max_examples=100, deadline=None)
@given(ODD, ODD)
def test_no_name_breaks_dot_or_mermaid(name: str, version: str) -> None:
    odd = Picture(
        title=name,
        roots=("a",),
        boxes=(Box(name="a", version=version), Box(name=f"x{name}", version=version)),
        edges=(Edge(source="a", target=f"x{name}", kind="build"),),
    )
    # Every line of dot is a statement whose strings end where they should.
    string = r'"(?:[^"\\]|\\.)*"'
    for line in dot(odd).splitlines()[2:-1]:
        assert re.fullmatch(rf"  {string}(?: -> {string})? \[(?:\w+=(?:{string}|[\w.]+)(?:, )?)+\];", line), line
    for line in mermaid(odd).splitlines()[1:3]:
        assert re.fullmatch(r'  n\d\["[^"]*"\]:::\w+', line), line


def test_graphviz_reads_it() -> None:
    assert shutil.which("dot"), "Graphviz is not installed: make test installs it"
    odd = picture(app=Box(name="app", version='1"\\<b>&\n`', state="to build"))
    done = subprocess.run(["dot", "-Tplain"], input=dot(odd), capture_output=True, text=True, check=True)
    assert done.stdout.count("\nnode ") == 4
    assert done.stdout.count("\nedge ") == 4
