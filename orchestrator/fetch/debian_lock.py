"""Writes the lock of a base: apt itself says which .debs a list of packages needs, from one suite and nothing else, or
from a suite with its security updates.

apt runs in a scratch directory as if nothing were installed; of the machine's own settings it keeps how to reach a
mirror (proxies, retries) and whose signatures count. Only `orch lock` comes here: building from a lock needs no apt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.errors import MachineError, RecipeError
from orchestrator.process import Completed, find_program, run_program
from orchestrator.recipe.lock import Deb, Lock

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
_MIRROR = re.compile(r"(?:https?|file):/\S+")
_INSTALLED = re.compile(r"^Inst (\S+) (?:\[\S*\] )?\((\S+) ", re.MULTILINE)
_SECRET = re.compile(r"//[^/@\s]*@")  # user and password in an address
_KEPT_SETTING = re.compile(r"Acquire::(?:http|https|Retries|Check-Valid-Until|Check-Date)\b")
_KEYS = ("/etc/apt/trusted.gpg.d/*", "/usr/share/keyrings/debian-archive-*")
_MINUTES = 10
_CONFIGURATION = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{top}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "{top}/keys";
Dir::State "{top}/state";
Dir::State::status "{top}/status";
Dir::Cache "{top}/cache";
Dir::Log "{top}/log";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::GzipIndexes "false";
Acquire::Languages "none";
"""


def lock_base(
    suite: str, packages: Sequence[str], architecture: str, mirror: str, *, made: str, security: str | None = None
) -> Lock:
    """What `packages` and the Essential packages of `suite`, section main, need; `made` is today, as YYYY-MM-DD.

    `mirror` is the archive's root, above `dists` and `pool`; the lock does not name it. With `security`, the root of
    the archive of security updates, the newest of both count, and the lock's suite is `SUITE-security`. No package
    comes in because another one only recommends it. Raises MachineError without apt, or when the mirror cannot be read
    or is signed by nobody known here; RecipeError for a package that the suite does not have, or packages that cannot
    stand together.
    """
    mirrors = [mirror] if security is None else [mirror, security]
    _refuse(suite, packages, architecture, mirrors)
    _need_apt()
    with TemporaryDirectory(prefix="orch-lock-") as scratch:
        top = Path(scratch)
        suites = [(mirror, suite), *((address, f"{suite}-security") for address in mirrors[1:])]
        environment = _prepare(top, suites, architecture)
        _update(environment, mirrors)
        index = [record for path in _index_files(top) for record in read_index(path)]
        essential = list(dict.fromkeys(record["Package"] for record in index if record.get("Essential") == "yes"))
        chosen = _solve(environment, suite, [*essential, *packages])
    absent = sorted(set(packages) - chosen.keys())
    if absent:  # apt takes a name that it does not know for a pattern
        raise RecipeError(f"the suite {suite} has no package {absent[0]}", where="base.packages")
    # A version that both archives have is taken from the suite itself, which keeps it.
    found = [_deb(record) for record in reversed(index) if chosen.get(record["Package"]) == record["Version"]]
    debs = {deb.name: deb for deb in found}.values()
    return Lock(
        suite=suites[-1][1],
        architecture=architecture,
        packages=tuple(packages),
        made=made,
        debs=tuple(sorted(debs, key=lambda deb: deb.name)),
    )


def read_index(path: Path) -> Iterator[dict[str, str]]:
    """The paragraphs of a Packages file, without continuation lines."""
    record: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line == "\n":
                if record:
                    yield record
                record = {}
            elif line[0] not in " \t":
                name, _, value = line.partition(":")
                record[name] = value.strip()
    if record:
        yield record


def _refuse(suite: str, packages: Sequence[str], architecture: str, mirrors: Sequence[str]) -> None:
    """These words go into apt's settings and command lines: each must be the plain word that it should be."""
    for form, field, words in (
        (_WORD, "base.suite", (suite,)),
        (_PACKAGE, "base.packages", packages),
        (_WORD, "platform", (architecture,)),
        (_MIRROR, "mirror", mirrors),
    ):
        for word in words:
            if form.fullmatch(word) is None:
                raise RecipeError(f"not a {field.rpartition('.')[2].removesuffix('s')}: {word!r}", where=field)


def _need_apt() -> None:
    try:
        find_program("apt-get")
        find_program("apt-config")
    except MachineError as error:
        raise MachineError(
            "locking a base needs apt, and this machine has none",
            why="apt is what decides which packages a list of packages needs",
            hint="run orch lock on a Debian or Ubuntu machine; building from the lock needs no apt",
        ) from error


def _prepare(top: Path, suites: Sequence[tuple[str, str]], architecture: str) -> dict[str, str]:
    """A scratch apt in `top` that knows these suites by their archives; the environment that makes apt use it."""
    for directory in ("cache/archives/partial", "keys", "log", "state/lists/partial"):
        (top / directory).mkdir(parents=True)
    for pattern in _KEYS:
        for key in sorted(Path("/").glob(pattern.lstrip("/"))):
            if not (top / "keys" / key.name).exists():
                (top / "keys" / key.name).symlink_to(key)
    (top / "status").touch()
    lines = [f"deb {mirror.rstrip('/')} {suite} main\n" for mirror, suite in suites]
    (top / "sources.list").write_text("".join(lines))
    environment = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    environment |= {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    own = run_program(["apt-config", "dump"], env=environment)
    kept = [line for line in own.stdout.decode(errors="replace").splitlines() if _KEPT_SETTING.match(line)]
    configuration = _CONFIGURATION.format(top=top, architecture=architecture)
    (top / "apt.conf").write_text("".join(f"{line}\n" for line in kept) + configuration)
    return {**environment, "APT_CONFIG": str(top / "apt.conf")}


def _update(environment: Mapping[str, str], mirrors: Sequence[str]) -> None:
    done = run_program(["apt-get", "-q", "update"], env=environment, timeout=60 * _MINUTES)
    if done.status != 0:
        unknown_key = "NO_PUBKEY" in done.stderr.decode(errors="replace")
        raise MachineError(
            "apt cannot read the package lists",
            where=_SECRET.sub("//", ", ".join(mirrors)),
            why=_complaint(done),
            hint="apt-get install debian-archive-keyring" if unknown_key else "is that mirror right, and reachable?",
        )


def _index_files(top: Path) -> list[Path]:
    """The indexes, the suite's own before that of its security updates."""
    return sorted((top / "state/lists").glob("*_Packages"), key=lambda path: "-security_main_" in path.name)


def _solve(environment: Mapping[str, str], suite: str, packages: Sequence[str]) -> dict[str, str]:
    """Package -> version of all that apt would install."""
    done = run_program(["apt-get", "-s", "-q", "install", "--", *packages], env=environment, timeout=60 * _MINUTES)
    if done.status != 0:
        raise RecipeError(f"apt cannot choose the packages from {suite}", where="base.packages", why=_complaint(done))
    return dict(_INSTALLED.findall(done.stdout.decode()))


def _complaint(done: Completed) -> str:
    """What apt said was wrong, on one line: its errors, and the unmet dependencies that it lists on stdout."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
    unmet = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if " Depends: " in line]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return _SECRET.sub("//", "; ".join([*unmet, *errors])) or f"exit status {done.status}"


def _deb(record: Mapping[str, str]) -> Deb:
    return Deb(
        name=record["Package"],
        version=record["Version"],
        path=record["Filename"],
        size=int(record["Size"]),
        sha256=record["SHA256"],
    )
