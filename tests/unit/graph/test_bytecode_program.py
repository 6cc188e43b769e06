"""The program that compiles, run by this Python: the same bytes whatever else the process compiles or holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.graph.bytecode import BYTECODE_SCRIPT

PROGRAM = BYTECODE_SCRIPT.partition("<<'PYTHON'\n")[2].removesuffix("PYTHON\n")
# What a module compiled, or imported, earlier in the same process may leave behind.
HELD = "kept = [sys.intern(word) for word in ('rare_name', 'rare_constant', ',', '\\xe9')]\n"
SOURCE = "def function():\n    rare_name = 'rare_constant'\n    return rare_name\n"


def compiled(directory: Path, program: str, processes: int = 1) -> dict[str, bytes]:
    top, out = directory / "site", directory / f"out{len(list(directory.iterdir()))}"
    left_out = directory / "left-out"
    left_out.write_bytes(str(top / "not.py").encode() + b"\0")
    command = [sys.executable, "-B", "-s", "-S", "-P", "-", str(out), str(top), str(left_out), str(processes)]
    done = subprocess.run(command, input=program, text=True, capture_output=True, check=True)
    assert "1 that do not compile" in done.stdout
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.pyc")}


def test_what_the_process_holds_makes_no_difference(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "package").mkdir(parents=True)
    for number in range(40):
        (site / f"package/m{number}.py").write_text(SOURCE * (number % 3 + 1) + f"n{number} = ',', 'é'\n")
    (site / "bad.py").write_text("def\n")
    (site / "not.py").write_text("left = 'out'\n")
    (site / "link.py").symlink_to("package/m1.py")
    plainly = compiled(tmp_path, PROGRAM)
    assert len(plainly) == 40
    held = PROGRAM.replace('warnings.simplefilter("ignore")\n', 'warnings.simplefilter("ignore")\n' + HELD, 1)
    assert held != PROGRAM
    assert compiled(tmp_path, held) == plainly
    assert compiled(tmp_path, PROGRAM, processes=3) == plainly
    # It does make one if nothing is done about it, or this test shows nothing.
    careless = [text.replace("    sys.intern(chr(number))\n", "    pass\n") for text in (PROGRAM, held)]
    assert compiled(tmp_path, careless[0]) != compiled(tmp_path, careless[1])
