"""What a change leads to: for each kind of change exactly the steps that ran, no more and no fewer.

`Project.build` also asserts that `orch plan` had foretold them and changed nothing in the store.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from projects import BASE, NOTHING, Project, listing, outcomes, remove, work

pytestmark = pytest.mark.integration

BOTH = ("nixl", "consumer")
RECIPES = (BASE, "rdma", "cuda", "fabric", "ucx", "nixl", "consumer")


def test_an_empty_store_gets_everything_once_and_then_nothing(fresh: Project) -> None:
    assert fresh.build(*BOTH) == work(built=RECIPES, checked=["fabric", "nixl", "consumer"])
    before = listing(fresh.store)
    result = fresh.done("build", *BOTH, "--json")
    assert outcomes(result.document) == NOTHING
    assert result.err == ""
    assert listing(fresh.store) == before


def test_comments_in_recipes_do_nothing(stack: Project) -> None:
    for name in RECIPES:
        stack.recipe(name).write_text("# a comment\n" + stack.recipe(name).read_text() + "\n# another\n")
    assert stack.build(*BOTH) == NOTHING


def test_summaries_and_licences_do_nothing(stack: Project) -> None:
    for name in RECIPES:
        new = re.sub(r'^(summary|licence) = "', r'\1 = "New, ', stack.recipe(name).read_text(), flags=re.MULTILINE)
        assert new.count("New, ") == 2
        stack.recipe(name).write_text(new.replace("\nlicence", '\nhomepage = "https://example.org/"\nlicence'))
    assert stack.build(*BOTH) == NOTHING


def test_an_equivalent_line_in_a_script_is_built_and_cut_off(stack: Project) -> None:
    stack.edit("fabric", "mkdir -p ", "mkdir --parents ")
    assert stack.build(*BOTH) == work(built=["fabric"], same=["consumer"])
    assert stack.build(*BOTH) == NOTHING


def test_a_changed_flag_reaches_what_builds_with_it_and_the_checks_of_what_runs_with_it(stack: Project) -> None:
    stack.edit("fabric", "--enable-efa", "--enable-efa=yes")
    assert stack.build(*BOTH) == work(built=["fabric", "consumer"], checked=["fabric", "consumer", "nixl"])
    stack.edit("fabric", "--enable-efa=yes", "--enable-efa")
    assert stack.build(*BOTH) == NOTHING


def test_an_option_is_a_flag_to_and_fro(stack: Project) -> None:
    on = stack.build(*BOTH, "--set", "fabric.verbs=on")
    assert on == work(built=["fabric", "consumer"], checked=["fabric", "consumer", "nixl"])
    assert stack.build(*BOTH) == NOTHING
    assert stack.build(*BOTH, "--set", "fabric.verbs=on") == NOTHING


def test_a_changed_source_is_a_change(stack: Project) -> None:
    old = stack.recipe("fabric").read_text().split('sha256 = "')[1][:64]
    new = stack.tarball("fabric", "fabric-2.1.0.tar", {"fabric-2.1.0/fabric.c": b"long fabric(void);\n"})
    stack.edit("fabric", old, new)
    did = stack.build(*BOTH)
    assert did.built == {"fabric", "consumer"}
    assert did.checked == {"fabric", "nixl", "consumer"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("nixl", "test -s ", "test -r /opt/nixl/version -a -s "),
        ("fabric", "grep verbs ", "grep -e verbs "),
        ("consumer", "test ", "test -e /opt/consumer -a "),
    ],
)
def test_a_changed_check_line_is_that_check(stack: Project, name: str, old: str, new: str) -> None:
    stack.edit(name, old, new)
    assert stack.build(*BOTH) == work(checked=[name])
    assert stack.build(*BOTH) == NOTHING


def test_a_changed_environment_is_checked_with_and_builds_nothing(stack: Project) -> None:
    stack.edit("fabric", "env = { ", 'env = { FABRIC_LOG = "1", ')
    assert stack.build(*BOTH) == work(checked=["fabric", "nixl", "consumer"])


def test_cuda_13_is_a_closure_of_its_own_and_going_back_is_free(stack: Project) -> None:
    # fabric has cuda as a build input and comes out the same; its runtime closure is another, so it is checked.
    assert stack.build("nixl", "--set", "cuda=13") == work(built=["cuda", "fabric"], checked=["fabric", "nixl"])
    assert stack.build("nixl") == NOTHING
    assert stack.build("nixl", "--set", "cuda=12") == NOTHING
    assert stack.build("nixl", "--set", "cuda=13") == NOTHING
    # What fabric runs with is there too when consumer is built from it.
    assert stack.build("consumer", "--set", "cuda=13") == work(built=["consumer"], checked=["consumer"])


def test_another_nixl_is_nixl_and_the_ucx_that_comes_with_it(stack: Project) -> None:
    assert stack.build("nixl", "--set", "nixl.version=1.0.1") == work(built=["nixl", "ucx"], checked=["nixl"])
    closure = stack.done("build", "nixl", "--set", "nixl.version=1.0.1", "--json").document["goals"]
    assert [(goal["name"], goal["version"]) for goal in closure] == [("nixl", "1.0.1")]
    assert stack.build("nixl") == NOTHING


def test_a_ucx_named_by_the_user_beats_the_one_that_comes_along(stack: Project) -> None:
    result = stack.orch("build", "nixl", "--set", "ucx.version=1.23.0", "--json")
    assert result.status == 1
    assert result.document["error"]["what"] == "checking nixl 1.4.1 failed"
    assert stack.object("ucx", "--set", "ucx.version=1.23.0").is_dir()


def test_an_option_that_nobody_reads_is_refused_and_who_reads_it_is_said(stack: Project) -> None:
    result = stack.orch("build", "rdma", "--set", "cuda=13", "--json")
    assert result.status == 3
    error = result.document["error"]
    assert error["what"] == "nothing in the closure of rdma reads cuda"
    assert "cuda 12.9" in error["why"]
    assert "cuda 13.0" in error["why"]
    assert error["hint"] == "leave out --set cuda=13"
    before = listing(stack.store)
    assert stack.orch("build", "ucx", "--set", "fabric.verbs=on").status == 3
    assert listing(stack.store) == before


@pytest.mark.parametrize("name", ["nixl", "fabric", "ucx", BASE])
def test_a_deleted_output_alone_is_made_again(stack: Project, name: str) -> None:
    gone = stack.object(name, "--set", "ucx.version=1.22.0") if name == "ucx" else stack.object(name)
    remove(gone)
    assert stack.build(*BOTH) == work(built=[name])
    assert gone.is_dir()
    assert stack.build(*BOTH) == NOTHING


def test_a_deleted_output_that_nothing_needs_is_not_made_again(stack: Project) -> None:
    # rdma is in the runtime closure, so a goal is whole only with it; consumer's own goal never needs ucx.
    remove(stack.object("nixl"))
    assert stack.build("consumer") == NOTHING


def damage(file: Path) -> None:
    """Flip one bit; in a new file, since stores share theirs."""
    data = bytearray(file.read_bytes())
    mode = file.stat().st_mode
    data[len(data) // 2] ^= 1
    home = file.parent.stat().st_mode
    file.parent.chmod(0o755)
    file.unlink()
    file.write_bytes(data)
    file.chmod(mode)
    file.parent.chmod(home)


@pytest.mark.parametrize(
    ("name", "file"), [("rdma", "usr/lib/rdma/librdma"), ("cuda", "usr/local/cuda/version"), (BASE, "usr/bin/sed")]
)
def test_a_damaged_input_is_noticed_put_aside_and_made_again(stack: Project, name: str, file: str) -> None:
    home = stack.object(name)
    good = (home / "tree" / file).read_bytes()
    damage(home / "tree" / file)
    stack.edit("fabric", "--enable-efa", "--enable-efa=yes")  # so that something is built from it
    result = stack.done("build", *BOTH, "--json")
    assert outcomes(result.document).built == {name, "fabric", "consumer"}
    note = f"note: {name}: the stored output is damaged ({file}: content differs); put aside and made again"
    assert note in result.err.splitlines()
    assert (home / "tree" / file).read_bytes() == good
    aside = [path for path in (stack.store / "corrupt").iterdir() if path.is_dir()]
    assert len(aside) == 1
    assert (aside[0] / "tree" / file).read_bytes() != good
    assert file in aside[0].with_name(f"{aside[0].name}.why").read_text()
    assert stack.build(*BOTH) == NOTHING


def test_a_damaged_manifest_is_noticed_too(stack: Project) -> None:
    damage(stack.object("rdma") / "manifest.json")
    stack.edit("fabric", "--enable-efa", "--enable-efa=yes")
    assert outcomes(stack.done("build", *BOTH, "--json").document).built == {"rdma", "fabric", "consumer"}


def test_a_damaged_record_costs_a_look_and_no_more(stack: Project) -> None:
    for record in (stack.store / "goals").glob("*.json"):
        damage(record)
    assert outcomes(stack.done("build", *BOTH, "--json").document) == NOTHING
    assert stack.build(*BOTH) == NOTHING
