"""`orch cache keygen`: make a key that signs what is pushed to a team's cache."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from orchestrator.errors import UsageError

TEXTS = {"keygen": "make a key that signs what is pushed; print its public half, which orch.toml is to trust"}
EPILOGS = {
    "keygen": """\
examples:
  orch cache keygen acme-ci-2026 ~/.config/orch/acme.key
The secret half is in FILE, readable by you alone; the public half is printed, and is in FILE.pub.
Whoever is to copy from the cache writes it into orch.toml:
  [store]
  trusted_keys = ["acme-ci-2026:..."]
"""
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="what the key is called in plans and reasons")
    parser.add_argument("file", type=Path, metavar="FILE", help="where the secret half goes; it may not exist yet")


def run(arguments: argparse.Namespace) -> int:
    """Make the two files; the public key goes to stdout."""
    from orchestrator.store.durable import write_file
    from orchestrator.store.signature import SecretKey
    from orchestrator.tree import disk

    key = SecretKey.new(arguments.name)
    file: Path = arguments.file.expanduser().absolute()
    public = file.with_name(f"{file.name}.pub")
    for path in (file, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already", hint="a key is never replaced: choose another file")
    with disk("write", file):
        write_file(file, f"{key.text()}\n".encode(), mode=0o600)
        write_file(public, f"{key.public}\n".encode())
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("cache keygen", {"name": key.name, "public": str(key.public), "file": str(file)})
    else:
        print(key.public)
    return 0
