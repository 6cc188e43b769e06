"""How a step uses cores: its script's words tell. Pure; what there is to share, and with whom, is told in cores.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.build.cores import Use
    from orchestrator.graph.derivation import Check, Node

SHARE_CORES = "share-cores"  # the function of the prelude (script.py) that lets a command have what is free


def cores_use(node: Node, check: Check | None = None) -> Use:
    """How the build of `node`, or its check, uses cores: its script's words tell, and files beside it may say them."""
    script, files = (node.script, node.files) if check is None else (check.script, check.files)
    if SHARE_CORES in script:
        return "tokens"
    return "share" if "ORCH_CORES" in script or files or node.builder == "wheel" else "one"
