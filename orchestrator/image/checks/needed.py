"""Every library that an ELF file needs is found inside the image, the way the loader looks for it.

As the loader does, it counts what every file that needs this one has in its DT_RPATH, or needs itself and so has
loaded before. LD_LIBRARY_PATH counts for nothing, nor what a program opens first: recipes that rely on that waive it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.model import Finding

# The driver's own: the machine's NVIDIA runtime puts them there when a container starts.
DRIVER = frozenset(
    {
        "libcuda.so.1",
        "libcuda.so",
        "libcudadebugger.so.1",
        "libnvcuvid.so.1",
        "libnvidia-allocator.so.1",
        "libnvidia-cfg.so.1",
        "libnvidia-encode.so.1",
        "libnvidia-fbc.so.1",
        "libnvidia-gpucomp.so.1",
        "libnvidia-ml.so.1",
        "libnvidia-ml.so",
        "libnvidia-ngx.so.1",
        "libnvidia-nvvm.so.4",
        "libnvidia-opencl.so.1",
        "libnvidia-opticalflow.so.1",
        "libnvidia-pkcs11.so.1",
        "libnvidia-ptxjitcompiler.so.1",
        "libnvoptix.so.1",
    }
)
_LIBRARY = re.compile(r".*\.so(\.\d+)*")


def find(case: Case) -> Iterator[Finding]:
    """Needed sonames that lead to no file, and files that are called libraries and cannot be read as such."""
    requirers = _requirers(case)
    for path, facts in sorted(case.subject.elf.items()):
        if not facts.machine:
            if _LIBRARY.fullmatch(path):
                yield finding(
                    "needed",
                    path,
                    "broken",
                    f"it begins like an ELF file and cannot be read as one, from {case.owner(path)}",
                    f"look at its source, or let it pass: {waiver('needed', path, 'broken')}",
                )
            continue
        if not case.is_own(facts):
            continue
        for soname in dict.fromkeys(facts.needed):
            if soname not in DRIVER and not _is_found(case, soname, path, requirers):
                yield finding(
                    "needed", path, soname, f"{soname} is not found where the loader looks", _hint(case, path, soname)
                )


def _requirers(case: Case) -> Mapping[str, tuple[str, ...]]:
    """For each file, those that need it by their own means."""
    found: dict[str, dict[str, None]] = {}
    for path, facts in case.subject.elf.items():
        if case.is_own(facts):
            for soname in facts.needed:
                target = case.library(soname, path, facts.runpath)
                if target is not None:
                    found.setdefault(target, {})[path] = None
    return {target: tuple(paths) for target, paths in found.items()}


def _is_found(case: Case, soname: str, path: str, requirers: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether `path` gets `soname`: by its own means, or whichever files load it see to that, all of them."""
    facts = case.subject.elf[path]
    if case.library(soname, path, facts.runpath) is not None:
        return True
    own_last_word = bool(facts.runpath) and not facts.inherited  # DT_RUNPATH
    waiting, seen, given = [path], {path}, False
    while waiting:
        above = requirers.get(waiting.pop(), ())
        if not above:
            return False  # a program opens it, and nothing was loaded before
        for other in above:
            if other in seen:
                continue
            seen.add(other)
            upper = case.subject.elf[other]
            # What a file needs itself is loaded before what its libraries need.
            gives = soname in upper.needed or (upper.inherited and not own_last_word)
            if gives and case.library(soname, other, upper.runpath) is not None:
                given = True
            else:
                waiting.append(other)
    return given


def _hint(case: Case, path: str, soname: str) -> str:
    elsewhere = case.by_name.get(soname)
    mend = (
        f"/{elsewhere[0]} is no place the loader looks in: set the run path of the file, or add the directory to "
        "config.ldconf"
        if elsewhere
        else f"add the component that has {soname}, or drop the file"
    )
    return f"{mend}; if something else loads it first, let it pass: {waiver('needed', path, soname)}"
