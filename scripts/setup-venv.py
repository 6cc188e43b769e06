"""Make the virtual environment in the directory named and install orch and its test tools into it."""

import subprocess
import sys
import venv
from pathlib import Path

MINIMUM = (3, 11)


def main() -> int:
    if sys.version_info < MINIMUM:
        need = ".".join(map(str, MINIMUM))
        print(f"error: orch needs Python {need}, this is {sys.version.split()[0]}", file=sys.stderr)
        print("  hint:  make PYTHON=python3.11 nixl", file=sys.stderr)
        return 4
    target, root = Path(sys.argv[1]).absolute(), Path(__file__).resolve().parent.parent
    try:
        venv.create(target, with_pip=True, clear=not (target / "bin/python").exists())
    except (subprocess.CalledProcessError, OSError, SystemExit) as error:
        print(f"error: no virtual environment in {target}: {error}", file=sys.stderr)
        print("  hint:  on Debian and Ubuntu: apt-get install python3-venv", file=sys.stderr)
        return 4
    pip = [str(target / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    status = subprocess.call([*pip, "--editable", f"{root}[test]"])
    if status == 0:
        lighten(target, root)
    return status


SCRIPT = """\
{first} -S
import sys

sys.prefix = sys.exec_prefix = {prefix!r}
sys.path = [place for place in sys.path if place != {here!r}] + {places!r}
try:
    from orchestrator.cli.main import entry
except KeyboardInterrupt:  # before anything was begun
    raise SystemExit(130) from None
entry()
"""


def lighten(target: Path, root: Path) -> None:
    """pip's script loads `re` for a suffix that only Windows has, 5 ms each time, and Python's `site` looks for
    what may be plugged into any program, 2.5 ms: say what is needed of both."""
    script = target / "bin/orch"
    first, _, _ = script.read_text().partition("\n")
    (packages,) = target.glob("lib/python*/site-packages")
    if first.startswith("#!") and "python" in first:  # else sh is to find Python: the path is too long for a first line
        places = [str(packages), str(root)]
        script.write_text(SCRIPT.format(first=first, prefix=str(target), here=str(script.parent), places=places))


if __name__ == "__main__":
    sys.exit(main())
