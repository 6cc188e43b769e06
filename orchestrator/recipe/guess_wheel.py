"""What an unpacked wheel says of itself in its metadata. Reads the tree and runs nothing of it."""

from __future__ import annotations

from email.parser import HeaderParser
from pathlib import Path

from orchestrator.recipe.check import NAME
from orchestrator.recipe.guess import Guess, licence_of

_PAGES = ("homepage", "home", "source", "repository", "source code", "documentation")


def guess_wheel(tree: Path) -> Guess:
    """The wheel unpacked in `tree`; nothing is known of one that has no METADATA."""
    listing = tuple(sorted(path.name for path in tree.iterdir()))
    info = next((tree / name for name in listing if name.endswith(".dist-info")), tree / "none")
    file = info / "METADATA"
    text = file.read_text("utf-8", "replace") if file.is_file() and not file.is_symlink() else ""
    fields = HeaderParser().parsestr(text)
    pages = {
        label.strip().lower(): page.strip()
        for label, _, page in (str(value).partition(",") for value in fields.get_all("Project-URL", []))
    }
    licence_file = next((path for path in sorted(info.rglob("*")) if _is_licence(path)), None)
    name = str(fields.get("Name", "")).lower().replace("_", "-")
    licence = str(fields.get("License-Expression", "") or fields.get("License", ""))
    if not licence or len(licence) > 60:  # some put the whole text there
        licence = licence_of(licence_file.read_text("utf-8", "replace")) if licence_file else ""
    return Guess(
        system="wheel",
        name=name if NAME.fullmatch(name) else "",
        version=str(fields.get("Version", "")),
        summary=str(fields.get("Summary", "")),
        licence=licence,
        homepage=str(fields.get("Home-page") or next((pages[page] for page in _PAGES if page in pages), "")),
        licence_file=licence_file.relative_to(tree).as_posix() if licence_file else "",
        modules=_modules(tree, listing),
        needs=tuple(
            need for need in map(str, fields.get_all("Requires-Dist", [])) if "extra ==" not in need.replace('"', "'")
        ),
        native=any(tree.rglob("*.so*")),
        others=tuple(name for name in listing if name.endswith(".data")),
        listing=listing,
    )


def _is_licence(path: Path) -> bool:
    lower = path.name.lower()
    return path.is_file() and not path.is_symlink() and lower.startswith(("license", "licence", "copying"))


def _modules(tree: Path, listing: tuple[str, ...]) -> tuple[str, ...]:
    """The names that can be imported: packages, modules, extension modules."""
    found: dict[str, None] = {}
    for name in listing:
        path = tree / name
        stem = name.partition(".")[0]
        is_module = name.endswith((".py", ".so")) or (path.is_dir() and (path / "__init__.py").is_file())
        if is_module and stem.isidentifier() and not stem.startswith("_"):
            found[stem] = None
    return tuple(found)
