"""Lay a NIXL wheel out as an installed NIXL, linked to the closure's one UCX and one libfabric.

usage: relink.py WHEEL CHOOSER PREFIX

WHEEL is the unpacked nixl_cu12 or nixl_cu13 wheel, CHOOSER the unpacked `nixl` package that imports it. In a wheel
third-party libraries stand under hashed names beside private copies of UCX, rdma-core, libnl and libnuma, and every
plugin stands there twice. Under PREFIX there is one of each:

    lib64               libnixl and what belongs to it
    lib64/plugins       the plugins, found beside libnixl
    lib64/private       third-party libraries that the plugins need (AWS, gRPC, Azure), under their hashed names
    lib/python3.11/site-packages

UCX, libfabric, rdma-core, libnl and libnuma come from the closure.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The names that the closure gives to libraries that the wheel brings as hashed copies.
SONAMES = {
    "libucm": "libucm.so.0",
    "libucs": "libucs.so.0",
    "libuct": "libuct.so.0",
    "libucp": "libucp.so.0",
    "libibverbs": "libibverbs.so.1",
    "libmlx5": "libmlx5.so.1",
    "libnl-3": "libnl-3.so.200",
    "libnl-route-3": "libnl-route-3.so.200",
    "libnuma": "libnuma.so.1",
}
HASHED = re.compile(r"(?P<stem>lib.+)-[0-9a-f]{8}\.so[.\d]*")
CLOSURE = ("/usr/local/ucx/lib", "/usr/local/libfabric/lib", "/usr/local/hwloc/lib")
NOT_INSTALLED = {"libnixl_test_utils.so"}


def patchelf(*arguments: str | Path) -> str:
    """Run patchelf. Ask for one change at a time: 0.14 mixes up the strings of two."""
    return subprocess.run(["patchelf", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def closure_name(name: str) -> str | None:
    """What the closure calls a library that the wheel brings a copy of; None for one it does not have."""
    match = HASHED.fullmatch(name)
    return SONAMES.get(match["stem"]) if match else None


def relink(library: Path, *own: str) -> None:
    """Let a library ask for the closure's names, and look in its own places, the closure's, then its vendor's in /opt.

    The places go into DT_RPATH, which LD_LIBRARY_PATH does not overrule: no other UCX on it is mixed in.
    """
    for name in patchelf("--print-needed", library).split():
        if wanted := closure_name(name):
            patchelf("--replace-needed", name, wanted, library)
    vendors = [path for path in patchelf("--print-rpath", library).split(":") if path.startswith("/opt/")]
    patchelf("--force-rpath", "--set-rpath", ":".join([*own, *CLOSURE, *vendors]), library)


def install(source: Path, directory: Path) -> Path:
    """Copy one library."""
    directory.mkdir(parents=True, exist_ok=True)
    target = Path(shutil.copyfile(source, directory / source.name))
    target.chmod(0o755)
    return target


def libraries(wheel: Path, lib: Path) -> None:
    """Install libnixl, its plugins and the third-party libraries."""
    (own,) = wheel.glob(".nixl_cu*.mesonpy.libs")
    (others,) = wheel.glob("nixl_cu*.libs")
    for library in sorted(own.glob("*.so")):  # the versioned ones, such as liburing.so.2, are in `others` too
        if library.name not in NOT_INSTALLED:
            relink(install(library, lib), "$ORIGIN", "$ORIGIN/private")
    for plugin in sorted(own.glob("plugins/*.so")):
        relink(install(plugin, lib / "plugins"), "$ORIGIN/..", "$ORIGIN/../private")
    for library in sorted(others.glob("lib*.so*")):
        if not closure_name(library.name):
            relink(install(library, lib / "private"), "$ORIGIN")


def packages(wheel: Path, chooser: Path, site: Path) -> None:
    """Install the Python packages of both wheels."""
    for source in (wheel, chooser):
        for entry in sorted(source.iterdir()):
            if entry.name.startswith(".") or entry.suffix in {".libs", ".data", ".scripts"}:
                continue
            if entry.is_dir():  # the wheel's own SBOM lists the copies that stay out
                shutil.copytree(entry, site / entry.name, ignore=shutil.ignore_patterns("sboms"))
            else:
                shutil.copyfile(entry, site / entry.name)
    for path in site.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
    for extension in sorted(site.glob("*/*.so")):
        relink(extension, "$ORIGIN/../../../../lib64", "$ORIGIN/../../../../lib64/private")


def record(site: Path) -> None:
    """Write each distribution's RECORD anew: the wheel's names what was moved or left out."""
    for old in sorted(site.glob("*.dist-info/RECORD")):
        listed = (line.split(",")[0] for line in old.read_text(encoding="utf-8").splitlines())
        lines = []
        for name in sorted(name for name in listed if (site / name).is_file() and site / name != old):
            data = (site / name).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(data)}\n")
        old.write_text("".join([*lines, f"{old.relative_to(site)},,\n"]), encoding="utf-8")


def main() -> None:
    wheel, chooser, prefix = (Path(argument) for argument in sys.argv[1:])
    libraries(wheel, prefix / "lib64")
    site = prefix / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    packages(wheel, chooser, site)
    record(site)


if __name__ == "__main__":
    main()
