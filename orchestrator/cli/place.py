"""Where the store is, for verbs that ask nothing else: no recipe is read."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.store import Layout


def store_of(arguments: argparse.Namespace, *, create: bool = True) -> Layout:
    """The store: --store beats ORCH_STORE beats the project's. Without `create` it is only read, and may be absent.
    Raise UsageError without any of the three, MachineError."""
    from orchestrator.store import open_store

    return open_store(Path(_place(arguments)).absolute(), create=create)


def _place(arguments: argparse.Namespace) -> Path | str:
    named: Path | str | None = arguments.store or os.environ.get("ORCH_STORE")
    if named:
        return named
    from orchestrator.recipe import find_project

    try:
        project = find_project(Path.cwd())
    except FileNotFoundError as error:
        raise UsageError("the working directory was removed", hint="change to a project's directory") from error
    return project.store or project.root / "store"
