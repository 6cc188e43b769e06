"""Check the UCX taken out of a NIXL wheel: its version, its modules, and what each module finds or misses.

usage: check-vendor.py VERSION, such as 1.22.0+nixl1.4.1
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

LIB = Path("/usr/local/ucx/lib")

# What no image carries: the driver's libraries come from the machine, gdrcopy and DOCA FlexIO from the user.
CUDA, NVML = "libcuda.so.1", "libnvidia-ml.so.1"
MODULES: dict[str, set[str]] = {
    "libuct_cma": set(),
    "libuct_ib": set(),
    "libuct_ib_efa": set(),
    "libuct_ib_mlx5": set(),
    "libucm_cuda": {CUDA},
    "libuct_cuda": {CUDA, NVML},
    "libuct_ib_mlx5_gda": {CUDA, NVML},
}
MODULES_OF: dict[str, dict[str, set[str]]] = {
    "1.20.0": {"libuct_rdmacm": set(), "libuct_cuda_gdrcopy": {CUDA, NVML, "libgdrapi.so.2"}},
    "1.21.0": {"libuct_rdmacm": set()},
    "1.22.0": {"libuct_ib_mlx5_ext": set(), "libuct_ib_mlx5_gdp": {CUDA, NVML, "libflexio.so"}},
}


def unresolved(library: Path) -> set[str]:
    """The libraries that the loader cannot find for this one, its dependencies' included."""
    listed = subprocess.run(["ldd", library], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line.endswith("not found")}


def loads(library: Path) -> bool:
    """Whether the library loads with every symbol bound."""
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_NOW)
    except OSError:
        return False
    return True


def mapped(pattern: str) -> set[Path]:
    """The files of this name that the process has mapped."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {path for line in lines if (path := Path(line.split()[-1])).match(pattern)}


def check_version(version: str) -> None:
    """UCX says of itself what the recipe says of it."""
    ucp = ctypes.CDLL("libucp.so.0")
    ucp.ucp_get_version_string.restype = ctypes.c_char_p
    found = ucp.ucp_get_version_string().decode()
    assert found == version, f"libucp calls itself {found}, not {version}"
    for name in ("ucm", "ucs", "uct", "ucp"):
        assert mapped(f"lib{name}*.so*") == {LIB / f"lib{name}.so.0.0.0"}, mapped(f"lib{name}*.so*")


def check_discovery(expected: set[str]) -> None:
    """UCX itself finds and loads its transport modules."""
    components, count = ctypes.c_void_p(), ctypes.c_uint()
    status = ctypes.CDLL("libuct.so.0").uct_query_components(ctypes.byref(components), ctypes.byref(count))
    assert status == 0, f"uct_query_components returned {status}"
    found = {path.name.removesuffix(".so.0.0.0") for path in mapped("ucx/libuct_*")}
    assert found == expected, f"UCX loaded {sorted(found)}, not {sorted(expected)}"


def main() -> None:
    version = sys.argv[1].split("+")[0]
    modules = MODULES | MODULES_OF[version]
    check_version(version)
    check_discovery({name for name, missing in modules.items() if name.startswith("libuct_") and not missing})

    present = {path.name.removesuffix(".so") for path in (LIB / "ucx").glob("*.so")}
    assert present == set(modules), f"modules are {sorted(present)}, not {sorted(modules)}"
    for name, missing in modules.items():
        module = LIB / "ucx" / f"{name}.so.0"
        assert unresolved(module) == missing, f"{name} misses {unresolved(module)}, not {missing}"
        assert loads(module) != bool(missing), f"{name} {'loads' if missing else 'does not load'}"
    alone = sum(not missing for missing in modules.values())
    print(f"UCX {version}: {len(modules)} modules, {alone} of them load without a driver")


if __name__ == "__main__":
    main()
