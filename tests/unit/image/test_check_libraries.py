"""What is loaded: needed libraries, single ones, plugins, stubs, the C library's age."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_makers import (
    AARCH64,
    CHECKS,
    LIBC,
    NIXL,
    SITE,
    UCX,
    elf,
    found,
    judge,
    library,
    lock_of,
    sound,
    subject,
    waive,
)

from orchestrator.image.checks import run_checks
from orchestrator.image.checks.glibc import wheel_version


def test_a_needed_library_that_is_gone() -> None:
    verdict = judge(without=(f"{UCX}/libucp.so.0",))
    assert found(verdict) == [("needed", f"{NIXL}/libnixl.so", "libucp.so.0")]
    assert "add the component that has libucp.so.0" in verdict.findings[0].hint


def test_a_library_where_the_loader_does_not_look() -> None:
    more = {
        "wheel:x": {f"{SITE}/x/core.so": library("", "libx.so.1"), f"{SITE}/x.libs/libx.so.1": library("libx.so.1")}
    }
    (finding,) = judge(more).findings
    assert finding.name == "libx.so.1"
    assert f"/{SITE}/x.libs/libx.so.1 is no place" in finding.hint


@pytest.mark.parametrize(
    "runpath", ["$ORIGIN/../x.libs", "${ORIGIN}/../x.libs", f"/nowhere:/{SITE}/x.libs", "$ORIGIN/link/deeper"]
)
def test_a_run_path_counts(runpath: str) -> None:
    more = {
        "wheel:x": {
            f"{SITE}/x/core.so": library("", "libx.so.1", runpath=runpath),
            f"{SITE}/x/link": f"/{SITE}/x.libs",
            f"{SITE}/x.libs/deeper": ".",
            f"{SITE}/x.libs/libx.so.1": "libx-1.0.so",
            f"{SITE}/x.libs/libx-1.0.so": library("libx.so.1"),
        }
    }
    assert judge(more).findings == ()


@pytest.mark.parametrize(
    ("given", "own", "also_needs", "resolved"),
    [
        ("rpath", "", (), True),
        ("rpath", "/nowhere", (), False),  # a run path of its own is the last word
        ("runpath", "", (), False),
        ("runpath", "", ("libinner.so.1",), True),  # loaded before
        ("runpath", "/nowhere", ("libinner.so.1",), True),
    ],
)
def test_what_the_file_above_has_in_its_path(given: str, own: str, also_needs: tuple[str, ...], resolved: bool) -> None:
    libs = f"{SITE}/x.libs"
    more = {
        "wheel:x": {
            f"{SITE}/x/core.so": library("", "libouter.so.1", *also_needs, **{given: "$ORIGIN/../x.libs"}),
            f"{libs}/libouter.so.1": library("libouter.so.1", "libinner.so.1", runpath=own),
            f"{libs}/libinner.so.1": library("libinner.so.1"),
        }
    }
    wanted = [] if resolved else [("needed", f"{libs}/libouter.so.1", "libinner.so.1")]
    assert found(judge(more)) == wanted
    more["wheel:y"] = {f"{SITE}/y.so": library("", "libouter.so.1", runpath=f"/{libs}")}  # one that gives nothing
    assert found(judge(more)) == [("needed", f"{libs}/libouter.so.1", "libinner.so.1")]


def test_libraries_that_need_each_other_and_nobody_else_does() -> None:
    more = {
        "wheel:x": {
            f"{SITE}/x/liba.so": library("liba.so", "libb.so", "libgone.so", rpath="$ORIGIN"),
            f"{SITE}/x/libb.so": library("libb.so", "liba.so", "libgone.so", rpath="$ORIGIN"),
        }
    }
    assert {one[2] for one in found(judge(more))} == {"libgone.so"}


def test_a_link_to_nothing_and_a_loop_lead_to_no_library() -> None:
    for target in ("gone.so", "libx.so.1", "/../../libx.so.1"):
        more = {"ucx": {f"{UCX}/libx.so.1": target}, "wheel:x": {f"{SITE}/x/core.so": library("", "libx.so.1")}}
        assert ("needed", f"{SITE}/x/core.so", "libx.so.1") in found(judge(more))


def test_a_library_of_another_machine_is_not_loaded_nor_judged() -> None:
    foreign = elf(soname="libx.so.1", needed=("libnone.so",), machine=AARCH64)
    more = {"ucx": {f"{UCX}/libx.so.1": foreign}}
    assert judge(more).findings == ()
    more["wheel:x"] = {f"{SITE}/x/core.so": library("", "libx.so.1")}
    assert found(judge(more)) == [("needed", f"{SITE}/x/core.so", "libx.so.1")]


def test_the_drivers_libraries_come_from_the_machine() -> None:
    more = {"nixl": {f"{NIXL}/libx.so": library("libx.so", "libcuda.so.1", "libnvidia-ml.so.1", "libnvcuvid.so.1")}}
    assert judge(more).findings == ()
    more = {"nixl": {f"{NIXL}/libx.so": library("libx.so", "libcuda.so.2")}}
    assert found(judge(more)) == [("needed", f"{NIXL}/libx.so", "libcuda.so.2")]


def test_a_broken_library_is_named_and_other_broken_files_are_not() -> None:
    junk = b"\x7fELF" + b"\xff" * 100
    verdict = judge({"wheel:x": {f"{SITE}/x/core.so": junk, f"{SITE}/x/tests/data.bin": junk}})
    assert found(verdict) == [("needed", f"{SITE}/x/core.so", "broken")]


def test_one_waiver_for_a_library_many_files_need() -> None:
    more = {"wheel:x": {f"{SITE}/x/{name}.so": library("", "libtorch.so", "libq.so") for name in "abc"}}
    verdict = judge(more, checks=waive(check="needed", path=f"{SITE}/x/*", name="libtorch.so"))
    assert [finding.name for finding in verdict.waived] == ["libtorch.so"] * 3
    assert [finding.name for finding in verdict.findings] == ["libq.so"] * 3


@pytest.mark.parametrize(
    "name",
    [
        "libucp.so.0",
        "libuct-b39b3ed9.so.0.0.0",
        "libucs-1a2b3c4d.so.0",
        "libucm.so",
        "libnixl-12345678.so",
        "libnixl.so",
    ],
)
def test_a_second_copy_under_any_name(name: str) -> None:
    verdict = judge({"wheel:nixl": {f"{SITE}/nixl_cu12.libs/{name}": library(name)}})
    (finding,) = verdict.findings
    assert (finding.check, finding.path) == ("one-copy", f"{SITE}/nixl_cu12.libs/{name}")
    assert "wheel:nixl brings a second" in finding.what
    assert "python.provided" in finding.hint


def test_a_copy_that_only_its_soname_tells() -> None:
    verdict = judge({"wheel:x": {f"{SITE}/x/ucx.bin": library("libucp-0badcafe.so.0.0.0")}})
    assert found(verdict) == [("one-copy", f"{SITE}/x/ucx.bin", "libucp")]


def test_two_copies_of_libfabric_and_none_where_the_loader_looks() -> None:
    more = {name: {f"opt/{name}/libfabric.so.1": library("libfabric.so.1")} for name in ("a", "b")}
    assert found(judge(more)) == [("one-copy", "opt/b/libfabric.so.1", "libfabric")]


def test_links_and_relatives_are_no_second_copy() -> None:
    more = {
        "ucx": {"usr/lib/libucp.so.0": f"/{UCX}/libucp.so.0", f"{UCX}/libucp_extra.so.0": library("libucp_extra.so.0")}
    }
    assert judge(more).findings == ()


def test_a_declared_library_that_is_nowhere() -> None:
    rules = replace(CHECKS, dlopen=("libnixl.so", "libplugin_UCX.so", "libnvshmem_host.so.3"))
    assert found(judge(checks=rules)) == [("dlopen", "", "libnvshmem_host.so.3")]


def test_missing_plugins_and_modules_are_named() -> None:
    rules = replace(CHECKS, plugins=("UCX", "LIBFABRIC"), ucx_modules=("uct_ib", "libuct_cuda"))
    assert found(judge(checks=rules)) == [
        ("plugins", f"{NIXL}/plugins/libplugin_LIBFABRIC.so", "LIBFABRIC"),
        ("plugins", f"{UCX}/ucx/libuct_cuda.so", "libuct_cuda"),
    ]


def test_a_plugin_that_is_there_in_name_only() -> None:
    path = f"{NIXL}/plugins/libplugin_UCX.so"
    for content in (b"not a library", elf(machine=AARCH64), "gone.so"):
        assert found(judge({"nixl": {path: content}})) == [("plugins", path, "UCX")]


def test_plugins_lie_where_the_environment_says() -> None:
    target = subject(sound())
    verdict = run_checks(target, environment={"NIXL_PLUGIN_DIR": "/elsewhere"})
    assert found(verdict) == [("plugins", "elsewhere/libplugin_UCX.so", "UCX")]


@pytest.mark.parametrize(
    "path",
    [
        "usr/local/cuda/lib64/stubs/libcuda.so",
        "usr/local/cuda/targets/x86_64-linux/lib/stubs/libnvidia-ml.so",
        "usr/local/cuda/lib64/stubs/libcublas.so",
        "usr/lib/x86_64-linux-gnu/libcuda.so.1",
        f"{SITE}/x.libs/libcuda-0c1b2a3d.so.1.1",
        "usr/lib/libnvidia-ml.so.1",
    ],
)
def test_a_stub_left_in(path: str) -> None:
    verdict = judge({"cuda": {path: library(path.rpartition("/")[2])}})
    assert [one[:2] for one in found(verdict)] == [("stubs", path)]
    assert f'[[drop]] path = "/{path}", component = "cuda"' in verdict.findings[0].hint


def test_a_link_to_a_stub_is_a_stub_and_others_are_none() -> None:
    more = {"cuda": {"usr/lib/libcuda.so": "stubs/libcuda.so", f"{SITE}/torch/lib/libcudart_static.a": b"x"}}
    assert [one[0] for one in found(judge(more))] == ["stubs"]


def test_a_c_library_that_is_too_old() -> None:
    new = elf(soname="libx.so", wants=("GLIBC_2.38",))
    verdict = judge({"wheel:x": {f"{SITE}/x/libx.so": new}})
    assert found(verdict) == [("glibc", f"{SITE}/x/libx.so", "GLIBC_2.38")]
    assert "the base has 2.36" in verdict.findings[0].what
    assert judge({"wheel:x": {f"{SITE}/x/libx.so": elf(soname="libx.so", wants=("GLIBC_2.36",))}}).findings == ()


def test_an_image_without_a_c_library() -> None:
    assert "libc.so.6" in [one[2] for one in found(judge(without=(LIBC,))) if one[0] == "glibc"]


def test_a_wheel_whose_tag_wants_a_newer_one() -> None:
    lock = lock_of("a-1-cp311-cp311-manylinux_2_39_x86_64.whl", "b-1-cp311-cp311-manylinux_2_17_x86_64.whl")
    assert found(judge(lock=lock)) == [("glibc", "", "a GLIBC_2.39")]


@pytest.mark.parametrize(
    ("tags", "version"),
    [
        ("manylinux_2_28_x86_64", (2, 28)),
        ("manylinux_2_17_x86_64.manylinux2014_x86_64", (2, 17)),
        ("manylinux_2_39_x86_64.manylinux1_x86_64", (2, 5)),
        ("any", ()),
        ("linux_x86_64", ()),
    ],
)
def test_what_a_tag_wants(tags: str, version: tuple[int, ...]) -> None:
    assert wheel_version(f"a-1-cp311-cp311-{tags}.whl") == version
