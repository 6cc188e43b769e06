"""Layers over each other: against a model that is a dictionary, and the cases with links by hand."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.digest import Digest
from orchestrator.errors import SourceError
from orchestrator.fetch.oci_manifest import Blob
from orchestrator.image.layer_stack import Facts, LayerStack, real_directory
from orchestrator.image.layer_unpack import unpack_layer

# A layer, in the order of its entries: a name, and a file's content, None for a directory, `-> TARGET` for a link.
Made = Sequence[tuple[str, str | None]]


def tar(entries: Made) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.uid = len(name)  # anything that can be told apart
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            elif content.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, content[3:]
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO((content or "").encode()))
    return written.getvalue()


def laid(room: Path, *layers: Made) -> LayerStack:
    (room / "root").mkdir()
    stack = LayerStack(room / "root")
    for number, entries in enumerate(layers):
        data = tar(entries)
        file = room / f"{number}.tar"
        file.write_bytes(data)
        digest = Digest("sha256", hashlib.sha256(data).hexdigest())
        blob = Blob(media_type="application/vnd.oci.image.layer.v1.tar", digest=digest, size=len(data))
        stack.add(unpack_layer(file, blob, digest, room / f"{number}", name=f"{number}", stopped=lambda: False))
    return stack


def shown(root: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_text()
    return found


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def cleared(tree: dict[str, str | None], path: str, *, itself: bool) -> None:
    for known in [known for known in tree if known.startswith(f"{path}/") or (itself and known == path)]:
        del tree[known]


def modelled(layers: Sequence[Made]) -> dict[str, str | None]:
    """What a stack of layers without links shows."""
    tree: dict[str, str | None] = {}
    for layer in layers:
        for name, _ in layer:
            parent, _, last = name.rpartition("/")
            if last == ".wh..wh..opq":
                cleared(tree, parent, itself=False)
            elif last.startswith(".wh."):
                cleared(tree, f"{parent}/{last[4:]}".lstrip("/"), itself=True)
        for name, content in layer:
            if name.rpartition("/")[2].startswith(".wh."):
                continue
            for parent in parents(name):
                if tree.get(parent) is not None:
                    cleared(tree, parent, itself=True)
                tree[parent] = None
            if content is not None or tree.get(name) is not None:
                cleared(tree, name, itself=True)
            tree[name] = content
    return tree


_NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
_CONTENTS = st.none() | st.sampled_from(["one", "two"])
_TREES = st.dictionaries(_NAMES, _CONTENTS, max_size=5)


def consistent(tree: Mapping[str, str | None]) -> Made:
    """Only what can be in one layer: nothing is below a file."""
    return [(name, tree[name]) for name in sorted(tree) if all(tree.get(parent) is None for parent in parents(name))]


def whiteout(path: str) -> tuple[str, str]:
    parent, _, last = path.rpartition("/")
    return f"{parent}/.wh.{last}".lstrip("/"), ""


@st.composite
def layers(draw: st.DrawFn) -> Made:
    entries = list(consistent(draw(_TREES)))
    files = {name for name, content in entries if content is not None}
    gone = [path for path in draw(st.lists(_NAMES, max_size=2)) if not files & set(parents(path))]
    empty = [path for path in draw(st.lists(_NAMES, max_size=1)) if not files & {path, *parents(path)}]
    # A layer's whiteouts make the directories that they are in: said here, so that the model need not know.
    wanted = {parent: None for path in gone for parent in parents(path)} | dict.fromkeys(
        [*empty, *(parent for path in empty for parent in parents(path))]
    )
    entries += [(name, None) for name in sorted(wanted) if name not in dict(entries)]
    entries += [whiteout(path) for path in gone] + [(f"{path}/.wh..wh..opq", "") for path in empty]
    return draw(st.permutations(entries)) if draw(st.booleans()) else entries


@settings(deadline=None)
@given(st.lists(layers(), min_size=1, max_size=4))
def test_a_stack_shows_what_the_model_shows(stacked: list[Made]) -> None:
    with tempfile.TemporaryDirectory() as room:
        stack = laid(Path(room), *stacked)
        assert shown(stack.root) == modelled(stacked)
        assert set(shown(stack.root)) <= set(stack.facts)


def test_a_directory_on_the_way_leaves_a_link(tmp_path: Path) -> None:
    stack = laid(tmp_path, [("usr/lib", None), ("lib", "-> /usr/lib")], [("lib/sub/file", "new")])
    assert shown(stack.root) == {
        "usr": None,
        "usr/lib": None,
        "lib": "-> /usr/lib",
        "usr/lib/sub": None,
        "usr/lib/sub/file": "new",
    }
    assert stack.facts["usr/lib/sub/file"] == Facts(0o644, len("lib/sub/file"), 0)


def test_a_directory_that_is_an_entry_replaces_a_link(tmp_path: Path) -> None:
    stack = laid(tmp_path, [("other/file", "kept"), ("dir", "-> other")], [("dir", None), ("dir/file", "new")])
    assert shown(stack.root) == {"other": None, "other/file": "kept", "dir": None, "dir/file": "new"}


def test_a_whiteout_takes_the_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    stack = laid(tmp_path, [("real/file", "kept"), ("link", "-> real")], [(".wh.link", "")])
    assert shown(stack.root) == {"real": None, "real/file": "kept"}


def test_nothing_outside_is_touched(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("mine")
    out = "-> ../../../../.." + str(tmp_path / "outside")
    lower: Made = [("out", out), ("abs", f"-> {tmp_path}/outside"), ("x", None)]
    stack = laid(tmp_path, lower, [("out/.wh.file", ""), ("abs/.wh..wh..opq", ""), ("x/new", "new")])
    assert (tmp_path / "outside/file").read_text() == "mine"
    assert stack.root.joinpath("x/new").read_text() == "new"
    (tmp_path / "more").mkdir()
    with pytest.raises(SourceError, match="a link to no directory"):
        laid(tmp_path / "more", lower, [("out/new", "new")])
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]


def test_whiteouts_are_for_the_layers_below_only(tmp_path: Path) -> None:
    stack = laid(tmp_path, [("a", "old"), ("d/x", "old")], [("a", "new"), (".wh.a", ""), ("d/y", "new"), (".wh.d", "")])
    assert shown(stack.root) == {"a": "new", "d": None, "d/y": "new"}


def test_owners_follow_the_topmost(tmp_path: Path) -> None:
    stack = laid(tmp_path, [("a/b", "one"), ("a", None)], [(".wh.a", "")], [("a/b", "two")])
    assert stack.facts["a"] == Facts(0o755, 0, 0)  # nobody says anything of the new one
    assert stack.facts["a/b"].uid == 3


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "up").symlink_to("../../..")
    assert real_directory(tmp_path, "a") is None
    assert real_directory(tmp_path, "up/up") == ""
    assert real_directory(tmp_path, "") == ""
