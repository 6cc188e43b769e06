"""Stage 0 of a base: locked .debs unpacked into a root, with a dpkg database that says so.

The host needs no Debian tool. What dpkg itself would have left after `dpkg --unpack` of every .deb is written here, so
that stage 1, the recipe's script inside that root, is `dpkg --configure -a` and what makes the result reproducible.

Maintainer scripts named `preinst` are kept but not run: nothing is configured yet that could run them, and on a first
installation those of Debian 12 only mend upgrades; base-passwd's, which makes /etc/passwd, is repeated by its postinst.
Conffiles lie at their final places with the hash that the database names: without a `.dpkg-new` beside them dpkg takes
them as settled and asks nothing. Knows nothing of recipes, sandboxes or the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.archive import DebControl, unpack_deb
from orchestrator.errors import SourceError

# Debian 12 is merged-/usr: these exist before the first .deb is unpacked, and dpkg has no file of that name to object.
_MERGED = ("bin", "sbin", "lib", "lib64")
_MOUNT_POINTS = ("build",)  # what stage 1 mounts on, besides /proc, /dev and /tmp, which base-files brings
_DATABASE = ("var", "lib", "dpkg")
_SCRIPTS = frozenset({"preinst", "postinst", "prerm", "postrm", "config"})
# dpkg's words for an interest in a trigger; the second says whether the activating package need not wait.
_INTERESTS = {"interest": False, "interest-await": False, "interest-noawait": True}


def unpack_base(
    debs: Sequence[Path], root: Path, *, names: Sequence[str] = (), allow_setuid: frozenset[str] = frozenset()
) -> tuple[DebControl, ...]:
    """Unpack every .deb of `debs`, in that order, into the empty directory `root`, and write the dpkg database.

    `names` are the .debs' own file names, for messages. Every package ends as `install ok unpacked`. Returns what each
    .deb says of itself. Raises SourceError for a .deb that is refused, for two of one package, and for a conffile that
    is not in its own package.
    """
    _directory(root / "usr")
    for name in _MERGED:
        _directory(root / "usr" / name)
        (root / name).symlink_to(f"usr/{name}")
    for name in _MOUNT_POINTS:
        _directory(root / name)
    named = zip(debs, names or [deb.name for deb in debs], strict=True)
    controls = tuple(unpack_deb(deb, root, allow_setuid=allow_setuid, file_name=name) for deb, name in named)
    write_database(controls, root)
    return controls


def write_database(controls: Iterable[DebControl], root: Path) -> None:
    """Write /var/lib/dpkg below `root` for packages that are unpacked there and not configured."""
    database = root
    for part in _DATABASE:
        database /= part
        _directory(database)
    for directory in ("alternatives", "info", "parts", "triggers", "updates"):
        _directory(database / directory)
    _file(database / "info/format", "1\n")
    for empty in ("available", "diversions", "statoverride", "triggers/Unincorp"):
        _file(database / empty, "")
    stanzas: dict[str, bytes] = {}
    interests: dict[str, list[str]] = {}
    for control in controls:
        name = instance_name(control)
        if name in stanzas:
            raise SourceError(f"two .debs of the package {name}", why="one root holds one version of a package")
        stanzas[name] = status_stanza(control, root)
        _write_info(control, name, database / "info")
        for trigger, listener in trigger_interests(control):
            interests.setdefault(trigger, []).append(listener)
    _file(database / "status", b"".join(stanza + b"\n" for _, stanza in sorted(stanzas.items())))
    _write_interests(interests, database / "triggers")


def instance_name(control: DebControl) -> str:
    """What dpkg calls this package in file names: `libc6:amd64` where two architectures could be installed together."""
    same = control.fields.get("Multi-Arch") == "same"
    return f"{control.package}:{control.architecture}" if same else control.package


def status_stanza(control: DebControl, root: Path) -> bytes:
    """The package's paragraph of the status file: its control file, its state, and its conffiles with their hashes."""
    lines = [control.control.strip(b"\n"), b"Status: install ok unpacked"]
    conffiles = _conffiles(control, root)
    if conffiles:
        lines += [b"Conffiles:", *(line.encode() for line in conffiles)]
    return b"".join(line + b"\n" for line in lines)


def _conffiles(control: DebControl, root: Path) -> list[str]:
    lines = []
    for line in (control.file("conffiles") or b"").decode().splitlines():
        *flags, path = line.split()
        if flags:  # remove-on-upgrade: not in this package; dpkg records such a one without a hash
            lines.append(f" {path} newconffile {' '.join(flags)}")
            continue
        file = root / path.removeprefix("/")
        if path not in control.paths or file.is_symlink() or not file.is_file():
            raise SourceError(f"{control.package} lists the conffile {path}, which is no file of its own")
        lines.append(f" {path} {hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}")
    return lines


def _write_info(control: DebControl, name: str, info: Path) -> None:
    _file(info / f"{name}.list", "".join(f"{path}\n" for path in control.paths))
    for member in control.files:
        _file(info / f"{name}.{member.name}", member.content, mode=0o755 if member.name in _SCRIPTS else 0o644)


def trigger_interests(control: DebControl) -> list[tuple[str, str]]:
    """(trigger, who listens) pairs as dpkg's trigger files spell them, from the package's `triggers` member."""
    found = []
    for line in (control.file("triggers") or b"").decode().splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0] in _INTERESTS:
            found.append((words[1], control.package + ("/noawait" if _INTERESTS[words[0]] else "")))
    return found


def _write_interests(interests: Mapping[str, Sequence[str]], directory: Path) -> None:
    """A trigger that is a path goes into the one file `File`; any other has a file of its own."""
    paths = []
    for trigger, listeners in sorted(interests.items()):
        if trigger.startswith("/"):
            paths += [f"{trigger} {listener}\n" for listener in listeners]
        else:
            _file(directory / trigger, "".join(f"{listener}\n" for listener in listeners))
    _file(directory / "File", "".join(paths))


def _directory(path: Path) -> None:
    """Make it unless it is there; 0755 under any umask, since the mode ends in the output."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _file(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
