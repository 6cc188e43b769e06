"""Draws running nodes as a tree under those that wait for them. Pure: names in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.frozen import frozen


@frozen
class Row:
    """One line: what is drawn before its name, and its nodes: one that runs, or a chain of those that wait."""

    prefix: str
    nodes: tuple[str, ...]
    runs: bool


def tree_rows(running: Iterable[str], wanted_by: Mapping[str, str], ended: Callable[[str], bool]) -> list[Row]:
    """The tree's lines, whoever waits above what it waits for. What waits for one thing only shares its line."""
    runs = dict.fromkeys(running)
    below: dict[str, list[str]] = {}
    roots: list[str] = []
    placed: set[str] = set()
    for node in runs:
        climbed: set[str] = set()
        while node not in placed:
            placed.add(node)
            climbed.add(node)
            above = _above(node, wanted_by, ended)
            if above is None or above in climbed:  # a check may need what is built with the checked
                roots.append(node)
                break
            below.setdefault(above, []).append(node)
            node = above
    rows: list[Row] = []

    def add(node: str, first: str, others: str) -> None:
        chain = [node]
        while node not in runs and len(below[node]) == 1 and below[node][0] not in runs:
            node = below[node][0]
            chain.append(node)
        rows.append(Row(prefix=first, nodes=tuple(chain), runs=node in runs))
        children = below.get(node, [])
        for child in children:
            last = child == children[-1]
            add(child, others + ("└─ " if last else "├─ "), others + ("   " if last else "│  "))

    for root in roots:
        add(root, "", "")
    return rows


def _above(node: str, wanted_by: Mapping[str, str], ended: Callable[[str], bool]) -> str | None:
    """The nearest that still waits; a chain that leads back to itself ends there."""
    seen = {node}
    above = wanted_by.get(node)
    while above is not None and above not in seen:
        if not ended(above):
            return above
        seen.add(above)
        above = wanted_by.get(above)
    return None
