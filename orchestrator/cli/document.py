"""`--json`: one document on stdout, with a schema number and the command's name. Keys are only ever added."""

from __future__ import annotations

import json
import sys
from typing import Any

SCHEMA = 1


def print_document(command: str, content: dict[str, Any]) -> None:
    """Print `content` as the command's one document."""
    json.dump({"schema": SCHEMA, "command": command, **content}, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
