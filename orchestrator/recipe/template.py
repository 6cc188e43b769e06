"""Writes the first recipe.toml of a component, for a person to go on from. Pure: text in, text out.

What is written builds at once where the source is an ordinary one of its kind, and its comments say what may have to
be changed where it is not.
"""

from __future__ import annotations

import json

from orchestrator.frozen import frozen
from orchestrator.recipe.guess import Guess
from orchestrator.recipe.template_build import PLAIN, Parts, build_parts, comment

_TOOLS = {"cmake": ("cmake", "ninja-build"), "meson": ("meson", "ninja-build"), "autoreconf": ("autoconf", "automake")}
_COLUMN = 42  # where remarks begin, if there is room


@frozen
class Pinned:
    """The source of the recipe, as its entry names it, and how far its hash is to be trusted."""

    from_: str
    sha256: str  # hex
    size: int  # bytes
    trust: str = ""


@frozen
class Surroundings:
    """What a project has for a recipe to stand on."""

    build_base: str
    runtime_base: str
    packages: frozenset[str] = frozenset()  # those of the build base
    recipes: frozenset[str] = frozenset()
    schema: str = ""  # the path of the schema from the recipe's directory

    def tools(self, system: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """For the tools of a build system that the base lacks: the recipes that bring some, the others' packages."""
        lacking = {tool: tool.removesuffix("-build") for tool in _TOOLS.get(system, ()) if tool not in self.packages}
        brought = tuple(recipe for recipe in lacking.values() if recipe in self.recipes)
        return brought, tuple(tool for tool, recipe in lacking.items() if recipe not in self.recipes)


def recipe_text(name: str, version: str, guess: Guess, source: Pinned | None, around: Surroundings) -> str:
    """The text of recipes/NAME/recipe.toml. Without `source` it has none, and its script is a stub."""
    parts = build_parts(name, guess)
    blocks = (
        _head(name, guess, around),
        _inputs(guess, around),
        _version(name, version, guess, source, parts),
        _runtime(name, parts),
        _build(name, guess, parts),
        _check(name, parts),
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(name: str, guess: Guess, around: Surroundings) -> str:
    schema = [f"#:schema {around.schema}"] if around.schema else []
    file = comment(guess.licence_file)
    either = ", -only or -or-later" if guess.licence.endswith("-or-later") else ""
    licence = (
        f"as {file} looks: read it{either}" if guess.licence and file else f"its SPDX name{file and f': read {file}'}"
    )
    return "\n".join(
        (
            *schema,
            f"name = {_toml(name)}",
            _with(f"summary = {_toml(guess.summary)}", "" if guess.summary else "one line: what it is"),
            _with(f"licence = {_toml(guess.licence)}", licence),
            _with(f"homepage = {_toml(guess.homepage)}", "" if guess.homepage else "where people find it"),
        )
    )


def _inputs(guess: Guess, around: Surroundings) -> str:
    brought, missing = around.tools(guess.system)
    lines = [
        "[inputs]",
        _with(f"build = {json.dumps([around.build_base, *brought])}", "there while it is built: a base, and recipes"),
        _with(f"runtime = {json.dumps([around.runtime_base])}", "there when it runs: what it links to or opens"),
    ]
    if missing:
        base = around.build_base
        lines.append(f"# {base} has no {' and no '.join(missing)}, which this takes. Add it to the packages of {base}")
        lines.append(f"# and run `orch lock {base}`; or write a recipe that brings it, and name that in build.")
    return "\n".join(lines)


def _version(name: str, version: str, guess: Guess, source: Pinned | None, parts: Parts) -> str:
    table = f"versions.{json.dumps(version)}"
    made = "vendor" if guess.system == "wheel" else "source"
    lines = [f"[{table}]", _with(f'origin = "{made}"', "source: built here; vendor: someone's binary")]
    if parts.flags:
        width = max(len(json.dumps(flag)) for flag, _ in parts.flags) + 1
        flags = [f"  {f'{json.dumps(flag)},':<{width}}  # {why}" for flag, why in parts.flags]
        lines += ["flags = [", *flags, "]"]
    if source is not None:
        lines.append(f"[[{table}.sources]]")
        if source.trust:
            lines.append(f"# {source.trust}")
        lines += [
            f"from = {json.dumps(source.from_, ensure_ascii=False)}",
            f'sha256 = "{source.sha256}"',
            _with(f"size = {source.size}", "bytes"),
            _with(f'unpack = "{name}"', "the directory below /build in which the script starts"),
        ]
    return "\n".join(lines)


def _runtime(name: str, parts: Parts) -> str:
    lines = []
    if parts.env:
        lines.append(f"env = {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in parts.env)} }}")
    if parts.libraries:
        lines.append(_with(f'ldconf = ["/usr/local/{name}/lib"]', "where those who run with it find its libraries"))
    return "\n".join(["[runtime]", *lines]) if lines else ""


def _build(name: str, guess: Guess, parts: Parts) -> str:
    others = [comment(other) for other in guess.others] if guess.system != "wheel" else []
    also = f" There too: {', '.join(others)}." if others else ""
    notes = [*([parts.kind + also] if parts.kind else []), *parts.notes]
    lines = [*(f"# {note}" for note in notes), "[build]", "script = '''"]
    if guess.top and PLAIN.fullmatch(guess.top):
        lines.append(f"cd {guess.top}")
    lines += parts.script
    if guess.licence_file and PLAIN.fullmatch(guess.licence_file):
        lines.append(f'install -D -m 644 -t "$OUT/usr/local/{name}/share/licenses" {guess.licence_file}')
    return "\n".join([*lines, "'''"])


def _check(name: str, parts: Parts) -> str:
    head = "# It runs with what was built and its runtime inputs, without a compiler; exit status 0 is a pass."
    linked = (
        f"cd /usr/local/{name}",
        "for file in $(find . -type f -name '*.so*' -o -type f -path '*/bin/*'); do",
        "  if ldd \"$file\" 2>&1 | grep 'not found'; then exit 1; fi  # inputs.runtime lacks the recipe that has it",
        "done",
    )
    return "\n".join([head, "[check]", "script = '''", *parts.check, *(linked if parts.native else ()), "'''"])


def _with(text: str, remark: str) -> str:
    """A line with a remark, those of neighbours below each other."""
    return f"{text:<{_COLUMN}}# {remark}" if remark and len(text) < _COLUMN else (
        f"{text}  # {remark}" if remark else text
    )  # fmt: skip


def _toml(text: str) -> str:
    """`text` as a TOML string of one line."""
    return json.dumps(comment(text, 200), ensure_ascii=False)
