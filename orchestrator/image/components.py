"""From a graph whose nodes have been realised to the components of an image, bottom first. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.digest import Digest
from orchestrator.graph.closure import runtime_closure
from orchestrator.graph.derivation import Graph, Node
from orchestrator.image.model import Component, Kind
from orchestrator.recipe.image import Image


def component_names(graph: Graph, image: Image) -> tuple[str, ...]:
    """The nodes that an image is made of, bottom first: its base, what its recipes run with, its wheels, their
    bytecode. A base that a recipe runs with is not one of them: the image's own takes its place."""
    native = runtime_closure(graph, image.document.components)
    base = () if image.document.base.from_ else (image.document.base.recipe,)
    rest = [node.name for node in graph.nodes if node.builder in ("wheel", "bytecode")]
    return (*base, *(name for name in native if not graph[name].is_base), *rest)


def make_components(
    graph: Graph, image: Image, digests: Mapping[str, Digest], keys: Mapping[str, Digest]
) -> tuple[Component, ...]:
    """The components of an image. `digests` are the outputs, `keys` the derivation keys, by node name."""
    return tuple(_component(graph[name], digests[name], keys[name]) for name in component_names(graph, image))


def _component(node: Node, digest: Digest, key: Digest) -> Component:
    return Component(
        name=node.name,
        version=node.version,
        origin="orch" if node.builder == "bytecode" else node.origin,
        kind=_kind(node),
        object=digest,
        key=key,
        sources=tuple(f"{source.name} {_pin(source.sha256, source.tree)}" for source in node.sources),
        recipe=node.where,
    )


def _pin(sha256: str | None, tree: str | None) -> str:
    return f"sha256:{sha256}" if sha256 is not None else f"tree:{tree}"


def _kind(node: Node) -> Kind:
    if node.builder == "wheel":
        return "wheel"
    if node.builder == "bytecode":
        return "bytecode"
    return "base" if node.is_base else "native"
