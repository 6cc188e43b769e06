"""A sound image passes; a broken one is refused with the file; a waiver lets pass what it names and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_makers import CHECKS, SITE, UCX, dist, found, judge, library, sound, subject, waive
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.image.checks import CHECKS as ALL
from orchestrator.image.checks import run_checks
from orchestrator.recipe.image import Checks, Waiver

# One file or two for each check that would fail.
BROKEN: dict[str, dict[str, dict[str, bytes | str]]] = {
    "cuda-major": {"wheel:cupy": dist("cupy-cuda13x", "13.6.0")},
    "one-copy": {
        "wheel:nixl": {f"{SITE}/nixl_cu12.libs/libucp-b39b3ed9.so.0.0.0": library("libucp-b39b3ed9.so.0.0.0")}
    },
    "needed": {"wheel:x": {f"{SITE}/x/core.so": library("", "libgone.so.1")}},
    "stubs": {"cuda": {"usr/local/cuda/lib64/stubs/libcuda.so": library("libcuda.so.1")}},
    "glibc": {"wheel:y": {f"{SITE}/y/core.so": library("").replace(b"GLIBC_2.17", b"GLIBC_2.39")}},
    "wheels": {"wheel:z": dist("z", "1", tag="cp312-cp312-manylinux_2_28_x86_64")},
    "requirements": {"wheel:w": dist("w", "1", "absent>=2")},
    "contents": {"wheel:v": {f"{SITE}/v/direct": "/home/someone/v"}},
    "secrets": {"wheel:u": {"home/dynamo/.netrc": b"machine a login b password c\n"}},
}


def test_a_sound_image_passes() -> None:
    verdict = judge()
    assert verdict.findings == verdict.waived == ()
    assert verdict.run == tuple(ALL)
    assert not verdict.off


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_image_is_refused_by_its_check_alone(check: str) -> None:
    verdict = judge(BROKEN[check])
    assert [finding.check for finding in verdict.findings] == [check]
    (finding,) = verdict.findings
    assert finding.path in {path for files in BROKEN[check].values() for path in files}
    assert finding.what
    assert finding.hint


@pytest.mark.parametrize("check", BROKEN)
def test_the_waiver_of_a_finding_lets_it_pass(check: str) -> None:
    (finding,) = judge(BROKEN[check]).findings
    verdict = judge(BROKEN[check], checks=waive(check=check, path=finding.path, name=finding.name))
    assert verdict.findings == ()
    assert verdict.waived == (finding,)


@pytest.mark.parametrize("check", BROKEN)
def test_a_check_is_off_with_its_reason_only(check: str) -> None:
    verdict = judge(BROKEN[check], checks=replace(CHECKS, off={check: "known"}))
    assert verdict.findings == ()
    assert verdict.off == {check: "known"}
    assert check not in verdict.run


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(BROKEN)), unique=True, max_size=3), st.sampled_from(sorted(BROKEN)))
def test_a_waiver_removes_exactly_what_it_names(broken: list[str], waived: str) -> None:
    components = sound()
    for check in broken:
        for name, files in BROKEN[check].items():
            components.setdefault(name, {}).update(files)
    plain = run_checks(subject(components))
    rules = replace(CHECKS, waive=(Waiver(check=waived, reason="a test"),))
    verdict = run_checks(subject(components, checks=rules))
    assert {finding for finding in plain.findings if finding.check != waived} == {
        finding for finding in verdict.findings if finding.check != "waivers"
    }
    assert set(verdict.waived) == {finding for finding in plain.findings if finding.check == waived}
    assert ([finding.name for finding in verdict.findings if finding.check == "waivers"] == [waived]) == (
        waived not in broken
    )


def test_a_waiver_for_another_file_lets_nothing_pass() -> None:
    rules = waive(check="needed", path="*/other.so", name="libgone.so.1")
    assert {finding.check for finding in judge(BROKEN["needed"], checks=rules).findings} == {"needed", "waivers"}


def test_a_name_with_brackets_is_taken_as_it_stands() -> None:
    broken = {"wheel:w": dist("w", "1", "torch[x]>=3")}
    verdict = judge(broken, checks=waive(check="requirements", name="torch[x]*"))
    assert verdict.findings == ()
    assert [finding.name for finding in verdict.waived] == ["torch[x]>=3"]


def test_names_of_no_check_are_findings() -> None:
    rules = Checks(off={"cuda": "?"}, waive=(Waiver(check="glibcs", reason="?"),))
    verdict = run_checks(subject(sound(), checks=rules))
    assert found(verdict) == [("waivers", "", "cuda"), ("waivers", "", "glibcs")]
    assert "glibcs is no check" in verdict.findings[1].what
    assert "cuda-major" in verdict.findings[0].hint


def test_a_waiver_of_a_check_that_is_off_is_a_finding() -> None:
    rules = Checks(off={"needed": "?"}, waive=(Waiver(check="needed", reason="?"),))
    (finding,) = run_checks(subject(sound(), checks=rules)).findings
    assert "needed is off" in finding.what


def test_findings_come_in_order_and_once() -> None:
    more = BROKEN["needed"] | BROKEN["cuda-major"] | BROKEN["one-copy"]
    verdict = judge(more, without=(f"{UCX}/ucx/libuct_ib.so.0",))
    assert list(verdict.findings) == sorted(verdict.findings, key=lambda one: (one.check, one.path, one.name))
    assert len(set(verdict.findings)) == len(verdict.findings) == 4
