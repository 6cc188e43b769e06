"""The files of one commit of a repository, as one archive that is the same wherever and whenever it is made.

This machine's git fetches exactly that commit, without history, tags or submodules, reads no configuration of the user
or the system and runs no hook. What git computes from the commit's id is what makes the files those of the commit: an
object that does not fit its id is refused by git itself. Files are taken as they are stored: attributes that leave out
or rewrite some (export-ignore, export-subst, eol, filters) are not applied. `.git` is not in the archive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.archive import pack, unpack
from orchestrator.errors import OrchError
from orchestrator.fetch.url import GitName
from orchestrator.fetch.web import Missed, Patience
from orchestrator.frozen import frozen
from orchestrator.process import Ending, find_program, stream
from orchestrator.tree import disk

_KEPT = 16 << 10  # bytes of what git printed, the last ones
_PASSED_ON = (
    "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
# Above all that a repository says of its own files, so that they come as they are stored.
_AS_STORED = "* -export-ignore -export-subst -text -eol -ident -filter -working-tree-encoding\n"


@frozen
class Git:
    """How git is run: in a private directory, with what of the environment a network needs."""

    room: Path
    url: str
    patience: Patience
    stopped: Callable[[], bool]
    certificates: str | None = None

    def run(self, *arguments: str) -> str:
        """Run git in the bare repository and return what it printed. Raise Missed if it fails, KeyboardInterrupt soon
        after `stopped()` is true, MachineError if there is no git."""
        said = bytearray()

        def keep(data: bytes) -> None:
            said.extend(data)
            del said[:-_KEPT]

        watch = _Watch(self.stopped)
        argv = [str(find_program("git")), "--git-dir", str(self.room / "git"), *self._settings(), *arguments]
        ended = stream(argv, env=self._environment(), cwd=self.room, on_bytes=keep, stop=watch)
        if ended.ending is Ending.STOPPED:
            raise KeyboardInterrupt
        text = said.decode(errors="replace").strip()
        if ended.status != 0:
            raise Missed(_short(text) or f"git {arguments[0]} ended with status {ended.status}")
        return text

    def _settings(self) -> list[str]:
        slow = max(1, round(self.patience.read))
        settings = {
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "fetch.fsckObjects": "false",  # old commits may be malformed; their ids hold all the same
            "gc.auto": "0",
            "protocol.version": "2",  # in which any commit may be asked for
            "credential.helper": "",
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": str(slow),
            "submodule.recurse": "false",
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _environment(self) -> dict[str, str]:
        own = {
            "HOME": str(self.room),
            "XDG_CONFIG_HOME": str(self.room),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_ALLOW_PROTOCOL": urlsplit(self.url).scheme,  # nothing that it is redirected to
            "LC_ALL": "C.UTF-8",
        }
        if self.certificates is not None:
            own["GIT_SSL_CAINFO"] = self.certificates
        return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | own


class _Watch(threading.Event):
    """Is set when somebody wants it to end."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._stopped = stopped

    def is_set(self) -> bool:
        return self._stopped()


def git_archive(
    name: GitName,
    room: Path,
    *,
    top: str,
    patience: Patience,
    certificates: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Fetch a commit into the empty directory `room` and return its archive there, all of it inside a directory `top`.

    Raise Missed if the repository does not give the commit, SourceError if it holds what no source may, MachineError.
    """
    git = Git(room=room, url=name.url, patience=patience, stopped=stopped, certificates=certificates)
    git.run("init", "--quiet", "--bare", "--template=", str(room / "git"))
    only_that = ("--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    git.run("fetch", "--quiet", *only_that, "--end-of-options", name.url, name.commit)
    kind = git.run("cat-file", "-t", name.commit)
    if kind != "commit":
        raise Missed(f"{name.commit} is a {kind} there, not a commit")
    with disk("write", room):
        (room / "git" / "info").mkdir(exist_ok=True)
        (room / "git" / "info" / "attributes").write_text(_AS_STORED)
    raw, tree, archive = room / "raw.tar", room / top, room / f"{top}.tar"
    git.run("archive", "--format=tar", f"--prefix={top}/", f"--output={raw}", name.commit)
    try:
        unpack(raw, tree, file_name=raw.name, strip=True)
        with disk("write", archive):
            pack(tree, archive, top=top)
    except OrchError as error:
        error.where = error.where if str(room) not in error.where else f"{name.url} at {name.commit}"
        raise
    return archive


def _short(text: str) -> str:
    """What git said, its last few lines without their `fatal:`."""
    lines = [line.removeprefix("fatal: ").removeprefix("error: ").strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("hint:", "Please make sure", "and the repository"))]
    return "; ".join(kept[-3:])
