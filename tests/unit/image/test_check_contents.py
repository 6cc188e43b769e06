"""What has no business in an image: leftovers, secrets, paths of elsewhere, too many bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_makers import CHECKS, SITE, elf, found, judge, sound, subject

from orchestrator.image.checks import run_checks

KEY = b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("usr/src/x/CMakeCache.txt", b"x"),
        ("usr/src/x/.ninja_log", b"x"),
        ("var/cache/apt/archives/a_1_amd64.deb", b"x"),
        ("var/lib/apt/lists/mirror_bookworm_main_binary-amd64_Packages", b"x"),
        ("opt/x/bin/tool", b"#!/home/builder/.venv/bin/python\n"),
        ("opt/x/bin/tool", b"#!python\n"),
        ("opt/x/link", "/store/objects/abc/tree"),
        (f"{SITE}/x.pth", b"import x\n/home/builder/src\n"),
        (f"{SITE}/x-1.dist-info/direct_url.json", b'{"url": "file:///home/builder/x"}'),
        (f"{SITE}/x-1.dist-info/RECORD", b"/home/builder/bin/x,sha256=a,1\nx.py,,\n"),
        ("opt/dynamo/venv/pyvenv.cfg", b"home = /home/builder/python/bin\n"),
        (f"{SITE}/x/__pycache__/a.cpython-312.pyc", b"x"),
        (f"{SITE}/x/__pycache__/a.cpython-310.opt-1.pyc", b"x"),
    ],
)
def test_a_leftover(path: str, content: bytes | str) -> None:
    verdict = judge({"wheel:x": {path: content}})
    assert [one[:2] for one in found(verdict)] == [("contents", path)]
    assert 'component = "wheel:x"' in verdict.findings[0].hint


@pytest.mark.parametrize(
    "directory",
    ["root/.cache/pip", "root/.ccache", "home/dynamo/.triton/cache", f"{SITE}/x/.git", "usr/src/x/CMakeFiles"],
)
def test_a_directory_that_was_left(directory: str) -> None:
    verdict = judge({"wheel:x": {f"{directory}/deep/file": b"x", f"{directory}/other": b"x"}})
    assert [one[:2] for one in found(verdict)] == [("contents", directory)]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("opt/x/bin/tool", b"#!/usr/bin/env node\n"),
        ("opt/x/bin/tool", b"#!/bin/sh\n"),
        ("opt/x/bin/tool", b"#! /opt/dynamo/venv/bin/python -sE\n"),
        ("opt/x/bin/tool", elf(interpreter=True)),
        ("opt/x/share/example", b"#!/home/builder/python\n"),
        ("opt/x/link", "/run/x"),
        ("opt/x/link", "gone"),
        ("opt/x/link", "/usr/bin/../bin/python3.11"),
        (f"{SITE}/x.pth", b"import x\n./y\n"),
        (f"{SITE}/x-1.dist-info/direct_url.json", b'{"url": "https://example.com/x"}'),
        (f"{SITE}/x-1.dist-info/direct_url.json", b"[]"),
        (f"{SITE}/x-1.dist-info/RECORD", b"../../../bin/torchrun,sha256=a,1\n/opt/dynamo/venv/bin/torchrun,,\n"),
        ("opt/dynamo/venv/pyvenv.cfg", b"home = /usr/bin\nversion = 3.11\n"),
        (f"{SITE}/x/__pycache__/a.cpython-311.pyc", b"x"),
        (f"{SITE}/x/config.log", b"x"),
        (f"{SITE}/x/cache/file", b"x"),
        (f"{SITE}/x/tests/key.pem", KEY),
        ("etc/ssl/certs/root.pem", b"-----BEGIN CERTIFICATE-----\n"),
        ("etc/pip.conf", b"[global]\nindex-url = https://${USER}:${TOKEN}@example.com/simple\n"),
        ("root/.netrc", b""),
    ],
)
def test_what_is_in_order(path: str, content: bytes | str) -> None:
    base = {"debian-runtime": {"bin": "usr/bin", "usr/bin/env": b"x"}}
    assert judge({**base, "wheel:x": {path: content}}).findings == ()


def test_one_finding_for_a_directory_of_bytecode() -> None:
    files: dict[str, bytes | str] = {f"{SITE}/x/__pycache__/{name}.cpython-312.pyc": b"x" for name in "abc"}
    assert found(judge({"wheel:x": files})) == [("contents", f"{SITE}/x/__pycache__/a.cpython-312.pyc", "cpython-312")]


def test_a_component_for_builds_only() -> None:
    assert found(judge({"debian-build": {"usr/bin/cc": b"x"}})) == [("contents", "", "debian-build")]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("root/.netrc", b"machine a login b password c"),
        ("home/dynamo/.pypirc", b"x"),
        ("root/.docker/config.json", b"{}"),
        ("root/.aws/credentials", b"x"),
        ("root/.ssh/id_ed25519", KEY.replace(b"RSA", b"OPENSSH")),
        ("etc/ssl/server.key", KEY),
        ("etc/ssl/private.pem", KEY.replace(b"RSA ", b"")),
        ("etc/pip.conf", b"[global]\nindex-url = https://user:hunter2@example.com/simple\n"),
        ("root/.npmrc", b"//example.com/:_authToken=abc\n"),
    ],
)
def test_a_secret(path: str, content: bytes) -> None:
    verdict = judge({"x": {path: content}})
    assert found(verdict) == [("secrets", path, path.rpartition("/")[2])]
    assert "hunter2" not in verdict.findings[0].what + verdict.findings[0].hint


def test_a_budget_names_what_is_big_and_what_grew() -> None:
    rules = replace(CHECKS, budget=100_000)
    components = sound()
    components["wheel:torch"][f"{SITE}/torch/big"] = b"x" * 150_000
    previous = {"wheel:torch": 50_000, "ucx": 10**9, "cuda": 0}
    (finding,) = run_checks(subject(components, checks=rules), previous=previous).findings
    assert (finding.check, finding.name) == ("budget", "budget")
    biggest, grown = finding.what.split("; grown since the last image: ")
    assert "the biggest: wheel:torch 0.2 MB, " in biggest
    assert grown.startswith("wheel:torch +0.1 MB, ")
    assert "ucx" not in grown
    assert "grown" not in run_checks(subject(components, checks=rules)).findings[0].what


def test_a_budget_is_kept_to_the_byte() -> None:
    size = sum(len(data) for files in sound().values() for data in files.values() if isinstance(data, bytes))
    assert judge(checks=replace(CHECKS, budget=size)).findings == ()
    assert found(judge(checks=replace(CHECKS, budget=size - 1))) == [("budget", "", "budget")]
    assert judge(checks=replace(CHECKS, budget=None)).findings == ()
