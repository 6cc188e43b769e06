"""Differences of two documents, in words."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.graph.explain import changes, explain

OLD: dict[str, Any] = {
    "schema": 1,
    "version": "1",
    "sandbox": 1,
    "sources": [{"sha256": "a", "file_name": "a.tar", "unpack": "a"}],
    "patches": [{"name": "p", "sha256": "a"}, {"name": "q", "sha256": "a"}],
    "files": [{"name": "f", "sha256": "a"}],
    "options": {"cuda": "12"},
    "flags": ["--a", "--b"],
    "script": "one\ntwo\nthree\nfour\n",
    "inputs": {"ucx": "blake3:a", "cuda": "blake3:a"},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"version": "2"}, ["version: 1 -> 2"]),
        ({"sandbox": 2}, ["sandbox schema: 1 -> 2"]),
        ({"sources": [{"sha256": "b", "file_name": "a.tar", "unpack": "a"}]}, ["source a.tar changed"]),
        (
            {"sources": [{"sha256": "b", "file_name": "b.tar", "unpack": "a"}]},
            ["source a.tar removed", "source b.tar added"],
        ),
        ({"patches": [{"name": "p", "sha256": "b"}]}, ["patch p changed", "patch q removed"]),
        (
            {"patches": [{"name": "q", "sha256": "a"}, {"name": "p", "sha256": "a"}]},
            ["patches: another order or number of the same"],
        ),
        ({"files": []}, ["file f removed"]),
        ({"options": {"cuda": "13"}}, ["option cuda: 12 -> 13"]),
        ({"options": {"cuda": "12", "verbs": "on"}}, ["option verbs: unread -> on"]),
        ({"flags": ["--a", "--c", "--b"]}, ["flags: + --c"]),
        ({"flags": ["--c", "--b"]}, ["flags: - --a", "flags: + --c"]),
        ({"flags": ["--b", "--a"]}, ["flags: another order or number of the same"]),
        ({"script": "one\n2\nthree\nfour\n"}, ["script line 2 changed"]),
        ({"script": "1\n2\nthree\nfour\nfive\n"}, ["script lines 1-2 changed", "script line 5 added"]),
        ({"script": "one\nfour\n"}, ["script lines 2-3 of before removed"]),
        ({"script": "one\ntwo\nthree\nfour"}, ["script: line ends changed"]),
        ({"inputs": {"ucx": "blake3:b", "hwloc": "blake3:a"}}, ["input cuda removed", "input hwloc added",
         "input ucx changed"]),
        ({"new": 1}, ["new added to the document"]),
        ({"version": "2", "flags": ["--a"]}, ["version: 1 -> 2", "flags: - --b"]),
    ],
)  # fmt: skip
def test_each_field(change: dict[str, Any], expected: list[str]) -> None:
    assert explain(OLD, {**OLD, **change}) == expected


def test_a_field_that_went() -> None:
    assert explain(OLD, {name: value for name, value in OLD.items() if name != "flags"}) == [
        "flags gone from the document"
    ]


def test_lines_and_hashes_beside_the_words() -> None:
    new = {
        **OLD,
        "script": "one\n2\nthree\nfour\n",
        "sources": [{"sha256": "b" * 64, "file_name": "a.tar", "unpack": None}],
        "patches": [{"name": "p", "sha256": "a"}, {"name": "q", "sha256": "c"}],
        "flags": ["--b"],
    }
    found = {change.field: change for change in changes(OLD, new)}
    assert [text for change in found.values() for text in change.texts] == explain(OLD, new)
    assert found["script"].lines == ("@@ -1,4 +1,4 @@", " one", "-two", "+2", " three", " four")
    assert found["sources"].lines == ("a.tar: sha256 a -> bbbbbbbbbbbb...", "a.tar: unpack a -> none")
    assert found["patches"].lines == ("q: sha256 a -> c",)
    assert found["flags"].lines == ()
    assert changes(OLD, OLD) == []
