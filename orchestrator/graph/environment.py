"""An image's Python environment as nodes of its graph: one per wheel of its lock, and one for all bytecode. Pure.

A wheel's node, and so its key, says nothing of the image: the same wheel is one component for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.errors import RecipeError
from orchestrator.graph.bytecode import BYTECODE_SCRIPT
from orchestrator.graph.derivation import Graph, Node, Source
from orchestrator.recipe.image import Image, Python
from orchestrator.recipe.python_lock import PythonLock, Wheel

BYTECODE = "bytecode"  # the node's name
_WHEEL = "wheel:"
_INSTALLATION = "installation=1"  # raised when a wheel would be installed as other bytes: in every wheel's key


def wheel_node_name(distribution: str) -> str:
    """The name of the node that is the wheel of `distribution`."""
    return _WHEEL + _normal(distribution)


def is_wheel(name: str) -> bool:
    """Whether a node of this name is a wheel."""
    return name.startswith(_WHEEL)


def with_environment(graph: Graph, image: Image, *, base: str) -> Graph:
    """`graph` with a node for every wheel of the lock that no recipe provides, and one for their bytecode.

    `base` names the node whose Python compiles. Goals, options and all that is in the graph stay as they are. Raise
    RecipeError where the lock and the recipes that provide distributions disagree.
    """
    python = image.document.python
    if python is None:
        return graph
    if image.lock is None:
        raise RecipeError(
            f"the Python environment of {image.name} has no lock",
            where=f"{image.where}: python.lock",
            hint=f"write it: orch lock {image.name}",
        )
    lock_file = f"{image.where.rpartition('/')[0]}/{python.lock}".lstrip("/")
    provided = _provided(graph, image, python, image.lock, lock_file)
    platform = graph[base].platform
    wheels = tuple(
        _wheel(wheel, python, platform, lock_file) for wheel in image.lock.wheels if wheel.name not in provided
    )
    if not wheels:
        return graph
    bytecode = _bytecode(image, python, platform, tuple(node.name for node in wheels), base)
    return Graph(goals=graph.goals, nodes=(*graph.nodes, *wheels, bytecode), options=graph.options)


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _provided(graph: Graph, image: Image, python: Python, lock: PythonLock, lock_file: str) -> frozenset[str]:
    """The distributions that recipes bring, each of them at the version that the lock names."""
    locked = {wheel.name: wheel for wheel in lock.wheels}
    for distribution, recipe in python.provided.items():
        field = f"{image.where}: python.provided.{distribution}"
        if recipe not in graph:
            raise RecipeError(
                f"{distribution} is to come from the {recipe} recipe, which is not in the image",
                where=field,
                hint=f"add {recipe} to the image's components",
            )
        wheel = locked.get(_normal(distribution))
        if wheel is None:
            raise RecipeError(
                f"{distribution} is to come from the {recipe} recipe, and the lock does not have it",
                where=field,
                why=f"nothing in {lock_file} needs it",
                hint=f"remove the line, or require {distribution} and run: orch lock {image.name}",
            )
        if not _same_version(wheel.version, graph[recipe].version):
            raise RecipeError(
                f"the lock names {wheel.name} {wheel.version}, the {recipe} recipe gives {graph[recipe].version}",
                where=f"{lock_file}: {wheel.name}",
                why="the environment was resolved with the one, and the image would have the other",
                hint=f'"{recipe}.version" = "{wheel.version}" under [options] of {image.where}; or, with a constraint'
                f" {wheel.name}=={graph[recipe].version}, orch lock {image.name}",
            )
    return frozenset(map(_normal, python.provided))


def _same_version(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _wheel(wheel: Wheel, python: Python, platform: str, lock_file: str) -> Node:
    where = f"{lock_file}: {wheel.name}"
    source = Source(
        name=f"pypi:{wheel.name}/{wheel.file_name}",
        file_name=wheel.file_name,
        sha256=wheel.sha256,
        size=wheel.size,
        where=where,
    )
    return _node(
        name=wheel_node_name(wheel.name),
        version=wheel.version,
        python=python,
        platform=platform,
        builder="wheel",
        sources=(source,),
        flags=(_INSTALLATION,),
        where=where,
    )


def _bytecode(image: Image, python: Python, platform: str, wheels: tuple[str, ...], base: str) -> Node:
    order = {name: index for index, name in enumerate(_winning(image))}
    build = sorted(wheels, key=lambda name: (order.get(name, len(order)), name))
    return _node(
        name=BYTECODE,
        version=python.version,
        python=python,
        platform=platform,
        builder="bytecode",
        flags=tuple(_choices(image, python, wheels)),
        script=BYTECODE_SCRIPT,
        build=(*build, base),
        where=image.where,
    )


def _winning(image: Image) -> Iterator[str]:
    """The components that win a file, as they are listed; RecipeError if one file has two winners."""
    winners: dict[str, str] = {}
    for index, winner in enumerate(image.document.winners):
        path = winner.path.lstrip("/")
        if winners.setdefault(path, winner.component) != winner.component:
            raise RecipeError(
                f"/{path} has two winners: {winners[path]} and {winner.component}",
                where=f"{image.where}: winners[{index}]",
                hint="keep one of them",
            )
        yield winner.component


def _choices(image: Image, python: Python, wheels: tuple[str, ...]) -> Iterator[str]:
    """What the image says about whose Python files it has. As flags they are in the key; build/bytecode.py reads
    them. What cannot concern a file of the environment is not among them."""
    top = f"{python.prefix.strip('/')}/lib/python{python.version}/site-packages/"
    for winner in image.document.winners:
        path = winner.path.lstrip("/")
        if path.startswith(top) and path.endswith(".py"):
            yield f"winner {winner.component} {path}"
    for drop in image.document.drop:
        head = re.split(r"[*?\[]", drop.path, maxsplit=1)[0]
        if drop.component in wheels and (head.startswith(top) or top.startswith(head)):
            yield f"drop {drop.component} {drop.path}"


def _node(*, python: Python, **fields: object) -> Node:
    values: Mapping[str, object] = {
        "origin": "vendor",
        "summary": "",
        "is_base": False,
        "options": (("prefix", python.prefix), ("python", python.version)),
        "flags": (),
        "sources": (),
        "patches": (),
        "files": (),
        "script": "",
        "build": (),
        "runtime": (),
        **fields,
    }
    return Node(**values)  # type: ignore[arg-type]
