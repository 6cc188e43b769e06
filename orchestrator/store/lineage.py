"""From the record of a derivation key to that of its build key, which names the outputs that it was built with."""

from __future__ import annotations

from orchestrator.digest import Digest, key_of
from orchestrator.errors import OrchError
from orchestrator.store.layout import Layout
from orchestrator.store.realisations import Realisation, read_realisation


def build_record(layout: Layout, made: Realisation) -> Realisation | None:
    """The record of the build that the record `made` of a derivation key came from; None if the records of its inputs
    do not lead there, or to another output. Raise MachineError only if a record may not be read."""
    inputs = made.document.get("inputs")
    if not isinstance(inputs, dict):
        return None
    outputs: dict[str, str] = {}
    for name, key in inputs.items():
        try:
            found = read_realisation(layout, Digest.parse(str(key)))
        except OrchError:
            return None
        if found is None or found.output is None:
            return None
        outputs[name] = str(found.output)
    built = read_realisation(layout, key_of({**made.document, "inputs": outputs}))
    return built if built is not None and built.output == made.output else None
