"""The documents that keys are hashes of. Each field is there for a reason, said beside it; a golden test pins each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.digest import Digest
from orchestrator.graph.derivation import Graph, Node


def derivation_document(node: Node, inputs: Mapping[str, Digest]) -> dict[str, Any]:
    """What is hashed for `node`: all that is declared and can change its output's bytes.

    `inputs` maps every name in `node.build` to that node's derivation key (for the derivation key) or to the digest of its
    output (for the build key): the same document with another value.
    """
    raise NotImplementedError


def derivation_keys(graph: Graph) -> dict[str, Digest]:
    """The derivation key of every node, by name."""
    raise NotImplementedError


def check_document(node: Node, output: Digest, others: Mapping[str, Digest]) -> dict[str, Any]:
    """What is hashed for the check of `node`: output digest, runtime closure's and check inputs' digests (`others`), the
    check's script and files, environment and ldconf of the runtime closure, sandbox schema."""
    raise NotImplementedError


def closure_key(graph: Graph, goal: str, keys: Mapping[str, Digest]) -> Digest:
    """The key of a finished goal: derivation keys of the goal, of its runtime closure, and its checks (script, files and
    the derivation keys of their inputs) for every node of the runtime closure that has one."""
    raise NotImplementedError
