from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.store import open_store
from orchestrator.tree import remove_tree


def test_a_store_is_made_once_and_mended(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "deep/store")
    assert (layout.root / "schema").read_text() == "1\n"
    for name in ("objects", "stage", "realisations", "sources", "locks"):
        remove_tree(layout.root / name)
    (layout.root / "schema").write_text("")  # a crash
    assert open_store(tmp_path / "deep/store") == layout
    assert layout.objects.is_dir()
    assert layout.sources.is_dir()
    (tmp_path / "link").symlink_to(layout.root)
    assert open_store(tmp_path / "link") == layout


def test_a_fresh_checkout_has_a_readme_only(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("")
    (tmp_path / ".gitignore").write_text("")
    assert open_store(tmp_path).objects.is_dir()


def test_a_directory_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(MachineError, match="not a store"):
        open_store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, said in ((tmp_path / "file", "is not a store"), (tmp_path / "file/store", "cannot open the store")):
        with pytest.raises(MachineError, match=said):
            open_store(path)


@pytest.mark.parametrize(("text", "word"), [("2\n", "newer"), ("rubbish", "not a store")])
def test_other_schemas_are_refused(tmp_path: Path, text: str, word: str) -> None:
    open_store(tmp_path)
    (tmp_path / "schema").write_text(text)
    with pytest.raises(MachineError, match=word) as caught:
        open_store(tmp_path)
    assert caught.value.hint


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(MachineError):
        open_store(Path("/proc/self/store"))
