"""One CUDA major in everything: distributions, libraries, what ELF files need, directories.

A process that loads two runtimes fails or, worse, does not see the GPU: installers mix them without a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.checks.distributions import installed, normal
from orchestrator.image.model import Finding

# SONAME -> what to add to its number to get CUDA's major. Not here, because both majors have the same number:
# libcurand.so.10, libcusparse.so.12, libcufile.so.0, libnvvm.so.4, libcudnn.so.9, libnccl.so.2, libcuda.so.1.
_FOLLOWS = {
    "cudart": 0,
    "cublas": 0,
    "cublasLt": 0,
    "nvblas": 0,
    "nvrtc": 0,
    "nvrtc-builtins": 0,
    "nvJitLink": 0,
    "nvfatbin": 0,
    "nvjpeg": 0,
    "cupti": 0,
    **dict.fromkeys(("nppc", "nppial", "nppicc", "nppidei", "nppif", "nppig", "nppim", "nppist", "nppisu"), 0),
    **dict.fromkeys(("nppitc", "npps"), 0),
    # One behind: CUDA 12 has 11, CUDA 13 has 12.
    "cufft": 1,
    "cufftw": 1,
    "cusolver": 1,
    "cusolverMg": 1,
}
_SONAME = re.compile(r"lib([A-Za-z-]+?)(?:\.alt)?(?:-[0-9a-f]{8})?(?:\.alt)?\.so\.(\d+)(?:\.\d+)*")
# Distributions that carry CUDA's own version and say no major in their name, since CUDA 13.
_VERSIONED = re.compile(
    r"cuda-(?:python|bindings|toolkit)"
    r"|nvidia-(?:cublas|nvjitlink|nvtx|nvfatbin|nvvm|npp|nvjpeg|cuda-(?:runtime|nvrtc|nvcc|cupti|cccl|crt|nvdisasm|cuobjdump))"
)
_NAMED = re.compile(r"(?:^|-)cu(?:da)?(1[1-9])(?:x|\d)?(?:-|$)")
_LOCAL = re.compile(r"(?:^|[.])cu(1[1-9])\d?(?:$|[.])")
_DIRECTORY = re.compile(r"(?:^|.*/)nvidia/cu(1[1-9])")
_MAJORS = range(11, 20)  # libcupti.so.2025.1.1 is no CUDA 2025
_Evidence = tuple[str, str, str, int]  # path, name, what says so, the major


def find(case: Case) -> Iterator[Finding]:
    """Whatever is of another CUDA major than the image: the cuda component's, else the option's, else most others'."""
    evidence = list(dict.fromkeys((*_distributions(case), *_libraries(case), *_directories(case))))
    expected = _expected(case) or _most(evidence)
    for path, name, what, major in evidence:
        if major != expected:
            hint = f"choose the one for CUDA {expected}, constrain or exclude it (python.constraints, python.excludes)"
            hint += f", or let it pass: {waiver('cuda-major', path, name)}"
            yield finding(
                "cuda-major", path, name, f"{what} is for CUDA {major}, and the image is CUDA {expected}", hint
            )


def soname_major(name: str) -> int | None:
    """The CUDA major that a SONAME or file name belongs to, such as 13 for libcufft.so.12; None if it does not say."""
    match = _SONAME.fullmatch(name)
    if match is None or match[1] not in _FOLLOWS:
        return None
    major = int(match[2]) + _FOLLOWS[match[1]]
    return major if major in _MAJORS else None


def distribution_major(name: str, version: str) -> int | None:
    """The CUDA major that a distribution's name or version tells: nvidia-cublas-cu12, cupy-cuda13x, 2.9.1+cu128."""
    match = _NAMED.search(normal(name)) or _LOCAL.search(version.partition("+")[2])
    if match is not None:
        return int(match[1])
    major = version.partition(".")[0]
    if _VERSIONED.fullmatch(normal(name)) and major.isdecimal() and int(major) in _MAJORS:
        return int(major)
    return None


def _expected(case: Case) -> int | None:
    for component in case.subject.view.components:
        major = component.version.partition(".")[0]
        if component.name == "cuda" and major.isdecimal():
            return int(major)
    option = case.subject.image.document.options.get("cuda", "").partition(".")[0]
    return int(option) if option.isdecimal() else None


def _most(evidence: list[_Evidence]) -> int:
    counted = Counter(major for *_, major in evidence)
    return max(counted, key=lambda major: (counted[major], major), default=0)


def _distributions(case: Case) -> Iterator[_Evidence]:
    there = set()
    for one in installed(case):
        there.add((normal(one.name), one.version))
        major = distribution_major(one.name, one.version)
        if major is not None:
            yield one.path, f"{normal(one.name)}=={one.version}", f"{one.name} {one.version}", major
    for wheel in case.subject.lock.wheels if case.subject.lock is not None else ():
        major = distribution_major(wheel.name, wheel.version)
        if major is not None and (normal(wheel.name), wheel.version) not in there:
            yield "", f"{wheel.name}=={wheel.version}", f"{wheel.file_name} of the lock", major


def _libraries(case: Case) -> Iterator[_Evidence]:
    for path, facts in sorted(case.subject.elf.items()):
        for name in dict.fromkeys((path.rpartition("/")[2], facts.soname)):
            major = soname_major(name)
            if major is not None:
                yield path, name, name, major
                break
        for name in facts.needed:
            major = soname_major(name)
            if major is not None:
                yield path, name, f"{name}, which it needs,", major


def _directories(case: Case) -> Iterator[_Evidence]:
    for path, entry in sorted(case.entries.items()):
        match = _DIRECTORY.fullmatch(path) if entry.kind == "dir" else None
        if match is not None:
            yield path, f"cu{match[1]}", f"the directory nvidia/cu{match[1]}", int(match[1])
