"""Small images to judge: ELF files written byte by byte (no compiler is needed), and a sound image to break."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from orchestrator.digest import blake3_bytes
from orchestrator.image.checks import Verdict, run_checks
from orchestrator.image.elf import read_elf
from orchestrator.image.model import Component, Subject, View
from orchestrator.recipe.image import Checks, Config, Image, ImageDocument, Python, Waiver
from orchestrator.recipe.python_lock import PythonLock, Wheel
from orchestrator.tree import Entry, Manifest

Files = Mapping[str, "bytes | str"]  # a string is the target of a link

X86_64, AARCH64, CUDA = 62, 183, 190
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF


def elf(
    *,
    needed: Sequence[str] = (),
    soname: str = "",
    runpath: str = "",
    rpath: str = "",
    wants: Sequence[str] = (),
    defines: Sequence[str] = (),
    machine: int = X86_64,
    kind: int = 3,
    interpreter: bool = False,
    dynamic: bool = True,
) -> bytes:
    """A 64-bit ELF file with program headers and a dynamic section, and no section headers."""
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text.encode()) - 1

    tags = [(_NEEDED, string(name)) for name in needed]
    tags += [(tag, string(text)) for tag, text in ((_SONAME, soname), (_RPATH, rpath), (_RUNPATH, runpath)) if text]
    libc = string("libc.so.6")
    verneed = b""
    if wants:
        verneed = struct.pack("<HHIII", 1, len(wants), libc, 16, 0)
        for index, name in enumerate(wants):
            verneed += struct.pack("<IHHII", 0, 0, 2 + index, string(name), 0 if index == len(wants) - 1 else 16)
    verdef = b""
    for index, name in enumerate(defines):
        last = index == len(defines) - 1
        verdef += struct.pack("<HHHHIII", 1, 0, 1 + index, 1, 0, 20, 0 if last else 28) + struct.pack(
            "<II", string(name), 0
        )
    headers = 1 + dynamic + interpreter
    start = 64 + 56 * headers
    at_need, at_def = start + len(strings), start + len(strings) + len(verneed)
    tags += [(_STRTAB, start), (_STRSZ, len(strings))]
    tags += [(_VERNEED, at_need), (_VERNEEDNUM, 1)] if wants else []
    tags += [(_VERDEF, at_def), (_VERDEFNUM, len(defines))] if defines else []
    table = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    at_table = at_def + len(verdef)
    end = at_table + len(table)
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    programs = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, 4096)
    if dynamic:
        programs += struct.pack("<IIQQQQQQ", 2, 6, at_table, at_table, at_table, len(table), len(table), 8)
    if interpreter:
        programs += struct.pack("<IIQQQQQQ", 3, 4, start, start, start, 1, 1, 1)
    return head + programs + bytes(strings) + verneed + verdef + table


def metadata(name: str, version: str, *requires: str) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {text}" for text in requires), "", "A text.", ""]).encode()


SITE = "opt/dynamo/venv/lib/python3.11/site-packages"


def dist(name: str, version: str, *requires: str, tag: str = "py3-none-any") -> dict[str, bytes | str]:
    """The dist-info of an installed distribution."""
    home = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    return {f"{home}/METADATA": metadata(name, version, *requires), f"{home}/WHEEL": f"Tag: {tag}\n".encode()}


def wheel(file_name: str) -> Wheel:
    name, version = file_name.split("-")[:2]
    return Wheel(name=name.replace("_", "-"), version=version, file_name=file_name, size=1, sha256="0" * 64)


def lock_of(*file_names: str) -> PythonLock:
    return PythonLock(
        python="3.11",
        platform="x86_64-manylinux_2_36",
        exclude_newer="2026-03-05",
        input="0" * 64,
        made="2026-11-22",
        wheels=tuple(wheel(name) for name in file_names),
    )


LIBC = "usr/lib/x86_64-linux-gnu/libc.so.6"
UCX = "usr/local/ucx/lib"
NIXL = "opt/nvidia/nvda_nixl/lib64"


def library(soname: str, *needed: str, **more: Any) -> bytes:
    return elf(soname=soname, needed=(*needed, "libc.so.6"), wants=("GLIBC_2.17",), **more)


def sound() -> dict[str, dict[str, bytes | str]]:
    """The components of an image with nothing wrong about it, for CUDA 12."""
    base: dict[str, bytes | str] = {
        "lib": "usr/lib",
        LIBC: elf(soname="libc.so.6", defines=("GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_PRIVATE")),
        "usr/bin/sh": elf(needed=("libc.so.6",), interpreter=True),
        "usr/bin/python3.11": elf(needed=("libc.so.6",), interpreter=True),
        "etc/mtab": "/proc/mounts",
    }
    ucx: dict[str, bytes | str] = {
        f"{UCX}/ucx/libuct_ib.so.0": library("libuct_ib.so.0", "libuct.so.0", runpath="$ORIGIN/..")
    }
    for name in ("libucp", "libuct", "libucs", "libucm"):
        ucx |= {f"{UCX}/{name}.so.0.0.0": library(f"{name}.so.0"), f"{UCX}/{name}.so.0": f"{name}.so.0.0.0"}
    nixl: dict[str, bytes | str] = {
        f"{NIXL}/libnixl.so": library("libnixl.so", "libucp.so.0", "libcuda.so.1", "libcudart.so.12"),
        f"{NIXL}/libnixl_build.so": library("libnixl_build.so"),
        f"{NIXL}/plugins/libplugin_UCX.so": library("libplugin_UCX.so", "libnixl.so", runpath="$ORIGIN/.."),
    }
    cuda: dict[str, bytes | str] = {
        "usr/local/cuda/lib64/libcudart.so.12": library("libcudart.so.12"),
        "usr/local/cuda/lib64/libcufft.so.11": library("libcufft.so.11"),
        "usr/local/cuda/lib64/libcurand.so.10": library("libcurand.so.10"),
    }
    torch = dist("torch", "2.9.1", "numpy>=1.20", "nvidia-cublas-cu12==12.8.4.1; platform_machine == 'x86_64'")
    wheels = {
        "wheel:torch": torch | {"opt/dynamo/venv/bin/torchrun": b"#!/opt/dynamo/venv/bin/python\nprint(1)\n"},
        "wheel:numpy": dist("numpy", "1.26.4", "tomli; python_version < '3.11'", "tox; extra == 'dev'"),
        "wheel:nvidia-cublas-cu12": dist("nvidia-cublas-cu12", "12.8.4.1"),
    }
    system: dict[str, bytes | str] = {"opt/dynamo/venv/bin/python": "/usr/bin/python3.11"}
    return {"debian-runtime": base, "ucx": ucx, "nixl": nixl, "cuda": cuda, **wheels, "system": system}


VERSIONS = {"cuda": "12.9"}
PYTHON = Python(requirements=("torch==2.9.1",), exclude_newer="2026-03-05")
CHECKS = Checks(plugins=("UCX",), ucx_modules=("uct_ib",), dlopen=("libnixl.so",), budget=1_000_000)
LOADER = (f"/{NIXL}", f"/{UCX}", "/usr/local/cuda/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


def subject(
    components: Mapping[str, Files],
    *,
    checks: Checks = CHECKS,
    python: Python | None = PYTHON,
    lock: PythonLock | None = None,
    config: Config | None = None,
    options: Mapping[str, str] | None = None,
    mode: int = 0o755,
) -> Subject:
    contents: dict[str, bytes] = {}
    owner: dict[str, int] = {}
    entries: dict[str, Entry] = {}
    manifests = []
    for index, files in enumerate(components.values()):
        mine: dict[str, Entry] = {}
        for path, data in files.items():
            for parent in list(Path(path).parents)[:-1]:
                mine[str(parent)] = Entry(str(parent), "dir", 0o755)
            if isinstance(data, str):
                mine[path] = Entry(path, "link", 0o777, target=data)
            else:
                mine[path] = Entry(path, "file", mode, size=len(data), digest=blake3_bytes(data).hex)
                contents[path] = data
        owner |= dict.fromkeys(mine, index)
        entries |= mine
        manifests.append(Manifest(tuple(mine.values())))
    parts = tuple(
        Component(
            name=name,
            version=VERSIONS.get(name, "1"),
            origin="source",
            kind="base" if name.startswith("debian") else "native",
            object=manifest.digest,
            key=None,
        )
        for name, manifest in zip(components, manifests, strict=True)
    )
    document = ImageDocument(
        name="small",
        summary="A small image",
        version="1",
        python=python,
        checks=checks,
        config=config or Config(),
        options=dict(options or {}),
    )
    image = Image(
        document=document,
        where="recipes/images/small/image.toml",
        directory=Path("recipes/images/small"),
        lock=lock,
        lock_missing=False,
        files={},
    )
    facts = {path: read_elf(BytesIO(data), path) for path, data in contents.items() if data.startswith(b"\x7fELF")}
    view = View(components=parts, manifests=tuple(manifests), owner=owner, entries=entries)
    return Subject(image=image, view=view, elf=facts, ldconf=LOADER, lock=lock, read=contents.__getitem__)


def judge(more: Mapping[str, Files] | None = None, *, without: Sequence[str] = (), **given: Any) -> Verdict:
    """The verdict on the sound image with more files in its components (or in new ones), without some paths."""
    components: dict[str, dict[str, bytes | str]] = sound()
    for name, files in (more or {}).items():
        components.setdefault(name, {}).update(files)
    for files in components.values():
        for path in without:
            files.pop(path, None)
    return run_checks(subject(components, **given))


def found(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.path, finding.name) for finding in verdict.findings]


def waive(**fields: str) -> Checks:
    """The sound image's checks with a waiver."""
    from dataclasses import replace

    return replace(CHECKS, waive=(Waiver(reason="a test", **fields),))
