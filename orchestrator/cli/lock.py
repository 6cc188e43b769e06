"""Write the lock file of a base anew: every .deb that its packages need today, by hash.

apt does the solving in a scratch directory, so this one verb needs apt on the host. The keys of all
that is built in the base move with the lock: look at the difference before you commit it.
"""

from __future__ import annotations

import argparse
import datetime

from orchestrator.cli.numbers import bytes_text
from orchestrator.cli.opening import add_place_arguments, open_project
from orchestrator.errors import MachineError, UsageError

EPILOG = """\
examples:
  orch lock debian-build
  orch lock debian-build --mirror ADDRESS    read this archive and no other
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="BASE", help="a base recipe, such as debian-build")
    parser.add_argument("--mirror", metavar="ADDRESS", help="the archive to read (else orch.toml's, else apt's own)")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Resolve and write."""
    from orchestrator.fetch import Machine, Mirrors, parse_name
    from orchestrator.fetch.debian_lock import lock_base
    from orchestrator.fetch.places import places_of
    from orchestrator.recipe.lock import write_lock

    opened = open_project(arguments)
    recipe = opened.recipes.get(arguments.name)
    if recipe is None or recipe.base is None:
        bases = [name for name, other in opened.recipes.items() if other.base is not None]
        raise UsageError(f"{arguments.name!r} is no base", hint=f"bases: {', '.join(bases)}")
    mirrors = Mirrors(**opened.project.mirrors)
    places = [place.address for place in places_of(parse_name("debian:pool/any"), mirrors, Machine.here())]
    mirror = arguments.mirror or next(iter(places), None)
    if mirror is None:
        raise MachineError("no Debian archive is known here", hint="orch lock BASE --mirror ADDRESS")
    (name, old), *_ = recipe.locks.items()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    new = lock_base(recipe.base.suite, recipe.base.packages, old.architecture, mirror, made=today)
    path = recipe.directory / name
    before = {deb.name: deb.version for deb in old.debs}
    after = {deb.name: deb.version for deb in new.debs}
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if new.debs != old.debs or new.packages != old.packages:
        path.write_text(write_lock(new))
    if arguments.json:
        from orchestrator.cli.document import print_document

        changes = {name: [before.get(name), after.get(name)] for name in changed}
        print_document("lock", {"path": str(path), "packages": len(after), "changes": changes})
        return 0
    size = sum(deb.size for deb in new.debs)
    print(f"{path}: {len(after)} packages, {bytes_text(size)}, {len(changed)} changed")
    for name in changed:
        print(f"  {name}: {before.get(name, 'absent')} -> {after.get(name, 'gone')}")
    return 0
