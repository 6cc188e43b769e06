"""Python distributions: what they require, what they are for, which CUDA they are of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from check_makers import PYTHON, SITE, dist, found, judge, library, lock_of, subject, waive

from orchestrator.image.checks import run_checks
from orchestrator.image.checks.cuda_major import distribution_major, soname_major
from orchestrator.recipe.image import Checks

NIXL_SITE = "opt/nvidia/nvda_nixl/lib/python3.11/site-packages"


def provided(name: str, version: str, *requires: str) -> dict[str, bytes | str]:
    return {path.replace(SITE, NIXL_SITE): data for path, data in dist(name, version, *requires).items()}


def path_of(name: str, version: str) -> str:
    return f"{SITE}/{name}-{version}.dist-info/METADATA"


@pytest.mark.parametrize(
    ("requirement", "why"),
    [
        ("absent", "absent is not installed"),
        ("numpy<1.20", "numpy 1.26.4 is installed"),
        ("numpy>=2; python_version >= '3.11'", "numpy 1.26.4 is installed"),
        ("absent; sys_platform == 'linux' and platform_machine == 'x86_64'", "absent is not installed"),
        ("absent; python_full_version < '3.11.3'", "absent is not installed"),
    ],
)
def test_a_requirement_that_is_not_met(requirement: str, why: str) -> None:
    verdict = judge({"wheel:w": dist("w", "1", requirement)})
    (finding,) = verdict.findings
    assert finding.path == path_of("w", "1")
    assert finding.name == requirement.partition(";")[0]
    assert why in finding.what
    assert f'name = "{finding.name}"' in finding.hint


@pytest.mark.parametrize(
    "requirement",
    [
        "NumPy",
        "numpy (>=1.26)",
        "absent; sys_platform == 'win32'",
        "absent; extra == 'all'",
        "absent; python_version < '3.11'",
        "torch @ https://example.com/torch.whl",
    ],
)
def test_a_requirement_that_is_met_or_does_not_count(requirement: str) -> None:
    assert judge({"wheel:w": dist("w", "1", requirement)}).findings == ()


def test_the_bases_python_decides_a_marker() -> None:
    status = {"var/lib/dpkg/status": b"Package: python3.11-minimal\nStatus: ok\nVersion: 3.11.5-6+deb12u6\n\n"}
    more = {"debian-runtime": status, "wheel:w": dist("w", "1", "absent; python_full_version < '3.11.3'")}
    assert judge(more).findings == ()


def test_a_prerelease_is_allowed_where_it_is_installed() -> None:
    more = {"wheel:w": dist("w", "1", "pre>=0.9"), "wheel:pre": dist("pre", "1.0rc1")}
    assert judge(more).findings == ()


def test_extras_are_followed_from_who_asks_for_them() -> None:
    nixl = provided("nixl", "0.9.0", 'nixl-cu12>=0.9.0; extra == "cu12"', 'nixl-cu13>=0.9.0; extra == "cu13"')
    more = {"nixl": nixl, "wheel:w": dist("w", "1", "nixl[cu12]<1.1")}
    (finding,) = judge(more).findings
    assert (finding.path, finding.name) == (path_of("w", "1"), "nixl[cu12]<1.1")
    assert "nixl[cu12] requires nixl-cu12>=0.9.0, and nixl-cu12 is not installed" in finding.what
    assert judge(more, checks=waive(check="requirements", name="nixl[cu12]<1.1")).findings == ()
    assert judge({**more, "x": provided("nixl-cu12", "0.9.0")}).findings == ()


def test_an_extra_that_asks_for_itself_ends() -> None:
    w = dist("w", "1", "w[b]; extra == 'a'", "w[a]; extra == 'b'", "absent; extra == 'b'")
    more = {"wheel:w": w, "wheel:v": dist("v", "1", "w[a]")}
    (finding,) = judge(more).findings
    assert finding.name == "w[a]"
    assert "w[b] requires absent" in finding.what


def test_what_the_recipe_asks_for_has_to_be_there() -> None:
    python = replace(PYTHON, requirements=("torch==2.9.1", "numpy[dev]", "sglang==0.5.8"))
    assert found(judge(python=python)) == [("requirements", "", "numpy[dev]"), ("requirements", "", "sglang==0.5.8")]


def test_an_excluded_distribution_that_came_all_the_same() -> None:
    python = replace(PYTHON, excludes=("NumPy", "absent"))
    assert found(judge(python=python)) == [("requirements", path_of("numpy", "1.26.4"), "numpy")]


def test_a_distribution_that_is_there_twice() -> None:
    (finding,) = judge({"nixl": provided("torch", "2.9.1")}).findings
    assert finding.name == "torch"
    assert "twice" in finding.what


def test_what_a_distribution_carries_with_it_does_not_count() -> None:
    vendored = {
        f"{SITE}/setuptools/_vendor/{name.rpartition('site-packages/')[2]}": data
        for name, data in dist("q", "1", "z").items()
    }
    base = {"usr/lib/python3/dist-packages/q-1.dist-info/METADATA": b"Name: q\nVersion: 1\nRequires-Dist: z\n\n"}
    assert judge({"wheel:setuptools": vendored, "debian-runtime": base}).findings == ()


def test_a_malformed_requirement_is_a_finding_and_no_failure() -> None:
    assert [one[0] for one in found(judge({"wheel:w": dist("w", "1", "not a >< requirement")}))] == ["requirements"]
    odd = {f"{SITE}/odd-1.dist-info/METADATA": b"\xff\xfe\x00", f"{SITE}/e-x.dist-info/METADATA": b""}
    assert judge({"wheel:odd": odd}).findings == ()


@pytest.mark.parametrize(
    "name",
    [
        "a-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_28_aarch64.whl",
        "a-1-cp311-cp311-win_amd64.whl",
        "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp312-abi3-manylinux_2_28_x86_64.whl",
        "a-1-py2-none-any.whl",
        "a-1-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl",
        "no.whl",
    ],
)
def test_a_wheel_for_another_python_or_machine(name: str) -> None:
    if name == "no.whl":
        lock = replace(
            lock_of("a-1-py3-none-any.whl"),
            wheels=(replace(lock_of("a-1-py3-none-any.whl").wheels[0], file_name=name),),
        )
    else:
        lock = lock_of(name)
    verdict = judge(lock=lock)
    assert found(verdict) == [("wheels", "", name)]
    assert "orch lock small" in verdict.findings[0].hint


@pytest.mark.parametrize(
    "name",
    [
        "a-1-py3-none-any.whl",
        "a-1-py2.py3-none-any.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-cp38-abi3-manylinux1_x86_64.whl",
        "a-1-cp311-none-any.whl",
        "a-1-py3-none-manylinux_2_27_x86_64.whl",
        "a-1-2-cp311-cp311-linux_x86_64.whl",
    ],
)
def test_a_wheel_that_the_image_can_use(name: str) -> None:
    assert judge(lock=lock_of(name)).findings == ()


def test_a_wheel_that_was_installed_for_another_python() -> None:
    verdict = judge({"wheel:z": dist("z", "1", tag="cp312-cp312-manylinux_2_28_x86_64")})
    assert found(verdict) == [("wheels", f"{SITE}/z-1.dist-info/WHEEL", "z-1")]


@pytest.mark.parametrize(
    ("name", "version", "major"),
    [
        ("nvidia-cublas-cu12", "12.8.4.1", 12),
        ("nvidia_cudnn_cu13", "9.16.0.29", 13),
        ("nixl-cu13", "0.9.0", 13),
        ("cupy-cuda12x", "13.6.0", 12),
        ("cupy-cuda13x", "13.6.0", 13),
        ("torch", "2.9.1+cu128", 12),
        ("torch", "2.11.0+cu130", 13),
        ("flashinfer-jit-cache", "0.6.1+cu129", 12),
        ("cuda-python", "13.0.2", 13),
        ("cuda-bindings", "12.9.4", 12),
        ("nvidia-cuda-runtime", "13.0.96", 13),
        ("nvidia-cublas", "13.1.0.3", 13),
        ("torch", "2.9.1", None),
        ("torch", "2.9.1+cpu", None),
        ("nvidia-cutlass-dsl", "4.3.0", None),
        ("nvidia-cusparselt", "0.8.0", None),
        ("cuda-pathfinder", "1.3.2", None),
        ("cupy", "13.6.0", None),
        ("focus12", "12", None),
    ],
)
def test_the_cuda_that_a_distribution_is_for(name: str, version: str, major: int | None) -> None:
    assert distribution_major(name, version) == major


@pytest.mark.parametrize(
    ("name", "major"),
    [
        ("libcudart.so.12", 12),
        ("libcudart-1a2b3c4d.so.12.8.90", 12),
        ("libcublas.so.13", 13),
        ("libcublasLt.so.12", 12),
        ("libnvrtc.so.12", 12),
        ("libnvrtc.alt.so.12", 12),
        ("libnvrtc-builtins.so.12.9", 12),
        ("libnvrtc-builtins.alt.so.13.0", 13),
        ("libcufft.so.11", 12),
        ("libcufft.so.12", 13),
        ("libcusolver.so.11", 12),
        ("libcusolver.so.12", 13),
        ("libnvJitLink.so.13", 13),
        ("libcusparse.so.12", None),
        ("libcurand.so.10", None),
        ("libcudnn.so.9", None),
        ("libnccl.so.2", None),
        ("libcuda.so.1", None),
        ("libcudart.so", None),
        ("libcupti.so.12", 12),
        ("libcupti.so.2025.1.1", None),
    ],
)
def test_the_cuda_that_a_library_is_of(name: str, major: int | None) -> None:
    assert soname_major(name) == major


def test_a_cu13_wheel_in_a_cu12_image() -> None:
    more = {
        "wheel:nvidia-cublas": dist("nvidia-cublas", "13.1.0.3")
        | {f"{SITE}/nvidia/cu13/lib/libcublas.so.13": library("libcublas.so.13")},
        "wheel:x": {f"{SITE}/x/core.so": library("", "libcufft.so.12", runpath="$ORIGIN")}
        | {f"{SITE}/x/libcufft.so.12": library("libcufft.so.12")},
    }
    verdict = judge(more)
    assert found(verdict) == [
        ("cuda-major", f"{SITE}/nvidia/cu13", "cu13"),
        ("cuda-major", f"{SITE}/nvidia/cu13/lib/libcublas.so.13", "libcublas.so.13"),
        ("cuda-major", path_of("nvidia_cublas", "13.1.0.3"), "nvidia-cublas==13.1.0.3"),
        ("cuda-major", f"{SITE}/x/core.so", "libcufft.so.12"),
        ("cuda-major", f"{SITE}/x/libcufft.so.12", "libcufft.so.12"),
    ]
    assert all("the image is CUDA 12" in finding.what for finding in verdict.findings)


def test_a_wheel_of_the_lock_counts_before_it_is_installed() -> None:
    verdict = judge(lock=lock_of("nixl_cu13-1.0.1-cp311-cp311-manylinux_2_28_x86_64.whl"))
    assert found(verdict) == [("cuda-major", "", "nixl-cu13==1.0.1")]


def test_without_a_cuda_component_the_option_decides_and_then_the_many() -> None:
    few = {"a": dist("nixl-cu12", "1"), "b": dist("cupy-cuda13x", "1"), "c": dist("nvidia-nccl-cu13", "1")}
    by_option = run_checks(subject(few, python=None, checks=Checks(), options={"cuda": "12"}))
    assert [finding.name for finding in by_option.findings] == ["cupy-cuda13x==1", "nvidia-nccl-cu13==1"]
    by_number = run_checks(subject(few, python=None, checks=Checks()))
    assert [finding.name for finding in by_number.findings] == ["nixl-cu12==1"]
