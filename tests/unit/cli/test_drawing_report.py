"""The report's page: what it tells, that it needs nothing else, and that nothing in a log or a name can change it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.drawing.facts import Facts, ImageFacts, LayerFacts, RunFacts, StepFacts
from orchestrator.cli.drawing.picture import Box, Picture
from orchestrator.cli.drawing.report_page import report_page

VOID = {"meta", "rect", "path", "line", "br"}


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def step(name: str, **changes: object) -> StepFacts:
    one = StepFacts(
        step=name,
        version="1.0",
        outcome="built",
        began=0.0,
        seconds=4.0,
        expected=5.0,
        reason="script line 3 changed",
        detail="",
        log="logs/x/1.log",
        tail=("first", "last"),
        cut=True,
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def facts(*steps: StepFacts, **changes: object) -> Facts:
    run = RunFacts(
        id="20261122T000000Z-00000a",
        verb="build",
        goals=("app",),
        command="orch build app --set cuda=13",
        began=1795388000.0,
        seconds=9.0,
        ending="done",
        expected=12.0,
        jobs=2,
        cores=4,
        fetched=41_000_000,
        fetching=3.0,
        steps=steps,
        needs={"check app": frozenset({"build app"})},
    )
    picture = Picture(
        title="app", roots=("app",), boxes=(Box(name="app", state="in store", bytes=5_000_000),), edges=()
    )
    one = Facts(run=run, image=None, picture=picture, no_picture="", store="/store")
    return replace(one, **changes)  # type: ignore[arg-type]


IMAGE = ImageFacts(
    name="serving",
    version="1",
    manifest="sha256:00",
    layers=(LayerFacts(name="base", bytes=30_000_000, unpacked=100_000_000, components=("debian", "libc")),),
    sizes=(("debian 12", 99_000_000), ("torch 2.9", 1_000_000_000)),
    unpacked=1_100_000_000,
    waived=("needed: /usr/x",),
    off=(),
)


def test_what_a_run_did() -> None:
    text = Page(
        report_page(
            facts(
                step("build app"),
                step("check app", began=4.1, outcome="checked", expected=None),
                step("build lib", outcome="same", seconds=0.0, saved=52.0, detail="inputs came out the same", log=""),
            )
        )
    ).text
    assert "orch build app done 2026-11-22" in text
    assert "orch build app --set cuda=13" in text
    for fact in (
        "took 9.0 s",
        "forecast 12 s",
        "not run 1",
        "saved 52 s",
        "fetched 41 MB in 3.0 s",
        "jobs, cores 2, 4",
    ):
        assert fact in text
    assert "The critical path, marked: build app → check app; 8.0 s of 9.0 s." in text
    assert "build app 1.0 ◆ built 4.0 s 5.0 s script line 3 changed" in text
    assert "build lib 1.0 52 s inputs came out the same" in text
    assert "logs/x/1.log … first last" in text
    assert "app 5.0 MB" in text


def test_what_failed_comes_first_and_is_open() -> None:
    page = report_page(facts(step("build app", outcome="failed", detail="exit 2"), step("build lib")))
    assert page.index("<h2>Failed</h2>") < page.index("<h2>Timeline</h2>")
    assert page.count("<details open>") == 1
    assert "build app 1.0: failed, 4.0 s exit 2 logs/x/1.log … first last" in Page(page).text


def test_an_image() -> None:
    text = Page(report_page(facts(run=None, image=IMAGE, picture=None, no_picture="It is not drawn: no recipe."))).text
    for fact in ("serving 1 made", "to pull 30 MB", "base 30 MB 100 MB 2", "waived: needed: /usr/x", "no recipe."):
        assert fact in text
    assert text.index("torch 2.9 1.0 GB") < text.index("debian 12 99 MB")
    assert "Timeline" not in text
    assert "serving 1" in Page(report_page(facts(step("build app"), image=IMAGE))).text


def test_it_needs_nothing_else() -> None:
    page = report_page(facts(step("build app"), image=IMAGE))
    read = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name in ("src", "href") or name.startswith("on")]
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert 'name="viewport"' in page
    assert page.count("prefers-color-scheme:dark") == 2  # the page's own and the graph's


def test_long_lists_are_folded() -> None:
    page = report_page(facts(*(step(f"build n{number}", began=float(number)) for number in range(100))))
    assert "80 more" in Page(page).text  # steps, and logs
    assert page.count(">80 more<") == 2


ODD = st.text(max_size=40) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</pre></details><script>",
        '" onload="x',
        "' onload='x",
        "\x1b[31m\x9b\u202e\r",
        "&lt;",
    ]
)


@settings(max_examples=150, deadline=None)
@given(ODD, ODD, ODD)
def test_nothing_in_a_log_or_a_name_changes_the_page(name: str, line: str, reason: str) -> None:
    plain = Page(report_page(facts(step("build x"), image=IMAGE)))
    odd_step = step(f"build {name}", version=line, reason=reason, detail=line, log=f"logs/{name}", tail=(line, name))
    odd_image = replace(IMAGE, name=name, manifest=line, sizes=((name, 5), (line, 4)), waived=(reason,))
    picture = Picture(
        title=name, roots=("a",), boxes=(Box(name="a", version=name, state="in store", bytes=1, reason=line),), edges=()
    )
    made = facts(odd_step, image=odd_image, picture=picture, store=line)
    assert made.run is not None
    page = report_page(replace(made, run=replace(made.run, goals=(name,), command=line)))
    read = Page(page)
    assert not read.open
    assert set(read.tags) <= set(plain.tags)
    assert not [one for one, _ in read.attributes if one.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
