"""Check a NIXL that was built from source: its plugins, bytes through UCX and POSIX, one UCX and one libfabric.

usage: check-source.py [--driver]

What is done with it is check.py's, which looks at a NIXL out of a wheel; here other plugins are expected.
"""

import importlib
import random
import sys

import check

EXPECTED = {"UCX": {check.CUDA}, "LIBFABRIC": {check.CUDA}, "POSIX": set()}


def main() -> None:
    driver = "--driver" in sys.argv[1:]
    expected = {name: set() if driver else missing for name, missing in EXPECTED.items()}
    plugins = check.PREFIX / "lib64/plugins"
    present = {path.stem.removeprefix("libplugin_") for path in plugins.glob("libplugin_*.so")}
    assert set(expected) <= present, f"plugins are {sorted(present)}; {sorted(set(expected) - present)} are missing"
    for name, missing in expected.items():
        found = check.unresolved(plugins / f"libplugin_{name}.so")
        assert found == missing, f"{name} misses {found}, not {missing}"

    (package,) = check.SITE.glob("nixl_cu*[0-9]")
    sys.path.insert(0, str(package))
    nixl = importlib.import_module("_bindings")
    content = random.Random(0).randbytes(check.SIZE)
    check.check_posix(nixl, content)
    used = {"libnixl"}
    if driver:
        check.check_ucx(nixl, content)
        agent = nixl.nixlAgent("plugins", nixl.nixlAgentConfig(True))
        agent.getPluginParams("LIBFABRIC")
        used |= {"libucp", "libfabric"}
    check.check_maps(used)
    print(f"nixl: loaded {', '.join(sorted(name for name in expected if not expected[name]))}")


if __name__ == "__main__":
    main()
