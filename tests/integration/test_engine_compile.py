"""One real compile: the repository's own hwloc on the repository's own bases, from the .debs and the sources up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import NOTHING, REPOSITORY, Project, listing, outcomes, remove

pytestmark = pytest.mark.integration


@pytest.fixture
def repository(sandboxes: None, tmp_path: Path) -> Iterator[Project]:
    """The repository, with the store that ORCH_TEST_STORE names or one that is empty and removed at the end."""
    own = tmp_path / "store"
    yield Project(root=REPOSITORY, store=Path(os.environ.get("ORCH_TEST_STORE") or own))
    if own.exists():
        remove(own)


def test_hwloc_is_compiled_and_then_there(repository: Project) -> None:
    result = repository.orch("build", "hwloc", "--json", timeout=1500)
    assert result.status == 0, result.err
    did = outcomes(result.document)
    assert did.built <= {"debian-build", "debian-runtime", "hwloc"}
    (goal,) = result.document["goals"]
    assert (goal["name"], goal["origin"]) == ("hwloc", "source")
    prefix = Path(goal["path"]) / "usr/local/hwloc"
    assert (prefix / "bin/lstopo-no-graphics").stat().st_mode & 0o777 == 0o555
    assert (prefix / "lib/libhwloc.so.15").is_symlink()
    assert (prefix / "include/hwloc.h").is_file()
    assert (prefix / "lib/libhwloc.so.15").resolve().read_bytes()[:4] == b"\x7fELF"
    assert not list(prefix.rglob("*.la"))

    before = listing(repository.store / "realisations")
    again = repository.done("build", "hwloc", "--json")
    assert outcomes(again.document) == NOTHING
    assert again.document["goals"] == result.document["goals"]
    assert again.err == ""
    assert listing(repository.store / "realisations") == before
