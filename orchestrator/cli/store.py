"""Look after the store as a whole: link equal files, carry closures to a machine without a network."""

from __future__ import annotations

import argparse

from orchestrator.cli import closure_carry
from orchestrator.cli.numbers import bytes_text, count_text
from orchestrator.cli.opening import add_place_arguments
from orchestrator.cli.place import store_of

EPILOG = """\
examples:
  orch store optimise --dry-run            what linking equal files would save
  orch store optimise
  orch store export nixl -o nixl.closure   all of it in one file, for a machine without a network
  orch store import nixl.closure           there: verified, and gone on with if it was interrupted
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    verbs = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    one = verbs.add_parser("optimise", help="link equal files of different objects", description=optimise.__doc__)
    one.add_argument("--dry-run", action="store_true", help="say what it would save, and do nothing")
    add_place_arguments(one)
    one.set_defaults(work=optimise)
    one = verbs.add_parser("export", help=closure_carry.EXPORT, description=closure_carry.EXPORT)
    closure_carry.export_arguments(one)
    one.set_defaults(work=closure_carry.run_export)
    one = verbs.add_parser("import", help=closure_carry.IMPORT, description=closure_carry.IMPORT)
    closure_carry.import_arguments(one)
    one.set_defaults(work=closure_carry.run_import)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    status: int = arguments.work(arguments)
    return status


def optimise(arguments: argparse.Namespace) -> int:
    """Equal files of different objects become one file with several names. Safe beside running builds."""
    from orchestrator.store.optimise import optimise as link

    done = link(store_of(arguments), dry_run=arguments.dry_run)
    if arguments.json:
        from orchestrator.cli.document import print_document

        content = {"dry_run": arguments.dry_run, "files": done.files, "saved_bytes": done.bytes}
        print_document("store", content | {"skipped": list(done.skipped)})
        return 0
    verb = "would be linked, which would save" if arguments.dry_run else "linked, which saved"
    print(f"{count_text(done.files, 'file')} {verb} {bytes_text(done.bytes)}")
    if done.skipped:
        are = "is" if len(done.skipped) == 1 else "are"
        print(f"{count_text(len(done.skipped), 'object')} {are} in use, left for the next time")
    return 0
