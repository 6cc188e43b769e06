"""Push an image to a registry. skopeo does the talking: logins, mirrors and certificates are where it looks for them.

Only blobs that the registry lacks travel; the image arrives with the digest that it has here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

from orchestrator.errors import MachineError, UsageError
from orchestrator.image.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, manifest_descriptor
from orchestrator.image.oci import image_index
from orchestrator.process import Ending, find_program, stream
from orchestrator.store import ImageRecord, Layout, staging
from orchestrator.tree import disk

_SHOWN = 3  # lines of what skopeo said last
_HOST = (
    r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:)|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"  # else a part
)
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REF = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)


def check_ref(ref: str) -> None:
    """Raise UsageError unless an image can be pushed to `ref`. What may be a password is not repeated."""
    if _REF.fullmatch(ref.removeprefix("docker://")):
        return
    if "@" in ref:
        what, hint = "this name of an image holds a user or a password", "log in first: skopeo login REGISTRY"
        raise UsageError(what, where="--push", why="it would be in the list of processes and in logs", hint=hint)
    hint = "HOST/TEAM/NAME:TAG, all but HOST and TAG in lower case"
    raise UsageError(f"no name of an image in a registry: {ref!r}", where="--push", hint=hint)


def refuse_dirty(name: str, dirty: Sequence[str]) -> None:
    """Raise UsageError if an image has `dirty` components: what came of somebody's own tree nobody else could make."""
    if dirty:
        raise UsageError(
            f"{name} is not pushed: {', '.join(dirty)} came of a developer's own tree",
            where="--push",
            why="a dirty image stays on the machine that made it: nobody could say what it is made of",
            hint="commit the change and name it as a git: source; -o oci:DIR writes the image, labelled orch.dirty",
        )


def push(
    layout: Layout,
    record: ImageRecord,
    ref: str,
    *,
    insecure: bool = False,
    say: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    stop: Event | None = None,
) -> None:
    """Push the image to `ref`, such as HOST/TEAM/NAME:TAG. `insecure`: plain HTTP, or a certificate that nobody
    vouches for. `say` is given skopeo's lines, `env` is its environment, by default all of this process's.

    Raise UsageError for a dirty image; MachineError: skopeo is not installed, the registry refuses or cannot be
    reached; KeyboardInterrupt once `stop` is set.
    """
    refuse_dirty(record.name, [one.name for one in record.components if one.origin == "dirty"])
    skopeo = str(find_program("skopeo"))
    where = ref.removeprefix("docker://")
    with staging(layout, f"push-{record.name}") as room:
        with disk("write", room):
            _write_view(layout, record, room / "image")
        lines = _Lines(say)
        ended = stream(
            [
                *(skopeo, "--insecure-policy", "copy", "--preserve-digests", "--digestfile", "digest"),
                *(("--dest-tls-verify=false",) if insecure else ()),
                f"oci:image:{record.name}",
                f"docker://{where}",
            ],
            env=dict(os.environ if env is None else env),
            cwd=room,
            on_bytes=lines.feed,
            stop=stop,
        )
        lines.end()
        if ended.ending is Ending.STOPPED:
            raise KeyboardInterrupt
        if ended.status != 0:
            raise MachineError(
                f"{record.name} could not be pushed to {where}",
                where=where,
                why="\n".join(lines.last) or f"skopeo ended with status {ended.status}",
                hint=_hint("\n".join(lines.last)),
            )
        with disk("read", room):
            arrived = (room / "digest").read_text(encoding="ascii", errors="replace").strip()
    if arrived != str(record.manifest):
        raise MachineError(
            f"{where} has another digest than {record.name} has here",
            where=where,
            why=f"it is {arrived} there, {record.manifest} here",
        )


def _write_view(layout: Layout, record: ImageRecord, view: Path) -> None:
    """A layout of this one image on the store's blobs: another process may meanwhile give its name to another."""
    view.mkdir()
    (view / LAYOUT_FILE).write_bytes(LAYOUT)
    (view / INDEX_FILE).write_bytes(image_index({record.name: manifest_descriptor(record)}))
    (view / "blobs").symlink_to(layout.oci / "blobs")


class _Lines:
    """Output as lines: handed on, and the last of them kept."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.last: list[str] = []
        self._say = say
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._tell(line)

    def end(self) -> None:
        self._tell(self._rest)
        self._rest = b""

    def _tell(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self.last = [*self.last, text][-_SHOWN:]
            self._say(text)


def _hint(said: str) -> str:
    lower = said.lower()
    if "unauthorized" in lower or "denied" in lower or "authentication required" in lower:
        return "log in first: skopeo login REGISTRY"
    if "http response to https client" in lower or "certificate" in lower:
        return "a registry without TLS, or with a certificate of its own: --insecure"
    return ""
