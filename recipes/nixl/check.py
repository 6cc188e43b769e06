"""Check an installed NIXL: which plugins load, bytes through UCX and POSIX, one UCX and one libfabric under them.

usage: check.py VERSION [--driver]

With --driver a libcuda.so.1 is expected on the loader's path, though it may refuse every call. NIXL is driven through
its extension module: the Python package over it wants numpy and, before 1.4, torch.
"""

import argparse
import ctypes
import importlib
import importlib.metadata
import importlib.util
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PREFIX = Path("/opt/nvidia/nvda_nixl")
SITE = PREFIX / "lib/python3.11/site-packages"
HOMES = {
    "libucm": Path("/usr/local/ucx/lib"),
    "libucs": Path("/usr/local/ucx/lib"),
    "libuct": Path("/usr/local/ucx/lib"),
    "libucp": Path("/usr/local/ucx/lib"),
    "libfabric": Path("/usr/local/libfabric/lib"),
    "libnixl": PREFIX / "lib64",
}

CLOSURE = {*HOMES, "libhwloc", "libibverbs", "libmlx5", "libnuma", "libcudart"} - {"libnixl"}

# What a plugin misses in an image: the driver comes from the machine; cuFile, DOCA and Infinia's client from the user.
CUDA = "libcuda.so.1"
DOCA = {"libdoca_common.so.2", "libdoca_verbs.so.2", "libdoca_gpunetio.so.2"}
TORCH = {"libtorch.so", "libtorch_python.so", "libtorch_cuda.so"}
PLUGINS: dict[str, set[str]] = {
    "GDS": {"libcufile.so.0"},
    "GDS_MT": {"libcufile.so.0"},
    "GUSLI": set(),
    "LIBFABRIC": {CUDA},
    "OBJ": set(),
    "POSIX": set(),
}
PLUGINS_OF: dict[str, dict[str, set[str]]] = {
    "0.9.0": {"UCX": {CUDA}, "GPUNETIO": {CUDA}},
    "0.10.1": {"UCX": set(), "GPUNETIO": {CUDA}, "AZURE_BLOB": set()},
    "1.0.1": {"UCX": set(), "GPUNETIO": {CUDA, *DOCA}, "AZURE_BLOB": set()},
    "1.4.1": {
        "UCX": set(),
        "GPUNETIO": {CUDA, *DOCA},
        "AZURE_BLOB": set(),
        "INFINIA": {"libred_client.so.2", "libred_async.so"},
    },
}
SIZE = 4 << 20
PATIENCE_S = 60


def stem(path: Path) -> str:
    """A library's name without the wheel's hash and without a version."""
    return re.sub(r"(-[0-9a-f]{8})?\.so.*", "", path.name)


def unresolved(library: Path) -> set[str]:
    """The libraries that the loader cannot find for this one, its dependencies' included."""
    listed = subprocess.run(["ldd", library], check=True, capture_output=True, text=True).stdout
    missing = [line.strip() for line in listed.splitlines() if "not found" in line]
    return {line if "version" in line else line.split()[0] for line in missing}


def check_tree() -> None:
    """Every library stands in the tree once, none is the closure's, and what it needs is there."""
    libraries = [path for path in sorted(PREFIX.rglob("*.so*")) if not path.is_symlink()]
    stems = [stem(path) for path in libraries]
    assert len(set(stems)) == len(stems), sorted(name for name in set(stems) if stems.count(name) > 1)
    assert not CLOSURE & set(stems), CLOSURE & set(stems)
    for library in libraries:
        optional = {CUDA} | (TORCH if library.parent.name.startswith("nixl_ep") else set())
        if library.parent.name != "plugins":
            assert unresolved(library) <= optional, f"{library} misses {unresolved(library)}"


def check_packages(version: str, package: str) -> None:
    """The distributions are the version's, and importing them fails for want of torch or numpy at most."""
    for distribution in ("nixl", package):
        assert importlib.metadata.version(distribution) == version, distribution
    assert importlib.util.find_spec("nixl"), "no nixl on the path"
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        assert error.name in {"numpy", "torch"}, error


def check_plugins(nixl: Any, expected: dict[str, set[str]]) -> None:
    """Exactly the plugins load that find their libraries, and the others miss exactly what is said here."""
    present = {path.stem.removeprefix("libplugin_") for path in PREFIX.glob("lib64/plugins/libplugin_*.so")}
    assert present == set(expected), f"plugins are {sorted(present)}, not {sorted(expected)}"
    agent = nixl.nixlAgent("plugins", nixl.nixlAgentConfig(True))
    for name, missing in expected.items():
        library = PREFIX / f"lib64/plugins/libplugin_{name}.so"
        assert unresolved(library) == missing, f"{name} misses {unresolved(library)}, not {missing}"
        try:
            agent.getPluginParams(name)
        except nixl.nixlNotFoundError:
            assert missing, f"{name} does not load"
        else:
            assert not missing, f"{name} loads without {missing}"
    ctypes.CDLL(str(PREFIX / "lib64/plugins/libtelemetry_exporter_prometheus.so"))


