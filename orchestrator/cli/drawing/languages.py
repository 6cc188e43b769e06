"""A picture of a graph in the languages of other programs: Graphviz's dot and mermaid. Pure."""

from __future__ import annotations

from orchestrator.cli.drawing.picture import KINDS, STATES, Box, Picture, State, strongest

_COLOURS: dict[State, str] = {  # readable on white and on black
    "in store": "#2da44e",
    "to check": "#1b8a92",
    "to build": "#218bff",
    "to fetch": "#9a5fe0",
    "perhaps": "#5b8fc7",
    "failed": "#e5484d",
    "not locked": "#bf8700",
    "absent": "#8c959f",
}
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"})
_DOT_EDGES = {"runtime": "solid", "build": "dashed", "check": "dotted"}
_MERMAID_EDGES = {"runtime": "-->", "build": "-.->", "check": "-. check .->"}


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _texts(box: Box) -> tuple[str, str]:
    return _one_line(box.label), " · ".join([box.state, *box.facts()])


def dot(picture: Picture) -> str:
    """For `dot -Tsvg`."""

    def quoted(text: str) -> str:
        return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [
        f"digraph {quoted(picture.title)} {{",
        '  rankdir=LR; node [shape=box, style="rounded", fontname="monospace", fontsize=11]; edge [arrowsize=0.6];',
    ]
    for box in picture.boxes:
        name, facts = (quoted(text)[1:-1] for text in _texts(box))
        tip = quoted(f"{box.label}: {STATES[box.state]}{f'; {box.reason}' if box.reason else ''}")
        bold = ", penwidth=2" if box.name in picture.roots else ""
        colour = f'color="{_COLOURS[box.state]}"'
        lines.append(f'  {quoted(box.name)} [label="{name}\\n{facts}", {colour}, tooltip={tip}{bold}];')
    for edge in strongest(picture.edges):
        tip = quoted(f"{edge.source} {KINDS[edge.kind]} {edge.target}")
        lines.append(
            f"  {quoted(edge.source)} -> {quoted(edge.target)} [style={_DOT_EDGES[edge.kind]}, tooltip={tip}];"
        )
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(picture: Picture) -> str:
    """For Markdown pages that draw it."""

    def safe(text: str) -> str:
        return _one_line(text).translate(_ENTITIES)

    numbers = {box.name: f"n{index}" for index, box in enumerate(picture.boxes)}
    lines = ["flowchart LR"]
    for box in picture.boxes:
        name, facts = map(safe, _texts(box))
        lines.append(f'  {numbers[box.name]}["{name}<br/>{facts}"]:::{box.state.replace(" ", "_")}')
    for edge in strongest(picture.edges):
        lines.append(f"  {numbers[edge.source]} {_MERMAID_EDGES[edge.kind]} {numbers[edge.target]}")
    for state in dict.fromkeys(box.state for box in picture.boxes):
        lines.append(f"  classDef {state.replace(' ', '_')} stroke:{_COLOURS[state]},stroke-width:2px")
    return "\n".join(lines) + "\n"
