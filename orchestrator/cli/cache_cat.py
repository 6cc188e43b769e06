"""`orch cache cat`: one file of a stored object."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from orchestrator.cli.cache_view import asked, document, named

TEXTS = {"cat": "print a file of an object; links are followed within it"}
EPILOGS = {
    "cat": """\
With --json what is UTF-8 is `text`, all else `base64`.

examples:
  orch cache cat cuda /usr/local/cuda/version.json
  orch cache cat ucx usr/local/ucx/lib/libucp.so > libucp.so
"""
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="a recipe, key, digest or path in the store")
    parser.add_argument("path", metavar="PATH", help="the file's path in it")


def run(arguments: argparse.Namespace) -> int:
    """Print the file."""
    from orchestrator.digest import Digest
    from orchestrator.store import object_tree, read_manifest
    from orchestrator.store.contents import resolve
    from orchestrator.store.select import choose
    from orchestrator.tree import disk

    with asked(arguments) as (layout, index):
        chosen = choose(layout, index, arguments.name)
    digest = Digest("blake3", chosen.hex)
    entry = resolve(read_manifest(layout, digest), arguments.path)
    if entry is None or entry.kind != "file":
        _refuse(arguments, chosen.label, entry is not None)
    assert entry is not None
    file: Path = object_tree(layout, digest) / entry.path
    with disk("read", file), file.open("rb") as stream:
        if not arguments.json:
            sys.stdout.flush()
            shutil.copyfileobj(stream, sys.stdout.buffer)
            return 0
        data = stream.read()
    content: dict[str, object] = {"path": f"/{entry.path}", "bytes": entry.size, "blake3": entry.digest}
    try:
        content["text"] = data.decode()
    except UnicodeDecodeError:
        import base64

        content["base64"] = base64.b64encode(data).decode()
    document(arguments, {**named(chosen), **content})
    return 0


def _refuse(arguments: argparse.Namespace, label: str, is_directory: bool) -> None:
    from orchestrator.errors import UsageError

    if is_directory:
        hint = f"orch cache tree {arguments.name} {arguments.path}"
        raise UsageError(f"{arguments.path} of {label} is a directory", hint=hint)
    raise UsageError(f"{label} has no file {arguments.path}", hint=f"orch cache tree {arguments.name} lists all")