class Side:
    """One agent with one backend and one registered region."""

    def __init__(self, nixl: Any, name: str, plugin: str) -> None:
        self.nixl = nixl
        self.agent = nixl.nixlAgent(name, nixl.nixlAgentConfig(True))
        self.backend = self.agent.createBackend(plugin, {})

    def region(self, kind: Any, address: int, device: int) -> Any:
        """Register a region and describe it. The lists are filled one by one: given whole, they ask for numpy."""
        registered, described = self.nixl.nixlRegDList(kind, 0), self.nixl.nixlXferDList(kind, 0)
        registered.addDesc((address, SIZE, device, ""))
        described.addDesc((address, SIZE, device))
        self.agent.registerMem(registered, [self.backend])
        return described

    def memory(self, content: ctypes.Array[ctypes.c_char]) -> Any:
        """Register a buffer."""
        return self.region(self.nixl.DRAM_SEG, ctypes.addressof(content), 0)

    def transfer(self, operation: Any, local: Any, remote: Any, peer: str, message: str = "") -> None:
        """Start a transfer and wait for its end."""
        request = self.agent.createXferReq(operation, local, remote, peer, message, [self.backend])
        status = self.agent.postXferReq(request)
        deadline = time.monotonic() + PATIENCE_S
        while status == self.nixl.NIXL_IN_PROG:
            assert time.monotonic() < deadline, f"no end of the transfer after {PATIENCE_S} s"
            status = self.agent.getXferStatus(request)
        assert status == self.nixl.NIXL_SUCCESS, status
        self.agent.releaseXferReq(request)


def check_ucx(nixl: Any, content: bytes) -> None:
    """One agent writes into another's memory and tells it so.

    NIXL wants to hear of a peer's failure, for which UCX needs tcp even within a machine. UCX 1.20 looks for a route to
    the first four bytes of a loopback peer's address, which holds no IP address but the boot id: the sandbox's is such
    that they are 127.0.0.1.
    """
    source, target = Side(nixl, "source", "UCX"), Side(nixl, "target", "UCX")
    sent, received = ctypes.create_string_buffer(content, SIZE), ctypes.create_string_buffer(SIZE)
    local, remote = source.memory(sent), target.memory(received)
    source.agent.loadRemoteMD(target.agent.getLocalMD())
    source.transfer(nixl.NIXL_WRITE, local, remote, "target", "done")
    deadline = time.monotonic() + PATIENCE_S
    while not (told := target.agent.getNotifs({})):
        assert time.monotonic() < deadline, f"no notification after {PATIENCE_S} s"
    assert told == {"source": [b"done"]}, told
    assert received.raw == content, "other bytes arrived"


def check_posix(nixl: Any, content: bytes) -> None:
    """Memory goes to a file and comes back."""
    side = Side(nixl, "disk", "POSIX")
    sent, received = ctypes.create_string_buffer(content, SIZE), ctypes.create_string_buffer(SIZE)
    with Path("file").open("w+b") as file:
        file.truncate(SIZE)
        stored = side.region(nixl.FILE_SEG, 0, file.fileno())
        side.transfer(nixl.NIXL_WRITE, side.memory(sent), stored, "disk")
        assert file.read() == content, "other bytes were written"
        side.transfer(nixl.NIXL_READ, side.memory(received), stored, "disk")
    assert received.raw == content, "other bytes were read"


def check_maps(used: set[str]) -> None:
    """What the process has mapped of each library is one file, in its home."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    mapped = {path for line in maps if ".so" in (path := Path(line.split()[-1])).name}
    for name in {stem(path) for path in mapped}:
        copies = {path for path in mapped if stem(path) == name}
        assert len(copies) == 1, f"{name} is mapped from {sorted(copies)}"
        assert HOMES.get(name) in {None, copies.pop().parent}, f"{name} is not in {HOMES[name]}"
    assert used <= {stem(path) for path in mapped}, f"not mapped: {used - {stem(path) for path in mapped}}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("version")
    parser.add_argument("--driver", action="store_true")
    arguments = parser.parse_args()

    (package,) = SITE.glob("nixl_cu*[0-9]")
    sys.path.insert(0, str(package))
    nixl = importlib.import_module("_bindings")
    driver = {CUDA} if arguments.driver else set()
    expected = {name: missing - driver for name, missing in (PLUGINS | PLUGINS_OF[arguments.version]).items()}
    content = random.Random(0).randbytes(SIZE)

    if not driver:
        check_tree()
        check_packages(arguments.version, package.name)
    check_plugins(nixl, expected)
    check_posix(nixl, content)
    used = {"libnixl"}
    if not expected["UCX"]:
        check_ucx(nixl, content)
        used |= {"libucp"}
    if not expected["LIBFABRIC"]:
        used |= {"libfabric"}
    check_maps(used)
    print(f"nixl {arguments.version}: loaded {', '.join(sorted(name for name in expected if not expected[name]))}")


if __name__ == "__main__":
    main()
