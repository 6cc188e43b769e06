"""NIXL's plugins and UCX's modules: both are opened by directory, and a missing one means slower, not louder."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding
from orchestrator.image.model import Finding

_NIXL = "/opt/nvidia/nvda_nixl/lib64/plugins"
_UCX = "/usr/local/ucx/lib/ucx"


def find(case: Case) -> Iterator[Finding]:
    """Declared plugins and modules that are not there, or that are no library of the image's machine."""
    rules = case.subject.image.document.checks
    directory = case.environment.get("NIXL_PLUGIN_DIR", _NIXL).rstrip("/")
    for name in rules.plugins:
        yield from _missing(case, name, (f"{directory}/libplugin_{name}.so",), "NIXL plugin", "checks.plugins")
    directory = case.environment.get("UCX_MODULE_DIR", _UCX).rstrip("/")
    for name in rules.ucx_modules:
        stem = f"lib{name.removeprefix('lib')}.so"
        place = case.resolve(directory)
        names = [known for known in case.names.get(place or "-", ()) if known == stem or known.startswith(f"{stem}.")]
        paths = tuple(f"{directory}/{known}" for known in names) or (f"{directory}/{stem}",)
        yield from _missing(case, name, paths, "UCX module", "checks.ucx_modules")


def _missing(case: Case, name: str, paths: tuple[str, ...], kind: str, field: str) -> Iterator[Finding]:
    files = [found for path in paths if (found := case.file(path))]
    if any(path in case.subject.elf and case.is_own(case.subject.elf[path]) for path in files):
        return
    what = f"the {kind} {name} is no library of this machine" if files else f"the {kind} {name} is not there"
    hint = f"choose a version or an option of its recipe that builds it, or take it out of {field}"
    yield finding("plugins", paths[0].lstrip("/"), name, what, hint)
