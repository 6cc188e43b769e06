"""What goes and what stays, in stores made by hand: objects of one file, and the records that lead to them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.digest import Digest, blake3_bytes, sha256_file
from orchestrator.errors import MachineError
from orchestrator.store import (
    ClosureItem,
    Goal,
    Layout,
    Realisation,
    add_root,
    add_source,
    has_object,
    hold,
    holding,
    note_asked,
    object_tree,
    publish_tree,
    source_file,
    staging,
    verify_object,
    write_goal,
    write_realisation,
)
from orchestrator.store.gc import Policy, collect
from orchestrator.store.held import running
from orchestrator.store.index import open_index
from orchestrator.store.keep import find_roots, pin, unpin
from orchestrator.store.records import write_record
from orchestrator.tree import scan

DAY = 86400.0


def publish(layout: Layout, name: str, size: int = 1000) -> Digest:
    with staging(layout, name) as room:
        tree = room / "tree"
        tree.mkdir()
        (tree / name).write_text(name.ljust(size, "."))
        return publish_tree(layout, tree, scan(tree))


def realise(
    layout: Layout, name: str, inputs: dict[str, Digest] | None = None, sources: tuple[str, ...] = ()
) -> Digest:
    """An object with the records of its build; its derivation key is `key_of_(name)`."""
    output = publish(layout, name)
    document = {
        "builder": "wheel" if name.startswith("wheel") else "script",
        "inputs": {one: str(derivation_of(one)) for one in inputs or {}},
        "sources": [{"file_name": text, "sha256": text} for text in sources],
    }
    for kind, key in (("build", blake3_bytes(f"build {name}".encode())), ("derivation", derivation_of(name))):
        made = Realisation(
            key=key, kind=kind, name=name, version="1", document=document, output=output, seconds=1,
            finished=time.time(),
        )  # fmt: skip
        write_realisation(layout, made)
    return output


def derivation_of(name: str) -> Digest:
    return blake3_bytes(f"derivation {name}".encode())


def finish(layout: Layout, goal: str, closure: dict[str, Digest], *, finished: float, number: int = 0) -> None:
    items = tuple(ClosureItem(name, "1", "source", digest, derivation_of(name)) for name, digest in closure.items())
    key = blake3_bytes(f"goal {goal} {number}".encode())
    output = items[-1].digest
    write_goal(layout, Goal(key=key, goal=goal, options=(), output=output, closure=items, finished=finished))


def names(layout: Layout) -> set[str]:
    there = [path.name for path in layout.objects.iterdir()]
    with open_index(layout) as index:
        labels = index.labels(there)
    return {labels.get(name, name) for name in there}


def test_a_goal_keeps_its_closure_and_the_newest_what_it_was_built_with(layout: Layout) -> None:
    base = realise(layout, "base")
    compiler = realise(layout, "compiler", {"base": base})
    first = realise(layout, "lib-1", {"compiler": compiler})
    second = realise(layout, "lib-2", {"base": base})
    realise(layout, "orphan")
    finish(layout, "lib", {"base": base, "lib-1": first}, finished=100, number=1)
    finish(layout, "lib", {"base": base, "lib-2": second}, finished=200, number=2)
    collected = collect(layout, Policy())
    assert {one.label for one in collected.removed} == {"compiler", "orphan"}
    assert names(layout) == {"base", "lib-1", "lib-2"}
    finish(layout, "lib", {"base": base, "lib-1": first}, finished=300, number=1)
    realise(layout, "compiler", {"base": base})
    assert collect(layout, Policy()).removed == ()


def test_the_eleventh_result_goes(layout: Layout) -> None:
    for number in range(12):
        output = realise(layout, f"lib-{number}")
        finish(layout, "lib", {f"lib-{number}": output}, finished=100 + number, number=number)
    assert {one.label for one in collect(layout, Policy()).removed} == {"lib-0", "lib-1"}


def test_a_dry_run_changes_nothing_and_says_the_same(layout: Layout) -> None:
    kept = realise(layout, "kept")
    realise(layout, "orphan")
    finish(layout, "kept", {"kept": kept}, finished=1)
    before = sorted(path for path in layout.root.rglob("*") if "index" not in path.parts)
    forecast = collect(layout, Policy(), dry_run=True)
    assert sorted(path for path in layout.root.rglob("*") if "index" not in path.parts and path.name != "gc") == [
        path for path in before if path.name != "gc"
    ]
    assert forecast.survey.kept[kept.hex] == "goal kept"
    assert [one.label for one in forecast.removed] == [one.label for one in collect(layout, Policy()).removed]


def test_a_result_link_keeps_its_closure_as_long_as_it_points_there(layout: Layout, tmp_path: Path) -> None:
    dependency, output = realise(layout, "dependency"), realise(layout, "lib")
    finish(layout, "lib", {"dependency": dependency, "lib": output}, finished=1)
    link = tmp_path / "result"
    add_root(layout, link, output, "lib")
    next(layout.goals.glob("*.json")).unlink()  # only the link keeps it now
    assert {one.label for one in collect(layout, Policy(), dry_run=True).removed} == {"dependency"}
    link.unlink()
    assert {one.label for one in collect(layout, Policy(), dry_run=True).removed} == {"dependency", "lib"}
    link.symlink_to(tmp_path)
    assert {one.label for one in collect(layout, Policy()).removed} == {"dependency", "lib"}


def test_a_pin_keeps_until_it_is_removed(layout: Layout) -> None:
    output = realise(layout, "lib")
    pin(layout, "lib", {output.hex: "lib"}, {})
    with open_index(layout) as index:
        assert [root.label for root in find_roots(layout, index)] == ["pin lib"]
    assert collect(layout, Policy()).removed == ()
    assert unpin(layout, "lib")
    assert not unpin(layout, "lib")
    assert len(collect(layout, Policy()).removed) == 1


def test_what_a_running_command_looked_for_or_made_stays(layout: Layout) -> None:
    found = realise(layout, "found")
    orphan = realise(layout, "orphan")
    with holding(layout):
        assert has_object(layout, found)
        made = publish(layout, "made")
        hold(layout, "object", "00" * 32)
        assert running(layout) == [os.getpid()]
        assert {one.label for one in collect(layout, Policy()).removed} == {"orphan"}
        assert object_tree(layout, made).is_dir()
        assert object_tree(layout, found).is_dir()
        assert not object_tree(layout, orphan).exists()
    assert running(layout) == []
    assert len(collect(layout, Policy()).removed) == 2
    assert list(layout.objects.iterdir()) == []


def test_a_dead_commands_file_keeps_nothing(layout: Layout) -> None:
    output = realise(layout, "lib")
    (layout.roots / "run-1-dead").write_text(f"object {output.hex}\n")
    assert len(collect(layout, Policy()).removed) == 1
    assert list(layout.roots.iterdir()) == []


def test_max_size_takes_what_was_used_least_recently_and_only_as_much(layout: Layout) -> None:
    kept = realise(layout, "kept")
    finish(layout, "kept", {"kept": kept}, finished=1)
    for number in range(5):
        home = layout.object(realise(layout, f"lib-{number}"))
        os.utime(home, (number, number))
    collected = collect(layout, Policy(max_size=4000))
    assert [one.label for one in collected.removed] == ["lib-0", "lib-1"]
    assert (collected.left, collected.missing) == (4000, 0)
    collected = collect(layout, Policy(max_size=500))
    assert names(layout) == {"kept"}
    assert (collected.left, collected.missing) == (1000, 500)


def test_older_than_takes_old_things_and_old_results_but_no_goals_newest(layout: Layout) -> None:
    now = time.time()
    for number, days in enumerate((90, 60, 2)):
        output = realise(layout, f"lib-{number}")
        finish(layout, "lib", {f"lib-{number}": output}, finished=now - days * DAY, number=number)
        os.utime(layout.object(output), (now - days * DAY,) * 2)
    only = realise(layout, "only")
    finish(layout, "only", {"only": only}, finished=now - 90 * DAY)
    os.utime(layout.object(only), (now - 90 * DAY,) * 2)
    realise(layout, "young-orphan")
    assert {one.label for one in collect(layout, Policy(older_than=30 * DAY)).removed} == {"lib-0", "lib-1"}


def test_sources_of_what_is_kept_stay_but_a_wheels_archive_goes(layout: Layout, tmp_path: Path) -> None:
    shas = {}
    for name in ("of-kept", "of-wheel", "of-lost-wheel", "of-nothing", "new"):
        file = tmp_path / name
        file.write_text(name)
        from hashlib import sha256

        shas[name] = sha256(name.encode()).hexdigest()
        add_source(layout, file, sha256=shas[name], names=(f"file:{name}",))
        if name in ("of-kept", "of-nothing"):
            os.utime(layout.sources / shas[name], (1, 1))
    lib = realise(layout, "lib", sources=(shas["of-kept"],))
    wheel = realise(layout, "wheel-x", sources=(shas["of-wheel"],))
    realise(layout, "wheel-lost", sources=(shas["of-lost-wheel"],))
    finish(layout, "lib", {"wheel-x": wheel, "lib": lib}, finished=1)
    gone = {one.path.name for one in collect(layout, Policy()).removed if one.kind == "source"}
    assert gone == {shas["of-wheel"], shas["of-nothing"]}
    assert source_file(layout, shas["of-kept"]) is not None
    assert source_file(layout, shas["new"]) is not None
    assert not (layout.sources / f"{shas['of-wheel']}.json").exists()


def test_records_of_what_is_gone_stay_a_month_so_that_why_can_compare(layout: Layout) -> None:
    realise(layout, "orphan")
    collect(layout, Policy())
    assert len(list(layout.realisations.glob("*.json"))) == 2
    for path in layout.realisations.glob("*.json"):
        made = path.read_bytes()
        assert b'"finished"' in made
    document = Realisation(
        key=derivation_of("old"), kind="derivation", name="old", version="1", document={}, seconds=1,
        output=Digest("blake3", "00" * 32), finished=time.time() - 40 * DAY,
    )  # fmt: skip
    write_realisation(layout, document)
    collect(layout, Policy())
    assert not (layout.realisations / f"{derivation_of('old').hex}.json").exists()
    assert len(list(layout.realisations.glob("*.json"))) == 2


def test_a_killed_collection_leaves_what_the_next_removes(layout: Layout) -> None:
    kept = realise(layout, "kept")
    finish(layout, "kept", {"kept": kept}, finished=1)
    trash = layout.stage / "trash-killed"
    (trash / "gone").mkdir(parents=True)
    layout.object(realise(layout, "orphan")).chmod(0o755)
    next(path for path in layout.objects.iterdir() if path.name != kept.hex).rename(trash / "gone" / "0")
    collect(layout, Policy())
    assert not trash.exists()
    assert [path.name for path in layout.objects.iterdir()] == [kept.hex]


def test_what_a_killed_command_began_to_write_into_the_index_goes_after_a_day(layout: Layout) -> None:
    index = layout.root / "index"
    for name, age in (("outputs.12-0a1b2c3d", 2), ("outputs.13-0a1b2c3d", 0), ("recipes-0a1b2c3d4e5f6071", 2)):
        (index / name).touch()
        os.utime(index / name, (time.time() - age * DAY,) * 2)
    collect(layout, Policy(), dry_run=True)
    assert len(list(index.glob("*0a1b2c3d*"))) == 3
    collect(layout, Policy())
    assert {path.name for path in index.glob("*0a1b2c3d*")} == {"outputs.13-0a1b2c3d", "recipes-0a1b2c3d4e5f6071"}


def test_an_index_that_is_damaged_or_gone_is_made_again(layout: Layout) -> None:
    kept = realise(layout, "kept")
    finish(layout, "kept", {"kept": kept}, finished=1)
    file = layout.root / "index" / "index.sqlite"
    for data in (None, b"", b"nonsense" * 1000, b"SQLite format 3\0" + b"\xff" * 5000):
        if data is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(data)
        with open_index(layout) as index:
            assert index.sizes()[kept.hex].bytes == 1000
            assert [goal.goal for goal in index.goals()] == ["kept"]
            assert {facts.kind for facts in index.facts(name="kept")} == {"build", "derivation"}


def test_the_index_sees_what_came_went_and_was_replaced(layout: Layout) -> None:
    first = realise(layout, "first")
    with open_index(layout) as index:
        assert set(index.sizes()) == {first.hex}
    second = realise(layout, "second")
    collect(layout, Policy(max_size=0))
    with open_index(layout) as index:
        assert index.sizes() == {}
        assert {facts.name for facts in index.facts("build")} == {"first", "second"}
    assert first != second
    again = realise(layout, "first")
    assert again == first
    with open_index(layout) as index:
        assert set(index.sizes()) == {first.hex}


def test_an_object_that_is_damaged_is_replaced_by_the_same_made_again(layout: Layout) -> None:
    digest = publish(layout, "lib")
    file = object_tree(layout, digest) / "lib"
    file.chmod(0o644)
    file.write_text("EVIL".ljust(1000, "."))
    assert publish(layout, "lib") == digest
    assert verify_object(layout, digest) == []
    assert file.read_text().startswith("lib")


def test_a_source_supplied_by_hand_stays_a_year_even_of_a_wheel(layout: Layout, tmp_path: Path) -> None:
    file = tmp_path / "pkg.whl"
    file.write_text("wheel")
    sha256 = sha256_file(file).hex
    add_source(layout, file, sha256=sha256, names=("pypi:pkg/pkg.whl",), by_hand=True)
    add_source(layout, file, sha256=sha256, names=("pypi:pkg/pkg.whl",))  # asked for again, it is still that
    wheel = realise(layout, "wheel-pkg", sources=(sha256,))
    finish(layout, "wheel-pkg", {"wheel-pkg": wheel}, finished=1)
    os.utime(layout.sources / sha256, (time.time() - 100 * DAY,) * 2)
    assert collect(layout, Policy()).removed == ()
    os.utime(layout.sources / sha256, (time.time() - 400 * DAY,) * 2)
    assert [one.path.name for one in collect(layout, Policy()).removed] == [sha256]


def test_a_result_that_was_asked_for_again_is_not_the_oldest(layout: Layout) -> None:
    for number in range(12):
        output = realise(layout, f"lib-{number}")
        finish(layout, "lib", {f"lib-{number}": output}, finished=100 + number, number=number)
    oldest = blake3_bytes(b"goal lib 0").hex
    (layout.answers / "question").write_text(f"orch answer 1\nsame 1:2:3 {layout.goals}/{oldest}.json\n")
    note_asked(layout, [blake3_bytes(b"goal lib 1")])
    assert {one.label for one in collect(layout, Policy()).removed} == {"lib-2", "lib-3"}


def test_a_link_that_cannot_be_read_stops_the_collection(layout: Layout, tmp_path: Path) -> None:
    link = tmp_path / ("x" * 300)  # ENAMETOOLONG, whoever asks
    write_record(layout, layout.roots / "link.json", {"link": str(link), "label": "lib"})
    realise(layout, "orphan")
    with pytest.raises(MachineError):
        collect(layout, Policy())
    assert len(list(layout.objects.iterdir())) == 1


def test_a_dry_run_needs_no_right_to_write(layout: Layout) -> None:
    realise(layout, "orphan")
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if "index" not in path.parts}
    assert len(collect(layout, Policy(), dry_run=True).removed) == 1
    after = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if "index" not in path.parts}
    assert after == before
