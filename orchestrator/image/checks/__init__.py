"""What must hold before an image gets its name: one file per family of checks, and what the recipe lets pass.

A check is a function from a Case to findings. It reads the merged view and the facts of its ELF files; it never writes,
runs nothing and reaches no network. What clashes is decided where components are merged, before these.
"""

from orchestrator.image.checks.verdict import CHECKS, Verdict, run_checks

__all__ = ["CHECKS", "Verdict", "run_checks"]
