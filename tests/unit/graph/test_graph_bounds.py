"""Versions within bounds: what is compared without packaging comes out as packaging says."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from orchestrator.graph.bounds import within

NUMBERS = st.lists(st.sampled_from(["0", "1", "2", "10", "020"]), min_size=1, max_size=4).map(".".join)
TAILS = st.sampled_from(["", "", "+nixl1.4.1", "+cu128-a", "rc1", ".post1", ".dev0", "-1"])
BOUNDS = st.lists(
    st.tuples(st.sampled_from([">=", "<", ">= ", " < ", "<=", "==", "~=1.", "!="]), NUMBERS).map("".join),
    min_size=1,
    max_size=3,
).map(",".join)


@given(NUMBERS, TAILS, BOUNDS)
def test_it_is_what_packaging_says(numbers: str, tail: str, bounds: str) -> None:
    version = numbers + tail
    assert within(version, bounds) == SpecifierSet(bounds).contains(Version(version), prereleases=True)


@pytest.mark.parametrize(
    ("version", "bounds", "answer"),
    [
        ("1.22.0+nixl1.4.1", ">=1.21", True),
        ("1.9", ">=1.10", False),
        ("1.20", ">=1.20.0,<2", True),
        ("2.0", ">=1.20,<2", False),
        ("2.0rc1", ">=2.0", False),
        ("main", ">=0", False),
        ("1.0", "", True),
    ],
)
def test_versions(version: str, bounds: str, answer: bool) -> None:
    assert within(version, bounds) is answer


def test_numbers_are_compared_without_packaging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    assert within("1.22.0+nixl1.4.1", ">=1.19, <2")
    with pytest.raises(ImportError):
        within("1.22rc1", ">=1.19")
