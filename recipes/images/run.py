"""Check NIXL in an image: one UCX, which is the recipes' own, and a transfer between two agents through it."""

import ctypes
import importlib.metadata
import os
import re
import subprocess
import sys
import time
from pathlib import Path

UCX = Path("/usr/local/ucx/lib")
DRIVER = "libcuda.so.1"
SIZE = 4 << 20
PATIENCE_S = 60


def driver_that_refuses(directory: Path) -> None:
    """Start again with a libcuda.so.1 whose every function returns an error, unless the machine has one.

    NIXL 0.9 is linked to the driver's library, so that without one its UCX plugin cannot be loaded at all.
    """
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        assert directory.as_posix() not in os.environ.get("LD_LIBRARY_PATH", ""), f"{DRIVER} cannot be made"
    else:
        return
    names: set[str] = set()
    for library in (*Path(os.environ["NIXL_PLUGIN_DIR"]).glob("*.so"), *UCX.glob("ucx/*.so")):
        symbols = subprocess.run(["nm", "-D", "-u", library], check=True, capture_output=True, text=True).stdout
        names |= set(re.findall(r" U (cu(?!File)[A-Z]\w*)$", symbols, re.MULTILINE))
    directory.mkdir()
    source = directory / "driver.c"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(names)))
    soname = f"-Wl,-soname,{DRIVER}"
    subprocess.run(["gcc", "-shared", "-fPIC", soname, "-o", directory / DRIVER, source], check=True)
    path = ":".join(filter(None, [directory.as_posix(), os.environ.get("LD_LIBRARY_PATH")]))
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_LIBRARY_PATH": path})


def check_ucx() -> None:
    """The loader's UCX is the recipes' own; say its version."""
    ucp = ctypes.CDLL("libucp.so.0")
    ucp.ucp_get_version_string.restype = ctypes.c_char_p
    print("UCX", ucp.ucp_get_version_string().decode())


def wait(what: str, done: object) -> None:
    """Until `done()` is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"no {what} after {PATIENCE_S} s"


def check_transfer() -> None:
    """One agent writes into another's memory and tells it so."""
    import torch
    from nixl._api import nixl_agent, nixl_agent_config

    source, target = (nixl_agent(name, nixl_agent_config(backends=["UCX"])) for name in ("source", "target"))
    sent = torch.randint(0, 256, (SIZE,), dtype=torch.uint8)
    received = torch.zeros(SIZE, dtype=torch.uint8)
    source.register_memory(sent)
    target.register_memory(received)
    peer = source.add_remote_agent(target.get_agent_metadata())
    local, remote = source.get_xfer_descs(sent), target.get_xfer_descs(received)
    handle = source.initialize_xfer("WRITE", local, remote, peer, b"done")
    assert source.transfer(handle) != "ERR"
    wait("end of the transfer", lambda: source.check_xfer_state(handle) != "PROC")
    assert source.check_xfer_state(handle) == "DONE"
    notified: list[bytes] = []
    wait("notification", lambda: notified.extend(target.get_new_notifs().get("source", ())) or notified)
    assert notified == [b"done"], notified
    assert torch.equal(sent, received), "other bytes arrived"


def check_maps() -> None:
    """One file of each of UCX's and NIXL's libraries is mapped."""
    mapped: dict[str, set[Path]] = {}
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = Path(line.split()[-1])
        if match := re.match(r"(libuc[mstp]|libnixl|libfabric)(-[0-9a-f]{8})?\.so", path.name):
            mapped.setdefault(match[1], set()).add(path)
    assert {"libucp", "libnixl"} <= mapped.keys(), sorted(mapped)
    for name, files in mapped.items():
        assert len(files) == 1, f"{name} is mapped from {sorted(files)}"
        assert not name.startswith("libuc") or next(iter(files)).parent == UCX, files


def main() -> None:
    driver_that_refuses(Path("driver").absolute())
    check_ucx()
    check_transfer()
    check_maps()
    print(f"NIXL {importlib.metadata.version('nixl')}: {SIZE} bytes from one agent to another")


if __name__ == "__main__":
    main()
