"""The first look at a source that nobody has pinned yet: whatever comes under its name is stored, and its hash is told.

Who writes a recipe has to begin somewhere. All later fetches are `fetch`'s, which keeps nothing but what is pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.digest import sha256_file
from orchestrator.errors import MachineError, SourceError
from orchestrator.events import FetchProgress, Monitor
from orchestrator.fetch import pypi
from orchestrator.fetch.download import Download
from orchestrator.fetch.git import git_archive
from orchestrator.fetch.places import Mirrors, joined, local_candidates, no_places, places_of
from orchestrator.fetch.settings import Machine, Place, certificates
from orchestrator.fetch.url import DebianName, GitName, Name, PypiName, parse_name, without_secrets
from orchestrator.fetch.web import Address, Missed, Patience, Web, web_of
from orchestrator.frozen import frozen
from orchestrator.store import Layout, add_source, list_sources, source_file, staging
from orchestrator.tree import disk


@frozen
class Seen:
    """A source that was looked at: its file in the store, where that came from, and whether an index vouches for it."""

    file: Path
    sha256: str  # hex
    size: int  # bytes
    origin: str
    vouched: bool = False


def first_look(
    layout: Layout,
    text: str,
    *,
    mirrors: Mirrors,
    base: Path,
    monitor: Monitor,
    machine: Machine | None = None,
    patience: Patience | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Seen:
    """The source called `text`, from the first place that has it; from the store if it came under that name before.

    `base` is the directory that `file:` names are relative to. Raise RecipeError for what is no name, MachineError if
    no place has it, SourceError if what came is not what its index says, KeyboardInterrupt soon after `stopped()`.
    """
    name = parse_name(text)
    for stored in list_sources(layout):
        if text in stored.names and (file := source_file(layout, stored.sha256)) is not None:
            return Seen(file=file, sha256=stored.sha256, size=stored.size, origin="this store")
    machine = machine or Machine.here()
    web = web_of(certificates(machine), patience or Patience())

    def report(done: int, total: int | None) -> None:
        if stopped():
            raise KeyboardInterrupt
        monitor(FetchProgress(source=text, done=done, total=total))

    answers: list[str] = []
    for place in places_of(name, mirrors, machine):
        try:
            return _look(layout, text, name, place, base, web, report)
        except Missed as missed:
            answers.append(f"{without_secrets(place.address)} (from {place.said_by}): {missed.answer}")
    raise MachineError(
        f"cannot fetch {text}",
        why="\n".join(["it was looked for in:", *(answers or [no_places(name)])]),
        hint="download it by other means and name the file instead",
    )


def _look(
    layout: Layout,
    text: str,
    name: Name,
    place: Place,
    base: Path,
    web: Web,
    report: Callable[[int, int | None], None],
) -> Seen:
    """What one place has. Raise Missed if it has nothing."""
    if isinstance(name, GitName):
        with staging(layout, "first-look") as room:
            top = name.url.rpartition("/")[2].removesuffix(".git")
            archive = git_archive(name, room, top=top, patience=web.patience)
            return _keep(layout, text, archive, name.url, None)
    if candidates := local_candidates(name, place, base):
        file = next((path for path in candidates if path.is_file()), None)
        if file is None:
            raise Missed(f"no file {' or '.join(str(path) for path in candidates)}")
        return _keep(layout, text, file, str(file), None)
    address, promised = _address(web, name, place)
    with staging(layout, "first-look") as room:
        file = room / "file"
        Download(web, address, file, report).run()
        return _keep(layout, text, file, without_secrets(address.url), promised)


def _address(web: Web, name: Name, place: Place) -> tuple[Address, str | None]:
    """Where the file is at this place, and the hash that the place promises."""
    if isinstance(name, PypiName):
        found = pypi.find(web, place.address, name)
        return found.address, found.sha256
    address = Address.of(place.address)
    return (Address(joined(address.url, name.path), address.login) if isinstance(name, DebianName) else address), None


def _keep(layout: Layout, text: str, file: Path, origin: str, promised: str | None) -> Seen:
    with disk("read", file):
        digest = sha256_file(file)
        size = file.stat().st_size
    if promised not in (None, digest.hex):
        raise SourceError(
            f"{text} is not what its index says",
            why=f"the index says sha256:{promised}, what came is {digest}",
            hint="try again later; if it stays so, ask whoever runs the index",
        )
    kept = add_source(layout, file, sha256=digest.hex, names=(text,))
    return Seen(file=kept, sha256=digest.hex, size=size, origin=origin, vouched=promised is not None)
