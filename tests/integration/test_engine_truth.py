"""That a result is of the bytes that are there: outputs that differ each time, helper files, damaged sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import BASE, NOTHING, Project, outcomes, remove

pytestmark = pytest.mark.integration

CHANCE = 'mkdir -p "$OUT/opt/chance"; od -An -tx1 -N16 /dev/urandom > "$OUT/opt/chance/f"'
COPY = 'mkdir -p "$OUT/opt/copy"; cp /opt/chance/f "$OUT/opt/copy/f"'


def test_what_was_made_of_bytes_that_are_gone_is_made_again_and_checked(project: Project) -> None:
    project.simple("chance", CHANCE, check="test -s /opt/chance/f")
    project.simple("copy", COPY, build=["chance"], check='[[ "$(< /opt/chance/f)" == "$(< /opt/copy/f)" ]]')
    project.edit("copy", f'runtime = ["{BASE}"]', f'runtime = ["{BASE}", "chance"]')
    first = project.path("copy")
    remove(project.object("chance"))
    did = outcomes(project.done("build", "copy", "--json").document)
    assert did.built == {"chance", "copy"}
    assert did.checked == {"chance", "copy"}
    second = project.path("copy")
    assert second != first
    assert (second / "opt/copy/f").read_text() == (project.object("chance") / "tree/opt/chance/f").read_text()
    assert project.build("copy") == NOTHING


def test_whether_a_helper_can_be_run_is_in_the_key(project: Project) -> None:
    helper = project.recipe("app").with_name("helper")
    project.simple("app", 'mkdir -p "$OUT/opt/app"; cp -p helper "$OUT/opt/app/"')
    project.edit("app", "[build]", '[build]\nfiles = ["helper"]')
    helper.write_text("#!/bin/bash\n")
    helper.chmod(0o644)
    assert (project.path("app") / "opt/app/helper").stat().st_mode & 0o111 == 0
    helper.chmod(0o755)
    assert project.build("app").built == {"app"}
    assert (project.path("app") / "opt/app/helper").stat().st_mode & 0o111 == 0o111


def replaced(stored: Path, content: bytes) -> None:
    """Other content in a stored source; in a new file, since stores share theirs."""
    stored.parent.chmod(0o755)
    stored.unlink()
    stored.write_bytes(content)


def test_a_damaged_source_is_noticed_and_fetched_again(project: Project) -> None:
    sha256 = project.tarball("app", "app.tar", {"app-1/word": b"good\n"})
    pin = f'[[versions."1.0".sources]]\nfrom = "file:app.tar"\nsha256 = "{sha256}"\n'
    project.simple("app", 'mkdir -p "$OUT/opt/app"; cp word "$OUT/opt/app/"', extra=pin)
    project.path("app")
    stored = project.store / "sources/sha256" / sha256
    good = stored.read_bytes()
    replaced(stored, good.replace(b"good", b"evil"))
    remove(project.object("app"))
    result = project.done("build", "app")
    assert "note: file:app.tar: the stored copy is damaged; put aside and fetched again" in result.err
    assert Path(result.out.strip(), "opt/app/word").read_text() == "good\n"
    assert stored.read_bytes() == good


def test_a_failure_with_a_damaged_input_is_nobodys(project: Project) -> None:
    """The script fails because of the damage: it is run again with the input made again, and nothing is kept of it."""
    project.simple("tool", 'mkdir -p "$OUT/opt"; echo good > "$OUT/opt/word"')
    project.simple("app", 'mkdir -p "$OUT/opt/app"; grep good /opt/word > "$OUT/opt/app/word"', build=["tool"])
    project.path("tool")
    replaced(project.object("tool") / "tree/opt/word", b"evil\n")
    result = project.done("build", "app", "--keep-failed")
    assert "note: tool: the stored output is damaged" in result.err
    assert "FAILED" not in result.err
    assert "same bytes      app" not in result.err
    assert Path(result.out.strip(), "opt/app/word").read_text() == "good\n"
    failed = project.store / "failed"
    assert not failed.exists() or not list(failed.iterdir())
    assert "cut off" not in result.err.splitlines()[-1]
