"""Commands asked twice: whether the second was answered with what the first had saved."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cli_project import Cli

AGE = 100_000_000  # nanoseconds; twenty ticks or so; no test waits two seconds
START = "from orchestrator.cli.main import entry\nentry()\n"
# The age is set once somebody imports what has it: an answer does not.
QUICK = f"""
import sys
class Ages:
    def find_spec(self, name, path=None, target=None):
        if name in ("orchestrator.cli.build", "orchestrator.cli.image"):
            import orchestrator.cli.remember
            orchestrator.cli.remember.YOUNG = {AGE}
sys.meta_path.insert(0, Ages())
"""
SETTLED = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, what it said, and whether a saved answer was all it took."""

    status: int
    out: str
    saved: bool
    imported: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A project and commands run in it, each a process of its own with the code in `code`."""

    cli: Cli
    code: Path
    start: str = QUICK + START

    def ask(self, *words: str, cwd: Path | None = None, **env: str) -> Said:
        kept = {"PATH": "/nonexistent", "HOME": "/nonexistent", "PYTHONPATH": str(self.code)}
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", self.start, *(words or ("build", "tool"))],
            cwd=cwd or self.cli.root,
            env=kept | {"ORCH_STORE": str(self.cli.store)} | env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        imported = frozenset(line.rpartition("|")[2].strip() for line in lines)
        return Said(status=done.returncode, out=done.stdout, saved="argparse" not in imported, imported=imported)

    def settle(self, *words: str, cwd: Path | None = None, **env: str) -> Said:
        """Ask until it is answered at once."""
        time.sleep(SETTLED)
        first = self.ask(*words, cwd=cwd, **env)
        again = self.ask(*words, cwd=cwd, **env)
        assert again.saved, first
        assert (again.status, again.out) == (first.status, first.out)
        return again

    def truth(self, **env: str) -> Said:
        """What is said without answers."""
        for answer in (self.cli.store / "answers").glob("*"):
            answer.unlink()
        return self.ask(**env)
