"""Writes the lock of a Python environment: uv says which wheels the requirements need, as of a day. Stores nothing.

uv runs with settings made here: the indexes that this machine's pip or orch.toml names, the first that knows a name
being the one that counts, and none of uv's configuration files, variables or caches. Only `orch lock` comes here:
building from a lock needs no uv.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.errors import MachineError, RecipeError
from orchestrator.fetch.places import Mirrors, places_of
from orchestrator.fetch.settings import Machine, Place, certificates
from orchestrator.fetch.url import PypiName, without_secrets
from orchestrator.fetch.web import Address, Missed, Patience, Web, refuse_status
from orchestrator.process import Completed, run_program
from orchestrator.recipe.image import Python
from orchestrator.recipe.python_lock import PythonLock, Wheel, lock_input
from orchestrator.recipe.wheel_choice import best_wheel

_MINUTES = 10
_SECRET = re.compile(r"//[^/@\s]*@")  # user and password in an address
_KEPT = ("HOME", "LANG", "NETRC", "SSL_CERT_DIR", "TMPDIR", "UV_HTTP_RETRIES", "XDG_CONFIG_HOME")
_SILENT = re.compile(r"Failed to fetch: `?([^`\s]+)|error sending request for url \(([^)]*)\)")  # uv's words
_LISTS = ("requirements", "constraints", "overrides", "excludes")


def lock_environment(
    python: Python, *, mirrors: Mirrors, machine: Machine | None = None, made: str, where: str = "image.toml"
) -> PythonLock:
    """The wheels that `python`'s requirements need, of what was uploaded by the end of the day `exclude_newer`.

    `made` is today, as YYYY-MM-DD; `where` is how messages name the image's file. The lock names no host. Raises
    RecipeError where the requirements have no solution, with uv's explanation; MachineError where an index does not
    answer or tells too little.
    """
    machine = machine or Machine.here()
    indexes = places_of(PypiName("any", "any"), mirrors, machine)
    if not indexes and not python.indexes:
        hint = "set [mirrors] pypi in orch.toml, or pip's index-url"
        raise MachineError("no Python index is known here", where=where, hint=hint)
    with TemporaryDirectory(prefix="orch-lock-") as scratch:
        top = Path(scratch)
        _prepare(top, python, indexes)
        done = _compile(top, python, machine)
        if done.status != 0:
            raise _failure(done, python, indexes, where)
        packages = tomllib.loads((top / "pylock.toml").read_text(encoding="utf-8")).get("packages", [])
    web = Web(certificates(machine), Patience())
    wheels = [_wheel(package, python, web, where) for package in packages]
    return PythonLock(
        python=python.version,
        platform=python.platform,
        exclude_newer=python.exclude_newer,
        input=lock_input(python),
        made=made,
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.name)),
    )


def find_uv() -> Path:
    """The uv that was installed with orch, or the one on PATH."""
    import shutil

    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
        if found is None:
            hint = "install orch with its dependencies, or: pip install uv"
            raise MachineError("locking an image needs uv, and this machine has none", hint=hint) from None
        return Path(found)


def _prepare(top: Path, python: Python, indexes: Sequence[Place]) -> None:
    """The files that uv reads. Addresses go into one, not onto a command line, which every user of a machine sees."""
    for name in _LISTS:
        (top / name).write_text("".join(f"{line}\n" for line in getattr(python, name)), encoding="utf-8")
    tables = [f"url = {json.dumps(place.address)}" for place in indexes]
    # A vendor's page often says no dates, which would leave nothing of it; the lock's hashes pin what it has today.
    tables += [f"url = {json.dumps(address)}\nexclude-newer = false" for address in python.indexes]
    tables[-1] += "\ndefault = true"  # else uv adds one of its own
    (top / "uv.toml").write_text("".join(f"[[index]]\n{table}\n" for table in tables), encoding="utf-8")


def _compile(top: Path, python: Python, machine: Machine) -> Completed:
    day_after = date.fromisoformat(python.exclude_newer) + timedelta(days=1)
    command = [str(find_uv()), "pip", "compile", "requirements", "--no-progress", "--color", "never", "--quiet"]
    command += ["--config-file", "uv.toml", "--no-cache", "--python", sys.executable, "--no-python-downloads"]
    command += ["--constraints", "constraints", "--overrides", "overrides", "--excludes", "excludes"]
    command += ["--only-binary", ":all:", "--exclude-newer", f"{day_after}T00:00:00Z"]
    command += ["--python-version", python.version, "--python-platform", python.platform]
    command += ["--format", "pylock.toml", "--output-file", "pylock.toml"]
    if python.indexes:  # names that are stubs on one index have their wheels on the other
        command += ["--index-strategy", "unsafe-best-match", "--preview-features", "index-exclude-newer"]
    kept = {name: value for name, value in machine.environment.items() if name in _KEPT}
    kept |= {name: value for name, value in machine.environment.items() if name.lower().endswith("_proxy")}
    bundle = certificates(machine)
    environment = kept | ({"SSL_CERT_FILE": bundle} if bundle else {})
    environment["PATH"] = machine.environment.get("PATH", os.defpath)
    return run_program(command, env=environment, cwd=top, timeout=60 * _MINUTES)


def _failure(done: Completed, python: Python, indexes: Sequence[Place], where: str) -> MachineError | RecipeError:
    text = _SECRET.sub("//", done.stderr.decode(errors="replace")).strip() or f"exit status {done.status}"
    silent = _SILENT.search(text)
    if silent is not None:
        address = next(filter(None, silent.groups()), "")
        asked = [*(place.address for place in indexes), *python.indexes]
        index = next((one for one in asked if without_secrets(address).startswith(without_secrets(one))), address)
        vendor = index in python.indexes
        what = "the vendor's own index does not answer" if vendor else "an index does not answer"
        named = f"{where}: python.indexes: {index}" if vendor else without_secrets(index)
        hint = "run orch lock where that index can be reached; building from the lock asks for the files alone"
        return MachineError(what, where=named, why=text, hint=hint)
    if "No solution found" in text:
        hint = "change python.requirements, constraints, overrides or exclude_newer"
        return RecipeError("the requirements have no solution", where=f"{where}: python", why=text, hint=hint)
    if re.search(r"`?(requirements|constraints|overrides|excludes)`?", text) and "parse" in text.lower():
        return RecipeError("uv cannot read the requirements", where=f"{where}: python", why=text)
    return MachineError("uv could not resolve the requirements", where=f"{where}: python", why=text)


def _wheel(package: Mapping[str, Any], python: Python, web: Web, where: str) -> Wheel:
    """The one wheel of a package that the image's Python takes."""
    files = {_file_name(wheel): wheel for wheel in package.get("wheels", ())}
    best = best_wheel(files, python.version, python.platform)
    label = f"{package['name']} {package.get('version', '')}".rstrip()
    if best is None:
        why = f"uv offers {', '.join(files) or 'no wheel'}"
        raise RecipeError(f"{label} has no wheel for the image's Python", where=f"{where}: python", why=why)
    sha256 = files[best].get("hashes", {}).get("sha256")
    if sha256 is None:
        why = "its index gives no sha256"
        raise MachineError(f"{best} cannot be pinned", where=without_secrets(files[best].get("url", "")), why=why)
    return Wheel(
        name=package["name"],
        version=package["version"],
        file_name=best,
        size=files[best].get("size") or _size(files[best].get("url", ""), web),
        sha256=sha256,
    )


def _file_name(wheel: Mapping[str, Any]) -> str:
    address = str(wheel.get("url") or wheel.get("path"))
    return str(wheel.get("name") or unquote(urlsplit(address).path.rpartition("/")[2]))


def _size(url: str, web: Web) -> int:
    """Bytes of a file whose index does not say: the host does when asked for it."""
    try:
        response, _ = web.open(Address.of(url), {})
        with response:
            refuse_status(response)
            return int(response.headers["Content-Length"])
    except (Missed, KeyError, ValueError) as error:
        answer = error.answer if isinstance(error, Missed) else "its host says no length"
        raise MachineError("the size of a wheel is not known", where=without_secrets(url), why=answer) from error
