"""Load the CUDA libraries by their loader names and ask each which version it is.

usage: check.py MAJOR.MINOR
"""

import ctypes
import sys


def runtime_version(major: int) -> tuple[int, int]:
    """The version that libcudart says it is; 12.9 is 12090."""
    number = ctypes.c_int()
    status = ctypes.CDLL(f"libcudart.so.{major}").cudaRuntimeGetVersion(ctypes.byref(number))
    assert status == 0, f"cudaRuntimeGetVersion returned {status}"
    return number.value // 1000, number.value % 1000 // 10


def compiler_version(major: int) -> tuple[int, int]:
    """The version that libnvrtc says it is."""
    found_major, found_minor = ctypes.c_int(), ctypes.c_int()
    library = ctypes.CDLL(f"libnvrtc.so.{major}")
    status = library.nvrtcVersion(ctypes.byref(found_major), ctypes.byref(found_minor))
    assert status == 0, f"nvrtcVersion returned {status}"
    return found_major.value, found_minor.value


def main() -> None:
    major, minor = (int(part) for part in sys.argv[1].split("."))
    for ask in (runtime_version, compiler_version):
        found = ask(major)
        assert found == (major, minor), f"{ask.__name__}: wanted {major}.{minor}, found {found}"
    for name in ("libcudart.so", "libnvrtc.so", "libnvrtc-builtins.so"):
        ctypes.CDLL(f"/usr/local/cuda/lib64/{name}")


if __name__ == "__main__":
    main()
