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
    target = Path(sys.argv[1])
    try:
        venv.create(target, with_pip=True, clear=not (target / "bin/python").exists())
    except (subprocess.CalledProcessError, OSError, SystemExit) as error:
        print(f"error: no virtual environment in {target}: {error}", file=sys.stderr)
        print("  hint:  on Debian and Ubuntu: apt-get install python3-venv", file=sys.stderr)
        return 4
    pip = [str(target / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    status = subprocess.call([*pip, "--editable", f"{Path(__file__).parent.parent}[test]"])
    if status == 0:
        lighten(target / "bin/orch")
    return status


def lighten(script: Path) -> None:
    """pip's script loads `re` for a suffix that only Windows has, 5 ms each time: keep its first line alone."""
    first, _, _ = script.read_text().partition("\n")
    if first.startswith("#!") and "python" in first:  # else sh is to find Python: the path is too long for a first line
        script.write_text(f"{first}\nfrom orchestrator.cli.main import entry\n\nentry()\n")


if __name__ == "__main__":
    sys.exit(main())
