"""What is asked of a store made by hand: choosing one, what leads where, what things take, what runs were spared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes
from orchestrator.errors import UsageError
from orchestrator.store import (
    BuildRecord,
    ClosureItem,
    Goal,
    Layout,
    Realisation,
    StepRecord,
    holding,
    publish_tree,
    read_manifest,
    staging,
    write_goal,
    write_realisation,
)
from orchestrator.store.account import by_component, by_root, spared
from orchestrator.store.contents import changes, resolve, rows
from orchestrator.store.index import open_index
from orchestrator.store.keep import pin
from orchestrator.store.links import Links, read_links
from orchestrator.store.questions import Entry, entries, keepers, kept_text, source_entries
from orchestrator.store.select import Chosen, choose
from orchestrator.tree import scan


def key_of(name: str, version: str = "1") -> Digest:
    return blake3_bytes(f"derivation {name} {version}".encode())


def publish(layout: Layout, files: dict[str, str]) -> Digest:
    with staging(layout, "made") as room:
        tree = room / "tree"
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                (tree / path).symlink_to(text[3:])
            else:
                (tree / path).write_text(text)
        return publish_tree(layout, tree, scan(tree))


def make(
    layout: Layout,
    name: str,
    *,
    version: str = "1",
    build: tuple[str, ...] = (),
    runtime: tuple[str, ...] = (),
    origin: str = "source",
    options: dict[str, str] | None = None,
    finished: float = 100.0,
    size: int = 1000,
    sources: tuple[str, ...] = (),
) -> Digest:
    """An object of `size` bytes with its records; inputs are of version 1."""
    output = publish(layout, {f"usr/{name}": f"{name} {version} {options}".ljust(size, ".")})
    document = {
        "builder": "script",
        "inputs": {one: str(key_of(one)) for one in build},
        "options": options or {},
        "sources": [{"file_name": one, "sha256": one} for one in sources],
    }
    kinds = [("derivation", key_of(name, version))]
    if build:  # with no inputs both keys are the same
        kinds.append(("build", blake3_bytes(f"build {name} {version}".encode())))
    for kind, key in kinds:
        write_realisation(
            layout,
            Realisation(
                key=key,
                kind=kind,  # type: ignore[arg-type]
                name=name,
                version=version,
                document=document,
                output=output,
                seconds=60.0,
                finished=finished,
                origin=origin,
                runtime={one: str(key_of(one)) for one in runtime},
            ),
        )
    return output


def finish(layout: Layout, goal: str, closure: dict[str, Digest], *, old: bool = False, number: int = 0) -> None:
    items = tuple(
        ClosureItem(name, "1", "vendor", digest, None if old else key_of(name)) for name, digest in closure.items()
    )
    key = blake3_bytes(f"goal {goal} {number}".encode())
    done = Goal(key=key, goal=goal, options=(), output=items[-1].digest, closure=items, finished=100.0 + number)
    write_goal(layout, done)


@pytest.fixture
def stack(layout: Layout) -> Layout:
    """nixl needs ucx, ucx needs rdma, all need base; gcc built ucx and is needed by nothing at run time."""
    base = make(layout, "base", origin="vendor", sources=("ab" * 32,))
    make(layout, "gcc", build=("base",), runtime=("base",), size=5000)
    rdma = make(layout, "rdma", build=("base",), runtime=("base",))
    ucx = make(layout, "ucx", build=("gcc", "rdma"), runtime=("base", "rdma"))
    nixl = make(layout, "nixl", build=("gcc",), runtime=("base", "rdma", "ucx"), options={"cuda": "12"})
    finish(layout, "nixl", {"base": base, "rdma": rdma, "ucx": ucx, "nixl": nixl})
    return layout


def chosen(layout: Layout, text: str) -> Chosen:
    with open_index(layout) as index:
        return choose(layout, index, text)


def by_name(layout: Layout) -> dict[str, Entry]:
    with open_index(layout) as index:
        return {one.name: one for one in entries(layout, index)}


def links_of(layout: Layout) -> Links:
    with open_index(layout) as index:
        return read_links(index)


# -- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_says_what_it_is_and_what_keeps_it(stack: Layout) -> None:
    lonely = make(stack, "lonely", origin="", size=77)
    os.utime(stack.objects / lonely.hex, (50, 50))
    found = by_name(stack)
    nixl = found["nixl"]
    assert (nixl.kind, nixl.version, nixl.origin, nixl.options) == ("build", "1", "source", (("cuda", "12"),))
    assert (nixl.key, nixl.bytes, nixl.files, nixl.made) == (key_of("nixl").hex, 1000, 1, 100.0)
    assert nixl.kept == ("goal nixl",)
    assert found["gcc"].kept == ("goal nixl",)  # the newest result keeps what it was built with
    assert (found["lonely"].kept, found["lonely"].origin, found["lonely"].used) == ((), "unknown", 50.0)


def test_an_object_without_a_record_is_unknown_but_its_root_may_name_it(layout: Layout) -> None:
    output = publish(layout, {"file": "text"})
    assert [(one.name, one.origin, one.made) for one in by_name(layout).values()] == [("unknown", "unknown", None)]
    pin(layout, "mine", {output.hex: "system"}, {})
    assert by_name(layout)["system"].kept == ("pin mine",)


def test_of_several_derivations_that_led_to_an_object_the_newest_names_it(layout: Layout) -> None:
    output = make(layout, "lib", finished=20)
    for version, finished in (("0", 10.0), ("2", 30.0), ("3", 25.0)):
        one = Realisation(
            key=key_of("lib", version), kind="derivation", name="lib", version=version, document={}, output=output,
            seconds=1.0, finished=finished, origin="source",
        )  # fmt: skip
        write_realisation(layout, one)
    assert (by_name(layout)["lib"].version, by_name(layout)["lib"].made) == ("2", 30.0)
    assert chosen(layout, output.hex).label == "lib 2"


def test_an_old_record_takes_its_origin_from_a_goal(layout: Layout) -> None:
    output = make(layout, "old", origin="")
    finish(layout, "old", {"old": output}, old=True)
    assert by_name(layout)["old"].origin == "vendor"


def test_what_a_running_command_needs_is_kept_by_it(layout: Layout) -> None:
    from orchestrator.store import has_object

    output = make(layout, "tool")
    with holding(layout):
        has_object(layout, output)
        with open_index(layout) as index:
            assert keepers(layout, index)[1][output.hex] == [f"running command {os.getpid()}"]
    assert by_name(layout)["tool"].kept == ()


def test_kept_text() -> None:
    assert [kept_text(labels) for labels in ((), ("goal a",), ("image b", "goal a", "goal c"))] == [
        "",
        "goal a",
        "image b +2",
    ]


def test_sources_of_a_kept_base_are_kept_though_it_has_but_one_record(stack: Layout, tmp_path: Path) -> None:
    for name in ("ab" * 32, "cd" * 32):
        (stack.sources / name).write_bytes(b"12345")
    with open_index(stack) as index:
        found = {one.hex: one for one in source_entries(stack, index)}
    assert found["ab" * 32].kept == ("source of base",)
    assert found["cd" * 32].kept == ()
    assert found["cd" * 32].bytes == 5


# -- choosing ---------------------------------------------------------------------------------------------------------


def test_a_name_is_the_newest_that_is_still_there(layout: Layout) -> None:
    make(layout, "ucx", version="1", finished=10)
    second = make(layout, "ucx", version="2", finished=20, options={"cuda": "12"})
    third = make(layout, "ucx", version="2.1", finished=30)
    assert chosen(layout, "ucx").hex == third.hex
    (layout.objects / third.hex).chmod(0o755)
    (layout.objects / third.hex).rename(layout.stage / "gone")
    assert chosen(layout, "ucx").hex == second.hex
    assert chosen(layout, "ucx@cuda=12").hex == chosen(layout, "ucx@2,cuda=12").hex == second.hex
    assert chosen(layout, "ucx@1").label == "ucx 1"
    with pytest.raises(UsageError, match="no longer in the store") as gone:
        chosen(layout, "ucx@2.1")
    assert "orch build ucx --set ucx.version=2.1" in gone.value.hint


def test_a_wheel_needs_no_prefix(layout: Layout) -> None:
    wheel = make(layout, "wheel:torch", version="2")
    assert (
        chosen(layout, "torch").hex == chosen(layout, "wheel:torch").hex == chosen(layout, "torch@2").hex == wheel.hex
    )
    recipe = make(layout, "torch", version="1")
    assert chosen(layout, "torch").hex == recipe.hex


def test_digests_keys_and_paths_choose(stack: Layout, tmp_path: Path) -> None:
    ucx = chosen(stack, "ucx")
    link = tmp_path / "result"
    link.symlink_to(stack.objects / ucx.hex / "tree")
    texts = [
        ucx.hex,
        ucx.hex[:8],
        f"blake3:{ucx.hex}",
        key_of("ucx").hex[:12],
        blake3_bytes(b"build ucx 1").hex,
        str(stack.objects / ucx.hex),
        str(stack.objects / ucx.hex / "tree" / "usr" / "ucx"),
        str(link),
    ]
    assert {chosen(stack, text).hex for text in texts} == {ucx.hex}


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("nixll", "nothing in this store was made of 'nixll'", "did you mean nixl?"),
        ("nixl@9", "there is no nixl@9", "orch cache ls"),
        ("nixl@cuda=13", "there is no nixl@cuda=13", "orch cache ls"),
        ("/nowhere/else", "is no object of this store", "begins with"),
        ("0123456789abcdef", "no object or key in this store begins with", "--json"),
    ],
)
def test_what_is_unknown_is_an_error_with_a_way_on(stack: Layout, text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen(stack, text)
    assert what in error.value.what
    assert hint in error.value.hint


def test_a_beginning_of_several_is_refused_and_they_are_listed(layout: Layout) -> None:
    alike = ["abcd" + digit * 60 for digit in "01"]
    for name in alike:
        (layout.objects / name).mkdir()
        (layout.objects / name / "manifest.json").write_text('{"entries": []}')
    with pytest.raises(UsageError, match="begins several") as error:
        chosen(layout, "abcd")
    assert [line.split()[0] for line in error.value.why.splitlines()] == [name[:12] for name in alike]
    assert chosen(layout, "abcd0").hex == alike[0]


# -- links ------------------------------------------------------------------------------------------------------------


def test_references_are_what_nothing_else_of_the_closure_brings(stack: Layout) -> None:
    found, known = links_of(stack).direct(key_of("nixl").hex)
    assert known
    assert [(link.reason, link.name) for link in found] == [("runtime", "ucx"), ("build", "gcc")]


def test_referrers_are_one_step_away(stack: Layout) -> None:
    links = links_of(stack)
    rdma = chosen(stack, "rdma").hex
    assert [(one.name, reason) for one, reason in links.referrers(rdma)] == [("ucx", "runtime"), ("ucx", "build")]
    assert links.referrers(chosen(stack, "nixl").hex) == []


def test_closures(stack: Layout) -> None:
    links = links_of(stack)
    assert set(links.runtime(key_of("nixl").hex) or ()) == {"base", "rdma", "ucx"}
    assert links.runtime(key_of("base").hex) == {}
    assert set(links.build_closure(key_of("ucx").hex).values()) == {"gcc", "rdma", "base"}


def test_why_prefers_what_is_needed_at_run_time(stack: Layout) -> None:
    links = links_of(stack)

    def way(first: str, second: str) -> list[str] | None:
        found = links.why(key_of(first).hex, {chosen(stack, second).hex})
        return None if found is None else [f"{link.reason} {link.name}" for link in found]

    assert way("nixl", "rdma") == ["runtime ucx", "runtime rdma"]
    make(stack, "user", build=("gcc", "rdma"), runtime=("base", "rdma", "ucx"))
    links = links_of(stack)
    assert way("user", "rdma") == ["runtime ucx", "runtime rdma"]  # though it was built with it
    assert way("ucx", "gcc") == ["build gcc"]
    assert way("nixl", "gcc") == ["build gcc"]
    assert way("rdma", "nixl") is None
    assert way("nixl", "nixl") == []


def test_an_old_record_does_not_tell_what_it_needs_unless_a_goal_does(layout: Layout) -> None:
    base = make(layout, "base", origin="")
    lib = make(layout, "lib", origin="", build=("base",))
    links = links_of(layout)
    assert links.runtime(key_of("lib").hex) is None
    found, known = links.direct(key_of("lib").hex)
    assert ([link.reason for link in found], known) == (["build"], False)
    finish(layout, "lib", {"base": base, "lib": lib}, old=True)
    assert links_of(layout).runtime(key_of("lib").hex) == {"base": key_of("base").hex}


# -- contents ---------------------------------------------------------------------------------------------------------


def test_rows_add_up_directories(layout: Layout) -> None:
    digest = publish(layout, {"usr/lib/a": "12345", "usr/lib/b": "123", "usr/c": "1", "etc/d": "12", "usr/l": "-> c"})
    manifest = read_manifest(layout, digest)
    found = {row.entry.path: (row.bytes, row.files) for row in rows(manifest)}
    assert found["usr"] == (9, 3)
    assert found["usr/lib"] == (8, 2)
    assert found["etc/d"] == (2, 1)
    assert [row.entry.path for row in rows(manifest, depth=1)] == ["etc", "usr"]
    assert [row.entry.path for row in rows(manifest, "usr", 1)] == ["usr/c", "usr/l", "usr/lib"]


def test_paths_follow_links_within_the_tree(layout: Layout) -> None:
    digest = publish(
        layout,
        {
            "usr/lib/x.so.1": "x",
            "usr/lib/x.so": "-> x.so.1",
            "lib": "-> usr/lib",
            "opt/abs": "-> /usr/lib/x.so",
            "opt/up": "-> ../../../usr/lib/x.so",
            "loop": "-> loop",
            "out": "-> /etc/passwd",
        },
    )
    manifest = read_manifest(layout, digest)

    def path(text: str) -> str | None:
        entry = resolve(manifest, text)
        return entry.path if entry else None

    for text in ("/lib/x.so", "opt/abs", "opt/up", "/usr/./lib/../lib/x.so.1", "lib/x.so.1"):
        assert path(text) == "usr/lib/x.so.1", text
    assert [path(text) for text in ("loop", "out", "usr/lib/x.so.1/more", "none", "/")] == [None] * 5
    assert path("lib") == "usr/lib"


def test_changes_say_what_came_went_and_changed(layout: Layout) -> None:
    first = read_manifest(layout, publish(layout, {"a/same": "1", "a/new": "1", "gone/deep/file": "1", "l": "-> a"}))
    second = read_manifest(layout, publish(layout, {"a/same": "1", "a/new": "2", "come/file": "1", "l": "-> b"}))
    found = changes(first, second)
    assert [one.path for one in found.added] == ["come/file"]
    assert [one.path for one in found.removed] == ["gone/deep/file"]
    assert [new.path for _, new in found.changed] == ["a/new", "l"]
    assert not found.same
    assert changes(first, first).same


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_shares_say_what_dropping_a_root_would_free(stack: Layout) -> None:
    other = make(stack, "other", size=300)
    old = make(stack, "nixl", version="0", size=40)
    base = chosen(stack, "base")
    finish(stack, "other", {"base": Digest("blake3", base.hex), "other": other})
    finish(stack, "nixl", {"nixl": old}, number=-1)
    with open_index(stack) as index:
        roots, kept = keepers(stack, index)
        sizes = {name: size.bytes for name, size in index.sizes().items()}
    shares = {one.label: one for one in by_root(roots, sizes)}
    assert set(shares) == {"goal nixl (2 results)", "goal other"}
    nixl = shares["goal nixl (2 results)"]
    assert (nixl.alone, nixl.shared) == (5000 + 3 * 1000 + 40, 1000)
    assert (shares["goal other"].alone, shares["goal other"].shared) == (300, 1000)
    held = {one.label: one for one in by_root(roots, sizes, held=[other.hex])}
    assert held["goal other"].alone == 0
    components = by_component({other.hex: "other", old.hex: "nixl"}, {other.hex: 300, old.hex: 40, "ff": 7}, {old.hex})
    assert [(one.label, one.alone, one.shared) for one in components] == [
        ("other", 300, 0),
        ("nixl", 0, 40),
        ("unknown", 7, 0),
    ]
    assert kept[other.hex] == ["goal other"]


def test_spared_counts_what_a_run_needed_and_did_not_build(stack: Layout) -> None:
    output = chosen(stack, "nixl").hex

    def run(*built: str, goal: str = "nixl", outcome: str = "built") -> BuildRecord:
        steps = tuple(
            StepRecord(step=f"build {name}", node=name, outcome=outcome, began=0.0, seconds=7.0) for name in built
        )
        return BuildRecord(
            id="20261122T180000Z-000000", verb="build", goals=(goal,), options=(), words=(), began=1.0, seconds=9.0,
            ending="done", steps=steps, outputs={goal: f"blake3:{output}"},
        )  # fmt: skip

    with open_index(stack) as index:
        links, goals = read_links(index), index.goals()
    told = spared([run("nixl")], links, goals, ())
    assert (told.runs, told.built, told.found, told.unclear) == (1, 1, 4, 0)  # base, rdma, ucx and gcc, which built it
    assert (told.built_seconds, told.spared_seconds) == (7.0, 240.0)
    told = spared([run("nixl"), run("base", "gcc", "rdma", "ucx", "nixl"), run(goal="gone")], links, goals, ())
    assert (told.runs, told.built, told.found, told.unclear) == (3, 6, 4, 1)
    told = spared([run("nixl", "ucx", outcome="identical")], links, goals, ())
    assert (told.built, told.found) == (0, 3)  # what was built again was not spared
